/** The guest's own end, under protection and after a takeover. */
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { it } from './fixture.ts';
import { cleanUp, type Pair, prepare } from './pair.ts';
import { isRunning, type Running, signal, until } from './process.ts';

beforeAll(prepare, 120_000);
afterAll(cleanUp);

const guest = { memoryMib: 16, rate: 1_000 };

describe('a protected guest', () => {
  // Proves: an end of its own is no failure of the host: the copy goes, and nothing comes back.
  it.concurrent.for(['poweroff', 'reboot', 'crash'])(
    'that ends by %s is not resurrected',
    async (how, { pair }) => {
      pair.a.sim.create('g1', guest);
      const protect = await pair.protected({
        args: ['--hold', '100', '--heartbeat-timeout', '800'],
      });
      pair.a.sim.run(how, 'g1');
      const { code } = await protect.ended;
      expect(protect.events.at(-1)).toMatchObject({
        outcome: 'guest-ended',
        reason: how,
        exit: 19,
      });
      expect(code).toBe(19);
      // What becomes of the domain is for whoever started it, as without tsremus.
      expect(pair.a.sim.find('g1')).toMatchObject({ state: 'shutdown', shutdown_reason: how });
      await until('the copy is gone', () => pair.b.leftovers().length === 0);
      expect(pair.b.record('')).toEqual(['promised', 'standby']);
      expect((await pair.a.tsremus('status')).code).toBe(2);
    },
  );

  // Proves: so for one that somebody destroys.
  it.concurrent('that is destroyed is not resurrected', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected();
    pair.a.sim.run('destroy', 'g1');
    expect((await protect.ended).code).toBe(19);
    await until('the copy is gone', () => pair.b.leftovers().length === 0);
  });
});

/** The copy runs, and its watcher lives (or does not, with -e). */
async function takenOver(pair: Pair, args: readonly string[] = []): Promise<Running> {
  const protect = await pair.protected({ args: ['--heartbeat-timeout', '600', ...args] });
  await pair.wire.cut();
  await until('the copy runs', () => pair.b.session('g1')?.state === 'active');
  return protect;
}

describe('after a takeover', () => {
  // Proves: the watcher does as xl's daemon would: a reboot boots the guest anew under its
  // name, again and again; a power-off removes it, and the watcher goes with it.
  it.concurrent('reboot and power-off do what the configuration says', async ({ pair }) => {
    pair.a.sim.create('g1', {
      ...guest,
      more: ['--on-reboot', 'restart', '--on-poweroff', 'destroy'],
    });
    await takenOver(pair);
    const watcher = pair.receiver();
    let boot = pair.b.sim.find('g1')?.guest?.boot;
    expect(boot).toBe(pair.a.sim.find('g1')?.guest?.boot);
    pair.b.sim.run('reboot', 'g1');
    boot = await until('it is booted anew', () => {
      const found = pair.b.sim.find('g1');
      return found?.state === 'running' && found.guest?.boot !== boot && found.guest?.boot;
    });
    expect(isRunning(watcher)).toBe(true);
    pair.b.sim.run('poweroff', 'g1');
    await until('it is gone', () => pair.b.sim.list().length === 0);
    await until('the watcher has gone', () => !isRunning(watcher));
    const status = await pair.b.tsremus('status');
    expect(status.code).toBe(2);
    expect(status.out).toMatch(/g1 +backup +ended/);
    expect(status.out).toMatch(
      /g1: .* took over from epoch \d+: .*; since then the guest ended by poweroff\n/,
    );
  });

  // Proves: a guest that cannot be booted again is not said to run.
  it.concurrent('a reboot that fails is seen', async ({ pair }) => {
    pair.a.sim.create('g1', { ...guest, more: ['--on-reboot', 'restart'] });
    await takenOver(pair);
    pair.b.sim.fault('libxl_domain_create_new fail -3');
    pair.b.sim.run('reboot', 'g1');
    await until('it is seen', () => pair.b.session('g1')?.state === 'ended');
    const status = await pair.b.tsremus('status');
    expect(status.out).toMatch(/since then nobody watches it: cannot create domain/);
  });

  // Proves: what is to be kept is kept for whoever looks into it.
  it.concurrent('a crash preserves the guest where that is configured', async ({ pair }) => {
    pair.a.sim.create('g1', { ...guest, more: ['--on-crash', 'preserve'] });
    await takenOver(pair);
    const watcher = pair.receiver();
    pair.b.sim.run('crash', 'g1');
    await until('the watcher has gone', () => !isRunning(watcher));
    expect(pair.b.sim.find('g1')).toMatchObject({ state: 'shutdown', shutdown_reason: 'crash' });
  });

  // Proves: -e leaves nobody behind.
  it.concurrent('with -e nobody watches', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    await takenOver(pair, ['-e']);
    await until('receive has gone', () => !isRunning(pair.receiver()));
    pair.b.sim.run('poweroff', 'g1');
    expect(pair.b.sim.find('g1')).toMatchObject({ state: 'shutdown' });
    const status = await pair.b.tsremus('status');
    expect(status.code).toBe(2);
  });

  // Proves: `stop` on the new host notes what was seen, while the watcher goes on watching.
  it.concurrent('stop there takes the session out of sight, not the guest', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await takenOver(pair);
    const watcher = pair.receiver();
    expect((await pair.b.tsremus('status')).code).toBe(2);
    expect((await pair.b.tsremus('stop', 'g1')).code).toBe(0);
    expect((await pair.b.tsremus('status')).out).toBe('no sessions\n');
    expect(pair.b.state('g1')).toBe('running');
    expect(isRunning(watcher)).toBe(true);
    await pair.wire.heal();
    expect((await protect.ended).code).toBe(17);
    expect(pair.a.sim.list()).toEqual([]);
    signal(watcher, 'SIGTERM');
    await until('it has gone', () => !isRunning(watcher));
    expect(pair.b.state('g1')).toBe('running');
  });
});
