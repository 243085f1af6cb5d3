/**
 * The process that holds a copy dies when that is built, and the primary's host is dead: what
 * stands there is all that is left of the guest. It is named, kept from being cleared, and run on
 * an order.
 */
import { readdirSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { main } from './built.ts';
import { it } from './fixture.ts';
import { cleanUp, noticing, type Pair, prepare } from './pair.ts';
import { isRunning, Running, signal, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

const guest = { memoryMib: 16, rate: 1_000 };

/** With the buffer: without an interface it needs no plug. */
async function protectedBuffered(pair: Pair): Promise<Running> {
  const command = pair.wire.command(pair.receive(pair.b));
  const args = ['-F', '-d', '--json', '-i', '50', '-s', '', ...noticing];
  const protect = new Running(main, ['protect', ...args, 'g1', command], pair.a.env);
  const early = protect.ended.then(({ code, err }) => {
    throw new Error(`protect ended early with ${code}: ${err}`);
  });
  await Promise.race([early, pair.acknowledged(pair.a, 'g1', 3)]);
  early.catch(() => {});
  return protect;
}

/** Everything of host a stops at once, and nobody answers there any more. */
async function killHostA(pair: Pair, protect: Running): Promise<void> {
  await pair.wire.set({ there: 'cut', back: 'cut', refuse: true });
  const pids = [protect.pid, ...pair.guards(), ...pair.wire.relays().map(({ pid }) => pid)];
  pair.a.sim.crash();
  for (const pid of pids) signal(pid, 'SIGKILL');
}

/**
 * Host a dies, and receive when it has built the copy and cannot write down that it is active: what
 * leads nowhere has that file's name. It stands there whole, paused, and `activating` on record.
 */
async function killedWithCopyBuilt(pair: Pair): Promise<void> {
  pair.a.sim.create('g1', guest);
  const protect = await protectedBuffered(pair);
  const receive = pair.receiver();
  const standby = readdirSync(pair.b.stateDir).find((name) => name.endsWith('.standby')) ?? '';
  const outcome = join(pair.b.stateDir, standby.replace('.standby', '.outcome'));
  symlinkSync('nowhere', outcome);
  await killHostA(pair, protect);
  await until('the copy is built, and that is said', () => pair.b.session('g1')?.copy_built);
  signal(receive, 'SIGKILL');
  await until('receive has ended', () => !isRunning(receive));
  unlinkSync(outcome);
  expect(pair.b.state('g1')).toBe('paused');
}

describe('a copy whose process died when it was built', () => {
  // Proves: X13. Status names it and what to type; stop keeps it; failover runs it, from its memory
  // as it was, and a process of ours sees to the guest's own end.
  it.concurrent('is named, kept, and run by failover', async ({ pair }) => {
    await killedWithCopyBuilt(pair);
    const status = await pair.b.tsremus('status', 'g1');
    expect(status.code).toBe(2);
    expect(status.out).toMatch(/the copy of epoch \d+ stands here, whole, and nobody lets it run/);
    expect(status.out).toMatch(/Try: tsremus failover g1 {2}# here, if .* is dead\n/);
    expect((await pair.b.tsremus('status', '--check')).out).toMatch(/CRITICAL - g1 held, .*whole/);

    const stop = await pair.b.tsremus('stop', 'g1');
    expect(stop.code).toBe(18);
    expect(stop.err).toMatch(/g1 is not given up: .* whole/);
    expect(stop.err).toMatch(/Try: tsremus stop --destroy g1 /);
    expect(pair.b.state('g1')).toBe('paused');

    const ran = await pair.b.tsremus('failover', '--yes', 'g1');
    expect(ran).toMatchObject({ code: 0, out: 'g1 runs here\n' });
    expect(pair.b.state('g1')).toBe('running');
    expect(pair.b.sim.wrong('g1')).toBeNull();
    expect(pair.b.record('g1')).toEqual(['activating', 'active', 'standby']);
    expect(pair.b.session('g1')).toMatchObject({ state: 'active', outcome: 'activated' });
    expect(pair.guards(pair.b)).toHaveLength(1);
    expect((await pair.b.tsremus('failover', '--yes', 'g1')).err).toContain('runs here already');
  });

  it.concurrent('is given up on a word, and then promised', async ({ pair }) => {
    await killedWithCopyBuilt(pair);
    const stop = await pair.b.tsremus('stop', '--destroy', 'g1');
    expect(stop).toMatchObject({ code: 0, err: '' });
    expect(stop.out).toMatch(/^the copy of g1 is destroyed here, as you said/);
    expect(pair.b.sim.list()).toEqual([]);
    expect(pair.b.record('')).toEqual(['activating', 'promised', 'standby']);
  });
});

describe('a copy whose process died before that', () => {
  // Proves: what was never built is never run, whatever a person types.
  it.concurrent('is never run, and that is said', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await protectedBuffered(pair);
    const receive = pair.receiver();
    await killHostA(pair, protect);
    signal(receive, 'SIGKILL');
    await until('receive has ended', () => !isRunning(receive));
    const status = await pair.b.tsremus('status', 'g1');
    expect(status.out).toMatch(/no copy is held here any more, for it was not built/);
    const ran = await pair.b.tsremus('failover', '--force-unsafe', 'g1');
    expect(ran.code).toBe(10);
    expect(ran.err).toMatch(/it was not built: it can never run/);
    expect(pair.b.state('g1')).not.toBe('running');
    expect((await pair.b.tsremus('stop', 'g1')).code).toBe(0);
    expect(pair.b.sim.list()).toEqual([]);
  });
});
