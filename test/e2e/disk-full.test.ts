/** The disk of the record: full or read-only, before the session begins or after. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { it } from './fixture.ts';
import { cleanUp, noticing, type Pair, prepare } from './pair.ts';
import { until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

/** Why no file system can be mounted here; null when one can. */
function whyNoMount(): string | null {
  return process.getuid?.() === 0 ? null : 'a small file system can be mounted by root alone';
}

const kib = 1024;

/** A disk of its own for the records of host B; returns what takes it away. */
function smallDisk(pair: Pair): () => void {
  const { stateDir } = pair.b;
  mkdirSync(stateDir, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=700', 'tmpfs', stateDir]);
  return () => execFileSync('umount', ['-l', stateDir]);
}

function setReadOnly({ b }: Pair, isReadOnly: boolean): void {
  execFileSync('mount', ['-o', `remount,${isReadOnly ? 'ro' : 'rw'}`, b.stateDir]);
}

function fill(file: string): void {
  for (let left = 64; left > 0; left -= 1) {
    try {
      writeFileSync(file, Buffer.alloc(4 * kib), { flag: 'a' });
    } catch {
      return;
    }
  }
  throw new Error('the disk does not get full');
}

// Proves: a disk that fills up is known on both hosts before it is needed, with what to type; what
// was made ready when the session began lets the copy take over all the same.
it('a full disk is told, and the takeover needs no room', async ({ pair, skip }) => {
  const why = whyNoMount();
  skip(why !== null, why ?? '');
  const unmount = smallDisk(pair);
  try {
    pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
    const protect = await pair.protected({ args: noticing });
    fill(join(pair.b.stateDir, 'filler'));
    await until('it is known here', () => (pair.a.session('g1')?.degraded ?? null) !== null);
    const [here, there] = [await pair.a.tsremus('status'), await pair.b.tsremus('status')];
    expect([here.code, there.code]).toEqual([1, 1]);
    expect(here.out).toMatch(/could not take over: .*(no space|full)/i);
    expect(here.out).toMatch(/Try: tsremus status g1 {2}# on /);
    expect(there.out).toMatch(/unrecorded: a takeover could not be: .*(no space|full)/i);
    expect(there.out).toContain(`Try: df -h ${pair.b.stateDir}`);

    await pair.wire.cut();
    await until('the copy runs', () => pair.b.state('g1') === 'running');
    expect(pair.b.record('')).toEqual(['activating', 'active', 'standby']);
    await pair.wire.heal();
    expect((await protect.ended).code).toBe(17);
    expect(pair.b.sim.wrong('g1')).toBeNull();
  } finally {
    unmount();
  }
});

// Proves: a disk that is full when the session begins is a refusal, and no surprise later.
it('a session does not begin without room for its record', async ({ pair, skip }) => {
  const why = whyNoMount();
  skip(why !== null, why ?? '');
  const unmount = smallDisk(pair);
  try {
    fill(join(pair.b.stateDir, 'filler'));
    pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
    const { code, err } = await pair.protect().ended;
    expect(code).toBe(15);
    expect(err).toMatch(/no space|full/i);
    expect(pair.b.record('')).toEqual([]);
  } finally {
    unmount();
  }
});

// Proves: what cannot be recorded is not decided. The primary falls silent, the backup wants to
// take over and may not: nothing runs twice, `status` says what is missing, and once it can be
// recorded the takeover follows by itself.
it('a decision waits until it can be recorded', async ({ pair, skip }) => {
  const why = whyNoMount();
  skip(why !== null, why ?? '');
  const unmount = smallDisk(pair);
  try {
    pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
    const protect = await pair.protected({ args: noticing });
    setReadOnly(pair, true);
    await pair.wire.cut();
    await until('the failure is known', () => pair.b.session('g1')?.state === 'held');
    expect(pair.b.record('')).toEqual(['standby']);
    expect(pair.b.sim.list().map(({ name }) => name)).toEqual(['g1--incoming']);
    const status = await pair.b.tsremus('status');
    expect(status.code).toBe(2);
    expect(status.out).toMatch(/the decision cannot be recorded: .*read-only/i);
    expect(status.out).toContain(`Try: df -h ${pair.b.stateDir}`);
    const failover = await pair.b.tsremus('failover', '--yes', 'g1');
    expect(failover.code).not.toBe(0);
    expect(pair.b.state('g1')).toBeNull();

    setReadOnly(pair, false);
    await until('the copy runs', () => pair.b.state('g1') === 'running');
    await pair.wire.heal();
    expect((await protect.ended).code).toBe(17);
    expect(pair.b.sim.wrong('g1')).toBeNull();
  } finally {
    unmount();
  }
});
