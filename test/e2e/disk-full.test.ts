/** The disk of the record fills up on the backup, after the session began. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
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

// Proves: what cannot be recorded is not decided. The primary falls silent, the backup wants to
// take over and may not: nothing runs twice, `status` says what is missing, and with room for the
// record the takeover follows by itself.
it('a decision waits for room for its record', async ({ pair, skip }) => {
  const why = whyNoMount();
  skip(why !== null, why ?? '');
  const unmount = smallDisk(pair);
  try {
    pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
    const protect = await pair.protected({ args: noticing });
    const filler = join(pair.b.stateDir, 'filler');
    fill(filler);
    await pair.wire.cut();
    await until('the failure is known', () => pair.b.session('g1')?.state === 'held');
    expect(pair.b.record('')).toEqual(['standby']);
    expect(pair.b.sim.list().map(({ name }) => name)).toEqual(['g1--incoming']);
    const status = await pair.b.tsremus('status');
    expect(status.code).toBe(2);
    expect(status.out).toMatch(/the decision cannot be recorded: .*(no space|full)/i);
    expect(status.out).toContain(`Try: df -h ${pair.b.stateDir}`);
    const failover = await pair.b.tsremus('failover', '--yes', 'g1');
    expect(failover.code).not.toBe(0);
    expect(pair.b.state('g1')).toBeNull();

    rmSync(filler);
    await until('the copy runs', () => pair.b.state('g1') === 'running');
    await pair.wire.heal();
    expect((await protect.ended).code).toBe(17);
    expect(pair.b.sim.wrong('g1')).toBeNull();
  } finally {
    unmount();
  }
});
