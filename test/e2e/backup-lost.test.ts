/** The backup is lost: its process, or its whole host. The guest stays, and nothing is silent. */
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { it } from './fixture.ts';
import { cleanUp, noticing, type Pair, prepare } from './pair.ts';
import { isRunning, signal, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

const guest = { memoryMib: 32, rate: 2_000 };

/** Everything of host b stops at once, and nobody answers there any more. */
async function killHostB(pair: Pair): Promise<void> {
  await pair.wire.set({ there: 'cut', back: 'cut', refuse: true });
  const receive = pair.receiver();
  const relays = pair.wire.relays();
  pair.b.sim.crash();
  signal(receive, 'SIGKILL');
  for (const { pid } of relays) signal(pid, 'SIGKILL');
}

describe('receive is killed', () => {
  // Proves: a fresh connection gives the promise that the dead process cannot; the guest is not
  // paused for good, its memory is whole, and exit code, status and record say what happened.
  it.concurrent('and the guest runs on unprotected', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected();
    signal(pair.receiver(), 'SIGKILL');
    const { code } = await protect.ended;
    expect(protect.events.at(-1)).toMatchObject({ outcome: 'unprotected', exit: 16 });
    expect(code).toBe(16);
    expect(pair.a.state('g1')).toBe('running');
    expect(pair.a.sim.wrong('g1')).toBeNull();
    expect(pair.b.sim.list()).toEqual([]);
    expect(pair.b.record('')).toEqual(['promised', 'standby']);

    const status = await pair.a.tsremus('status', 'g1');
    expect(status.code).toBe(2);
    expect(status.out).toMatch(/Try: tsremus protect g1 HOST\n/);
    expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
    expect((await pair.a.tsremus('status')).code).toBe(0);
  });

  // Proves: before the first whole copy nobody is asked: protect ends at once and says so.
  it.concurrent('in the seed, and the guest was never protected', async ({ pair }) => {
    pair.a.sim.create('g1', { ...guest, memoryMib: 64 });
    pair.a.sim.fault('save.live stall 15000');
    const protect = pair.protect();
    await until('the seed begins', () => pair.b.session('g1')?.state === 'seeding');
    await until('the seed begins here', () => pair.a.session('g1')?.state === 'seeding');
    signal(pair.receiver(), 'SIGKILL');
    const { code } = await protect.ended;
    expect(protect.events.at(-1)).toMatchObject({ outcome: 'never-protected', exit: 10 });
    expect(code).toBe(10);
    expect(pair.a.state('g1')).toBe('running');
    expect(pair.a.sim.wrong('g1')).toBeNull();
  });
});

describe('the backup host dies', () => {
  // Proves: nobody can promise, so the guest stands still; status says so and what to type, and
  // that command lets it run on with its memory intact.
  it.concurrent('and the guest is held until the administrator decides', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected({ args: noticing });
    await killHostB(pair);
    await until('the guest is paused', () => pair.a.state('g1') === 'paused');
    await until('it is held', () => pair.a.session('g1')?.state === 'held');
    const status = await pair.a.tsremus('status');
    expect(status.code).toBe(2);
    // Only whoever has asked, and in vain, is offered to vouch.
    expect(status.out).toMatch(/Try: tsremus stop g1 {2}# asks .* once more\n/);
    expect(status.out).not.toContain('--force-unsafe');
    const held = await pair.a.tsremus('stop', 'g1');
    expect(held.code).toBe(18);
    expect(held.err).toMatch(
      /Try: tsremus stop --force-unsafe g1 {2}# only if .* never ran and never will\n/,
    );
    expect(pair.a.state('g1')).toBe('paused');

    const stop = await pair.a.tsremus('stop', '--force-unsafe', '--vouch', 'g1', 'g1');
    expect(stop.code).toBe(0);
    expect((await protect.ended).code).toBe(16);
    expect(protect.events.at(-1)).toMatchObject({
      outcome: 'unprotected',
      reason: 'the administrator vouched that the copy never ran and never will',
    });
    expect(pair.a.state('g1')).toBe('running');
    expect(pair.a.sim.wrong('g1')).toBeNull();
  });

  // Proves: whoever leaves a held guest leaves it standing still, and is told so by exit 18; a
  // later stop without the backup changes nothing, and one with the administrator's word does.
  it.concurrent('and Ctrl-C twice leaves the guest held', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected({ args: noticing });
    await killHostB(pair);
    await until('it is held', () => pair.a.session('g1')?.state === 'held');
    await until('the guest is paused', () => pair.a.session('g1')?.guest_paused);
    signal(protect.pid, 'SIGINT');
    await until('it is said', () => protect.said('ending'));
    // As an impatient user does: two that come close together may count as one.
    await until('it has gone', () => {
      protect.child.kill('SIGINT');
      return protect.child.exitCode !== null;
    });
    expect((await protect.ended).code).toBe(18);
    expect(protect.events.at(-1)).toMatchObject({ outcome: 'held', exit: 18 });
    expect(pair.a.state('g1')).toBe('paused');
    expect((await pair.a.tsremus('status')).code).toBe(2);

    expect((await pair.a.tsremus('stop', 'g1')).code).toBe(18);
    expect(pair.a.state('g1')).toBe('paused');
    expect((await pair.a.tsremus('stop', '--force-unsafe', '--vouch', 'g1', 'g1')).code).toBe(0);
    expect(pair.a.state('g1')).toBe('running');
    expect(pair.a.sim.wrong('g1')).toBeNull();
    expect((await pair.a.tsremus('status')).out).toBe('no sessions\n');
  });

  // Proves: leaving while the backup might still answer does not let two guests run: without a
  // buffer the guest is paused by whoever leaves, not only when the lease has run out.
  it.concurrent('and Ctrl-C twice in the first moment pauses the guest', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected();
    await pair.wire.cut();
    await until('it has gone', () => {
      protect.child.kill('SIGINT');
      return protect.child.exitCode !== null;
    });
    expect((await protect.ended).code).toBe(18);
    expect(pair.a.state('g1')).toBe('paused');
    expect(pair.a.session('g1')).toMatchObject({ state: 'held', guest_paused: true });
    await pair.wire.heal();
    expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
    expect(pair.a.state('g1')).toBe('running');
    expect(pair.a.sim.wrong('g1')).toBeNull();
    await until('the copy is gone', () => pair.b.leftovers().length === 0);
  });
});

describe('the backup host is shut down in order', () => {
  // Proves: SIGTERM to receive is no loss. The primary hears of it over the link that still lives,
  // asks there, for nobody can reach that host any more, and goes on with its documented outcome.
  it.concurrent('and the guest goes on unprotected', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected();
    const receive = pair.receiver();
    await pair.wire.set({ refuse: true });
    signal(receive, 'SIGTERM');
    expect((await protect.ended).code).toBe(16);
    expect(protect.events.at(-1)).toMatchObject({
      outcome: 'unprotected',
      reason: 'the backup leaves: the backup was told to end',
    });
    await until('receive has ended', () => !isRunning(receive));
    expect(pair.b.sim.list()).toEqual([]);
    expect(pair.b.record('')).toEqual(['promised', 'standby']);
    expect(pair.a.state('g1')).toBe('running');
    expect(pair.a.sim.wrong('g1')).toBeNull();
  });

  // Proves: a primary that is dead is promised nothing: its guest's only copy takes over.
  it.concurrent('and takes over where the primary is silent', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected({ args: noticing });
    const receive = pair.receiver();
    await pair.wire.cut();
    signal(receive, 'SIGTERM');
    await until('the copy runs', () => pair.b.state('g1') === 'running');
    expect(pair.b.sim.wrong('g1')).toBeNull();
    await pair.wire.heal();
    expect((await protect.ended).code).toBe(17);
  });
});
