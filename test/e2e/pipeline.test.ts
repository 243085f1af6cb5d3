/** The way of an epoch: its ceilings, its codec, its schedule, and what is wrong with a stream. */
import { readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { bundleFixture } from '../fixtures/bundle.ts';
import { it } from './fixture.ts';
import { cleanUp, noticing, type Pair, prepare, silenceMs } from './pair.ts';
import { until } from './process.ts';

let liar = '';

beforeAll(async () => {
  await prepare();
  liar = await bundleFixture('liar');
});

afterAll(() => {
  rmSync(dirname(liar), { recursive: true, force: true });
  cleanUp();
});

const mib = 1024 ** 2;

/** Both processes' memory in RAM, bytes, without what is shared with the stand-in's guests. */
function memoryOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^RssAnon:\s+(\d+) kB/m.exec(text)?.[1]) * 1024;
}

// Proves: a guest that writes all of its memory all of the time meets the ceiling at every
// checkpoint; nothing is lost, nobody dies, memory stays within bounds, and status warns.
it('a guest that is too fast for the memory allowed', async ({ pair }) => {
  pair.a.sim.create('g1', {
    memoryMib: 48,
    rate: 1_000_000,
    fillPercent: 100,
    more: ['--content', 'random'],
  });
  const protect = pair.protect({ args: ['--max-memory', '64M'] });
  await until('a checkpoint meets the ceiling', () => (pair.a.session('g1')?.stalls ?? 0) >= 2);
  const primary = pair.a.session('g1');
  expect(primary?.memory).toMatchObject({ max_bytes: 64 * mib, queue_bytes: 24 * mib });
  expect(primary?.stalled_ms).toBeGreaterThan(0);
  expect(primary?.degraded).toMatch(/^stalled: .*suspended/);
  const ran = await pair.a.tsremus('status', 'g1');
  expect(ran.code).toBe(1);
  expect(ran.out).toMatch(/g1: .*suspended/);
  // What Node itself needs, and the ceiling.
  expect(memoryOf(protect.pid)).toBeLessThan((160 + 64) * mib);
  expect(pair.a.log()).toMatch(/WARNING .*stalled: epoch \d+ keeps the guest suspended/);
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
  expect((await protect.ended).code).toBe(0);
  expect(pair.a.sim.wrong('g1')).toBeNull();
});

// Proves: a copy that is applied slowly holds the primary back, keeps what it acknowledged, and is
// whole when it takes over.
it('a backup that applies slowly', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 48, rate: 1_000_000, fillPercent: 100 });
  pair.b.sim.fault(`restore.apply stall ${silenceMs + 1000} epoch=1`);
  const command = pair.wire.command(`env TSREMUS_MAX_MEMORY=64M ${pair.receive(pair.b)}`);
  const args = [...noticing, '-i', '10', '--max-pending', '8'];
  pair.protect({ args, command });
  await until('the backup says that it is behind', () =>
    pair.b.session('g1')?.degraded?.startsWith('behind: '),
  );
  await until('it has caught up', () => pair.b.session('g1')?.degraded === null);
  await pair.moreEpochs(pair.a, 'g1', 1);
  await pair.wire.cut();
  await until('the copy runs', () => pair.b.session('g1')?.state === 'active');
  expect(pair.b.sim.wrong('g1')).toBeNull();
});

describe('the codec', () => {
  const guest = { memoryMib: 32, rate: 500, fillPercent: 100, more: ['--content', 'delta'] };

  it('sends little of pages that change little', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    await pair.protected({}, 8);
    await until('it was written down', () => pair.a.session('g1')?.histograms?.sent_bytes.p50);
    const status = pair.a.session('g1');
    expect(status?.codec).toBe('zstd');
    expect(status?.pages?.delta).toBeGreaterThan(0);
    const { raw_bytes, sent_bytes } = status?.histograms ?? {};
    expect(sent_bytes?.sum).toBeLessThan((raw_bytes?.sum ?? 0) / 3);
    expect(pair.b.session('g1')?.codec).toBe('zstd');
  });

  it('leaves everything as it is with -u', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected({ args: ['-u', ...noticing] }, 3);
    // A status that was written between the end of an epoch and its sending has not all of it.
    const status = await until('it was written down', () => {
      const seen = pair.a.session('g1');
      if (!seen?.histograms?.sent_bytes.p50) return null;
      return (seen.bytes_sent ?? 0) >= (seen.bytes_raw ?? Infinity) ? seen : null;
    });
    expect(status.codec).toBe('none');
    expect(status.memory?.cache_bytes).toBe(0);
    await pair.wire.cut();
    await until('the copy runs', () => pair.b.session('g1')?.state === 'active');
    expect(pair.b.sim.wrong('g1')).toBeNull();
    await pair.wire.heal();
    expect((await protect.ended).code).toBe(17);
  });
});

// Proves: tsremus set reaches the session that runs, which then keeps to it.
it('a session whose interval is changed', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 100 });
  await pair.protected({ args: ['-i', '5000'] }, 0);
  const set = await pair.a.tsremus('set', 'g1', 'interval=20');
  expect(set).toMatchObject({ code: 0, out: 'g1: checkpoints every 20 ms\n' });
  await pair.moreEpochs(pair.a, 'g1', 10);
  const auto = await pair.a.tsremus('set', 'g1', 'interval=auto', 'max-overhead=30');
  expect(auto.out).toMatch(/^g1: checkpoints auto, .*overhead at most 30 %\n$/);
  await until('status says so', () => pair.a.session('g1')?.schedule?.mode === 'auto');
  await pair.moreEpochs(pair.a, 'g1', 5);
  const refused = await pair.b.tsremus('set', 'g1', 'interval=20');
  expect(refused.code).toBe(10);
});

// Proves: frames that are right, with something else in them than the primary has: the epoch does
// not count, both sides say why, and the guest runs on with the backup's promise.
describe('a stream that is not what the primary sent', () => {
  async function expectEnds(pair: Pair, what: string, message: RegExp): Promise<void> {
    pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
    const command = `exec ${process.execPath} ${liar} ${what} 3 ${pair.receive(pair.b)}`;
    const protect = pair.protect({ command });
    expect((await protect.ended).code).toBe(16);
    expect(protect.events.at(-1)?.['reason']).toMatch(message);
    expect(pair.a.log()).toMatch(/ ack 2$/m);
    expect(pair.a.log()).not.toMatch(/ ack 3$/m);
    expect(pair.a.log()).toMatch(new RegExp(`the backup says: .*${message.source}`));
    expect(pair.b.log()).toMatch(message);
    expect(pair.a.state('g1')).toBe('running');
    expect(pair.a.sim.wrong('g1')).toBeNull();
    await until('no copy is left', () => pair.b.sim.list().length === 0);
  }

  it.concurrent.for([
    ['rawBytes', /the raw length is \d+ here and 1 on the primary/],
    ['checksum', /the checksum is \d+ here and 1 on the primary/],
    ['cacheState', /the cache state is \d+ here and 1 on the primary/],
    ['data', /batch/],
  ] as const)('in %s', async ([what, message], { pair }) => {
    await expectEnds(pair, what, message);
  });
});
