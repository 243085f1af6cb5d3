/**
 * The process that owns the copy, and the question of a primary that cannot reach it: whether it
 * lives is seen by the process, and one that lives and does not answer makes way.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { main } from './built.ts';
import { it } from './fixture.ts';
import { cleanUp, noticing, type Pair, prepare, protectHere } from './pair.ts';
import { isRunning, Running, signal, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

const guest = { memoryMib: 16, rate: 1_000 };
/** The least that there is. */
const holdMs = 100;
/** A copy that is not built as long as the test runs. */
const endless = 'restore.build stall 3000000';

/** With the buffer: the end of the link activates. Without an interface it needs no plug. */
async function protectedBuffered(pair: Pair): Promise<Running> {
  const command = pair.wire.command(pair.receive(pair.b));
  const args = ['-F', '-d', '--json', '-i', '50', '-s', '', '--hold', String(holdMs)];
  const protect = new Running(main, [...protectHere, ...args, 'g1', command], pair.a.env);
  const early = protect.ended.then(({ code, err }) => {
    throw new Error(`protect ended early with ${code}: ${err}`);
  });
  await Promise.race([early, pair.acknowledged(pair.a, 'g1', 3)]);
  early.catch(() => {});
  return protect;
}

/** The link ends, and nobody gets through until the network heals. */
async function endLink(pair: Pair): Promise<void> {
  await pair.wire.set({ refuse: true });
  for (const { pid } of pair.wire.relays()) signal(pid, 'SIGKILL');
}

/** The status of B's session can neither be read nor be written any more. */
async function hideStatus({ b }: Pair): Promise<void> {
  await until('its status is hidden', () => {
    for (const name of readdirSync(b.runDir).filter((one) => one.endsWith('.backup.json'))) {
      rmSync(join(b.runDir, name), { recursive: true, force: true });
      try {
        mkdirSync(join(b.runDir, name));
        return true;
      } catch {
        return false; // it was written once more
      }
    }
    return false;
  });
}

function becameUnprotected(pair: Pair, protect: Running, receive: number): void {
  expect(protect.events.at(-1)).toMatchObject({ outcome: 'unprotected', exit: 16 });
  expect(isRunning(receive)).toBe(false);
  expect(pair.b.sim.list()).toEqual([]);
  expect(pair.b.record('')).toContain('promised');
  expect(pair.a.state('g1')).toBe('running');
  expect(pair.a.sim.wrong('g1')).toBeNull();
}

describe('an owner that cannot be seen', () => {
  // Proves: a status that is not there makes nobody dead. The copy that is being built is not
  // destroyed under its living owner, which answers for itself and takes over.
  it.concurrent('lives all the same', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await protectedBuffered(pair);
    const receive = pair.receiver();
    await hideStatus(pair);
    pair.b.sim.fault('restore.build stall 10000');
    await endLink(pair);
    await until('it activates', () => pair.b.record('').includes('activating'));
    await pair.wire.heal();
    expect((await protect.ended).code).toBe(17);
    expect(pair.b.state('g1')).toBe('running');
    expect(pair.b.sim.wrong('g1')).toBeNull();
    expect(pair.b.record('')).toEqual(['activating', 'active', 'standby']);
    expect(isRunning(receive)).toBe(true);
    expect(pair.a.state('g1')).toBeNull();
  });
});

describe('an owner that lives and does not answer', () => {
  // Proves: a receive that is stopped for good does not hold the primary for ever.
  it.concurrent('makes way while it stands by', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected({ args: noticing });
    const receive = pair.receiver();
    signal(receive, 'SIGSTOP');
    expect((await protect.ended).code).toBe(16);
    becameUnprotected(pair, protect, receive);
  });

  // Proves: the same while it activates: the copy never ran, and goes before the promise.
  it.concurrent('makes way while it activates', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await protectedBuffered(pair);
    const receive = pair.receiver();
    pair.b.sim.fault(endless);
    await endLink(pair);
    await until('it activates', () => pair.b.record('').includes('activating'));
    signal(receive, 'SIGSTOP');
    await pair.wire.heal();
    expect((await protect.ended).code).toBe(16);
    becameUnprotected(pair, protect, receive);
  });

  // Proves: what is active is answered as it is found, and its owner is left alone.
  it.concurrent('is left alone once its copy is active', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await protectedBuffered(pair);
    const receive = pair.receiver();
    await endLink(pair);
    await until('the copy runs', () => pair.b.session('g1')?.state === 'active');
    signal(receive, 'SIGSTOP');
    await pair.wire.heal();
    expect((await protect.ended).code).toBe(17);
    expect(isRunning(receive)).toBe(true);
    expect(pair.b.state('g1')).toBe('running');
    expect(pair.b.record('')).toEqual(['activating', 'active', 'standby']);
  });
});
