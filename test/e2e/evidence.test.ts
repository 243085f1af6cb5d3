/**
 * A guest is destroyed only on present evidence that the other one is there, and nobody vouches for
 * what answers. Output is buffered here (the guest has no interface, so no kernel is needed).
 */
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { main } from './built.ts';
import { it } from './fixture.ts';
import { cleanUp, noticing, type Pair, prepare, protectHere } from './pair.ts';
import { isRunning, Running, signal, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

const guest = { memoryMib: 16, rate: 1_000 };

/** Buffered protection of g1, some epochs old. */
async function protectedBuffered(pair: Pair, args: readonly string[] = noticing): Promise<Running> {
  pair.a.sim.create('g1', guest);
  const command = pair.wire.command(pair.receive(pair.b));
  const common = [...protectHere, '-F', '-d', '--json', '-i', '50', '-s', ''];
  const protect = new Running(main, [...common, ...args, 'g1', command], pair.a.env);
  await pair.acknowledged(pair.a, 'g1', 3);
  return protect;
}

async function takenOver(pair: Pair): Promise<void> {
  await pair.wire.cut();
  await until('the copy runs', () => pair.b.session('g1')?.state === 'active');
}

/** Host B loses its power and comes back: guest, processes and /run are gone, the record is not. */
async function rebootB(pair: Pair): Promise<void> {
  const receive = pair.receiver();
  // First: it must not live to see its guest gone, and note that.
  signal(receive, 'SIGKILL');
  await until('receive is dead', () => !isRunning(receive));
  pair.b.sim.crash();
  rmSync(pair.b.runDir, { recursive: true, force: true });
}

/** The old connection does not survive that. */
async function healAnew(pair: Pair): Promise<void> {
  await pair.wire.heal();
  for (const { pid } of pair.wire.relays()) signal(pid, 'SIGKILL');
}

describe('the copy took over, and then its host was rebooted', () => {
  // Proves: the only guest that is left is held and paused, not destroyed; what to type on which
  // host is said; and with a person's word there it goes on here with its memory whole.
  it.concurrent('the guest is held until a person says that it is lost', async ({ pair }) => {
    const { a, b } = pair;
    const protect = await protectedBuffered(pair);
    await takenOver(pair);
    await rebootB(pair);
    await healAnew(pair);
    await until('nobody is there', () => a.session('g1')?.reason?.includes('no guest is there'));
    await until('it is paused', () => a.state('g1') === 'paused');
    const status = await a.tsremus('status');
    expect(status.code).toBe(2);
    expect(status.out).toMatch(/disk there is the newer one/);
    expect(status.out).toMatch(/Try: tsremus stop --lost g1 {2}# on/);
    expect(status.out).not.toContain('--force-unsafe');

    const forced = await a.tsremus('stop', '--force-unsafe', '--vouch', 'g1', 'g1');
    expect(forced.code).toBe(14);
    expect(forced.err).toMatch(/Try: tsremus stop --lost g1/);
    expect(a.state('g1')).toBe('paused');

    expect((await b.tsremus('stop', '--lost', 'g1')).code).toBe(64);
    expect((await b.tsremus('stop', '--lost', '--vouch', 'g2', 'g1')).code).toBe(10);
    const lost = await b.tsremus('stop', '--lost', '--vouch', 'g1', 'g1');
    expect(lost).toMatchObject({ code: 0 });
    expect(lost.out).toMatch(/^g1 is lost here/);
    await protect.ended;
    expect(a.state('g1')).toBe('running');
    expect(a.sim.wrong('g1')).toBeNull();
    expect((await b.tsremus('stop', '--lost', '--vouch', 'g1', 'g1')).code).toBe(12);
  });

  // Proves: a person who boots the guest there again is evidence, too, that it is there.
  it.concurrent('and the guest was booted there again', async ({ pair }) => {
    const { a, b } = pair;
    const protect = await protectedBuffered(pair);
    const { uuid = '' } = a.sim.find('g1') ?? {};
    await takenOver(pair);
    await rebootB(pair);
    b.sim.create('g1', { ...guest, more: ['--uuid', uuid] });
    expect((await b.tsremus('stop', '--lost', '--vouch', 'g1', 'g1')).code).toBe(14);
    await healAnew(pair);
    expect((await protect.ended).code).toBe(17);
    expect(a.sim.list()).toEqual([]);
    expect(b.state('g1')).toBe('running');
  });

  // Proves: the same where protect died: whoever clears up destroys nothing on old news.
  it.concurrent('and protect had died', async ({ pair }) => {
    const { a, b } = pair;
    const protect = await protectedBuffered(pair);
    await takenOver(pair);
    signal(protect.pid, 'SIGKILL');
    await protect.ended;
    await rebootB(pair);
    await healAnew(pair);
    const stop = await a.tsremus('stop', 'g1');
    expect(stop.code).toBe(18);
    expect(stop.err).toMatch(/Try: tsremus stop --lost g1 {2}# on/);
    expect(a.sim.list()).toHaveLength(1);
    expect((await b.tsremus('stop', '--lost', '--vouch', 'g1', 'g1')).code).toBe(0);
    expect((await a.tsremus('stop', 'g1')).code).toBe(0);
    expect(a.state('g1')).toBe('running');
  });
});

describe('a guest that took over and ended there by itself', () => {
  // Proves: nothing that ended by itself is revived, though its domain is gone by then.
  it.concurrent('is not revived here', async ({ pair }) => {
    const { a, b } = pair;
    const protect = await protectedBuffered(pair);
    await takenOver(pair);
    b.sim.run('poweroff', 'g1');
    await until('it is gone', () => b.sim.list().length === 0);
    await healAnew(pair);
    expect((await protect.ended).code).toBe(17);
    expect(a.sim.list()).toEqual([]);
  });
});

describe('a forced stop of what a dead protect left', () => {
  // Proves: the copy took over and answers: there are no two guests, and no line offers them.
  it.concurrent('asks first', async ({ pair }) => {
    const { a, b } = pair;
    const protect = await protectedBuffered(pair, [...noticing, '--hold', '500']);
    signal(protect.pid, 'SIGKILL');
    await until('the copy runs', () => b.session('g1')?.state === 'active');
    const status = await a.tsremus('status');
    expect(status.code).toBe(2);
    expect(status.out).not.toContain('--force-unsafe');
    const stop = await a.tsremus('stop', '--force-unsafe', '--vouch', 'g1', 'g1');
    expect(stop.code).toBe(17);
    expect(a.sim.list()).toEqual([]);
    expect(b.state('g1')).toBe('running');
  });
});
