/** That the benchmarks run, measure what they say, and write the document that is promised. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { ensureBuilt, repository } from '../e2e/built.ts';
import { fixtureOf } from '../lab/record-mixes.ts';
import { readRecords, recordName } from '../native/stream-records.ts';
import { epochOf, streamStart } from '../stream/codec/streams.ts';
import { createGuest, save, withHost } from './bench-host.ts';
import { disk } from './disk.ts';
import { sectionOf, turnsIn } from './disk-mirror.ts';
import { diskReturn } from './disk-return.ts';
import { encoder } from './encoder.ts';
import { lineThrough, quantile, undisturbed } from './figures.ts';
import { epochsOf, filterPages, isZero, loadMixes, pagesOf } from './mixes.ts';
import { parseBenchOptions } from './options.ts';
import { drain, pausePerPage } from './pause.ts';
import { pipeline } from './pipeline.ts';
import { atLeast, atMost, reportOf, tableText, writeReport } from './report.ts';
import { comparePages, soak } from './soak.ts';
import { spawn } from './spawn.ts';
import * as yardstick from './yardstick.ts';

beforeAll(async () => {
  await ensureBuilt();
  const made = spawnSync('make', ['-s', '-C', join(repository, 'native/bench')]);
  expect(made.stderr.toString()).toBe('');
});

describe('the document of --json', () => {
  // Proves: whatever the parts are, targets stand together, each with its five keys, and a missed
  // one is a result like any other.
  it('has the targets of all parts and their figures', async () => {
    const parts = [await drain('tiny'), await pausePerPage('tiny'), await encoder('tiny')];
    const report = reportOf('bench', parts, { scale: 'tiny', startedAt: new Date() });
    const dir = mkdtempSync(join(tmpdir(), 'tsremus-bench-'));
    const path = join(dir, 'deep/report.json');
    writeReport(path, report);
    const read = JSON.parse(readFileSync(path, 'utf8'));
    rmSync(dir, { recursive: true });
    expect(read).toMatchObject({ schema: 1, benchmark: 'bench', scale: 'tiny' });
    expect(read.targets).toHaveLength(1);
    expect(read.targets[0]).toMatchObject({
      name: 'drain over memcpy',
      value: expect.any(Number),
      unit: 'x',
      target: 0.5,
      met: expect.any(Boolean),
    });
    expect(Object.keys(read.sections)).toEqual(['drain', 'pause-per-page', 'encoder']);
    expect(read.sections['pause-per-page'].rows).toHaveLength(2);
    expect(read.limits.every((text: string) => text.endsWith('.'))).toBe(true);
  });

  it('says met on either side of the bound', () => {
    expect([atLeast('a', 0.5, 'x', 0.5).met, atLeast('a', 0.49, 'x', 0.5).met]).toEqual([
      true,
      false,
    ]);
    expect([atMost('a', 3, 'x', 3).met, atMost('a', 3.01, 'x', 3).met]).toEqual([true, false]);
  });
});

describe('a simulated guest', () => {
  // Proves: every epoch has the pages that were asked for, besides the bookkeeping (page 0 and a
  // table page per 1,024), so that "N dirty pages" in the tables is true; and a pause was measured.
  it('rewrites exactly the pages of its burst in every epoch', async () => {
    const run = await withHost((host) => {
      createGuest(host, 'g1', { memoryMib: 32, workingSet: 4000 });
      const steps = [
        { burst: 40, epochs: 4 },
        { burst: 700, epochs: 4 },
      ];
      return save(host, { guest: 'g1', steps, everyMs: 0 });
    });
    const [few = [], many = []] = run.steps;
    for (const { pages, pauseNs, drainNs } of few) {
      expect(pages).toBeGreaterThanOrEqual(40);
      expect(pages).toBeLessThanOrEqual(40 + 5);
      expect(pauseNs).toBeGreaterThanOrEqual(drainNs);
    }
    for (const { pages } of many) {
      expect(pages).toBeGreaterThanOrEqual(700);
      expect(pages).toBeLessThanOrEqual(700 + 5);
    }
  });

  // Proves: a guest of gigabytes that was never touched stays a sparse file through its seed, and
  // the seed has all its pages nevertheless.
  it('of 2 GiB takes no memory that it does not use', async () => {
    await withHost(async (host) => {
      createGuest(host, 'g1', { memoryMib: 2048, workingSet: 1000 });
      const plan = { guest: 'g1', steps: [{ burst: 10, epochs: 1 }], everyMs: 0 };
      const { seed } = await save(host, plan);
      expect(seed.bytes).toBeGreaterThan(2048 * 2 ** 20 - 2 ** 20);
      expect(statSync(join(host.dir, '1/memory')).blocks * 512).toBeLessThan(32 * 2 ** 20);
    });
  });
});

describe('a page mix', () => {
  const page = (byte: number) => Buffer.alloc(4096, byte);
  const stream = Buffer.concat([
    streamStart(),
    epochOf([1, 2, 3].map((pfn) => ({ pfn, body: page(pfn % 3) }))),
    epochOf([2, 3].map((pfn) => ({ pfn, body: page(pfn % 3) }))),
  ]);

  // Proves: taking pages out leaves a stream that the checker and the encoder take, with all the
  // other pages, in order; and a mix is cut at the ends of its epochs.
  it('loses the pages that are taken out and nothing else', () => {
    expect(filterPages(stream, () => true).equals(stream)).toBe(true);
    const dense = filterPages(stream, ({ body }) => !isZero(body));
    const names = readRecords(dense).flatMap((record) =>
      recordName(record) === 'libxc PAGE_DATA' ? pagesOf(dense, record) : [],
    );
    expect(names.map(({ name, body }) => [Number(name), body?.[0]])).toEqual([
      [1, 1],
      [2, 2],
      [2, 2],
    ]);
    expect(epochsOf(dense)).toHaveLength(2);
    expect(Buffer.concat(epochsOf(dense)).equals(dense)).toBe(true);
  });

  // Proves: of what xl saved, with its own header and a torn end, the whole epochs stay, and of
  // the seed the pages that come again.
  it('is made of what xl saved', () => {
    const header = Buffer.alloc(48 + 5);
    header.writeUInt32LE(5, 44);
    const saved = Buffer.concat([header, stream, stream.subarray(-3000, -100)]);
    const { epochs, stream: kept } = fixtureOf(saved);
    expect(epochs).toBe(1);
    const seed = readRecords(kept).filter(({ epoch }) => epoch === 0);
    const pages = seed.flatMap((record) =>
      recordName(record) === 'libxc PAGE_DATA' ? pagesOf(kept, record) : [],
    );
    expect(pages.map(({ name }) => Number(name))).toEqual([2, 3]);
    expect(epochsOf(kept)[1]?.equals(epochsOf(stream)[1] ?? Buffer.alloc(0))).toBe(true);
  });

  it('is there, recorded or made', () => {
    const mixes = loadMixes();
    expect(mixes.map(({ name }) => name)).toContain('few words');
    for (const mix of mixes) expect(epochsOf(mix.stream).length, mix.name).toBeGreaterThan(1);
  });
});

describe('end to end', () => {
  it('measures epochs, bytes, pauses and both processes', async () => {
    const { raw } = await pipeline('tiny');
    const [outcome] = raw['outcomes'] as Record<string, number>[];
    expect(outcome?.['epochsPerSecond']).toBeGreaterThan(0);
    expect(outcome?.['rawBytesPerSecond']).toBeGreaterThan(0);
    expect(outcome?.['wireBytesPerSecond']).toBeGreaterThan(0);
    expect(outcome?.['rssBytes']).toMatchObject({ primary: expect.any(Number) });
  });

  // Proves: after a soak of some epochs the copy is compared and right, and memory was sampled.
  it('soaks', async () => {
    const options = {
      epochs: 10,
      memoryMib: 8,
      burst: 20,
      intervalMs: 10,
      everyMs: 100,
      timeMsMax: 600_000,
    };
    const { raw, targets } = await soak(options);
    expect(raw['comparison']).toEqual({ pages: 2048, wrong: [], wrongCount: 0, verify: null });
    const names = targets.map(({ name }) => name);
    expect(names).toContain('growth of the backup');
    expect(targets.find(({ name }) => name === 'epochs')?.met).toBe(true);
  });

  // Proves: one wrong byte in one page of a copy is found, and page 0 is left to the bookkeeping.
  it('finds the page of a copy that is wrong', () => {
    const dir = mkdtempSync(join(tmpdir(), 'tsremus-bench-'));
    const was = Buffer.alloc(5 * 2 ** 20, 7);
    const copy = Buffer.from(was);
    copy[0] = 1;
    copy[4096 * 1100 + 4095] = 1;
    writeFileSync(join(dir, 'copy'), copy);
    expect(comparePages(was, join(dir, 'copy'))).toEqual({ wrong: [1100], pages: 1280 });
    rmSync(dir, { recursive: true });
  });
});

// Proves: what is measured is a spawn beside a whole seed that nobody has read, and one beside as
// much of ordinary memory.
it('spawns while epochs are held', async () => {
  const { raw, targets } = await spawn('tiny');
  expect(raw['epochBytes']).toBeGreaterThan(15 * 2 ** 20);
  expect(raw['ordinaryBytes']).toBe(16 * 2 ** 20);
  expect([raw['nothing'], raw['epochs'], raw['ordinary']].map((ns) => (ns as []).length)).toEqual([
    3, 3, 3,
  ]);
  expect(targets).toHaveLength(1);
});

describe('a disk', () => {
  // Proves: each way of the library's is measured beside the one that does nothing else.
  it('is captured, digested, compared and written', async () => {
    const { tables, targets, raw } = await disk('tiny');
    expect(tables.map(({ rows }) => rows.length)).toEqual([4, 4]);
    expect(targets.map(({ value }) => value > 0)).toEqual([true, true, true, true]);
    expect(raw['rows']).toHaveLength(4);
  });

  // Proves: of a disk that was brought up to date before what changed is sent and no more; the
  // part itself has compared both disks byte by byte.
  it('of a returned host costs what changed', async () => {
    const { raw } = await diskReturn('tiny');
    const blocks = (raw['cases'] as { equal_bytes: number; sent_bytes: number }[]).map((one) => {
      return { equal: one.equal_bytes / 65_536, isSent: one.sent_bytes > 0 };
    });
    const [whole, same, runs, pages] = blocks;
    expect(whole).toEqual({ equal: 0, isSent: true });
    expect(same).toEqual({ equal: 128, isSent: false });
    expect(runs).toEqual({ equal: 112, isSent: true });
    expect(pages?.equal).toBeGreaterThanOrEqual(128 - 20);
    expect(pages?.equal).toBeLessThan(128);
  });

  it('under the mirror is told by the turns of its machine', () => {
    const line = (where: string, what: string, operations: number) =>
      `   figure: speed: where=${where} what=${what} length=4096 depth=32 ` +
      `operations=${operations} ms=500`;
    const said = [
      ...[line('bare', 'read', 100), line('mirror', 'read', 95), line('bare', 'read', 80)],
      ...[line('bare', 'write', 1_000), line('mirror', 'write', 500), line('hop', 'write', 800)],
    ].join('\n');
    const { tables, targets } = sectionOf(turnsIn(said), '6.1');
    expect(tables[0]?.rows).toEqual([
      ['read 4 KiB, 32 under way', 200, 190, 0.95],
      ['write 4 KiB, 32 under way', 2_000, 1_000, 0.5],
    ]);
    expect(tables[1]?.rows).toEqual([['write 4 KiB, 32 under way', 16, 20, 32, '63 %']]);
    expect(targets.map(({ target, met }) => [target, met])).toEqual([
      [0.9, true],
      [0.7, false],
    ]);
  });
});

describe('figures', () => {
  it('are taken where the definition says', () => {
    const values = [9, 1, 5, 3, 7, 2, 8, 4, 6, 10];
    expect([undisturbed(values), quantile(values, 0.5), quantile(values, 1)]).toEqual([2, 6, 10]);
    const { slope, intercept } = lineThrough([1, 2, 3].map((x) => ({ x, y: 3 * x + 2 })));
    expect([slope, intercept]).toEqual([3, 2]);
  });

  it('have a yardstick in the same run', () => {
    for (const measure of [
      yardstick.memcpyOf,
      yardstick.gatherOf,
      yardstick.pipeOf,
      yardstick.socketOf,
    ]) {
      const stick = measure(1 << 20, 3);
      expect(stick.ns).toHaveLength(3);
      expect(yardstick.speedOf(stick)).toBeGreaterThan(0);
    }
    // A million equal bytes: whichever compressors are here make little of them.
    const input = Buffer.alloc(1 << 20, 'a');
    for (const stick of [
      yardstick.zstdOf(input, 1, 1 << 18, 1),
      yardstick.lz4Of(input, 1 << 18, 1),
    ]) {
      if (stick !== null) expect(stick.out).toBeLessThan(input.length / 100);
    }
  });

  it('stand in columns', () => {
    const table = {
      title: 'T',
      columns: ['', 'n'],
      rows: [
        ['a', 10],
        ['bb', null],
      ],
    };
    expect(tableText(table)).toBe('T\n       n\n  a   10\n  bb   -');
  });
});

describe('the command line', () => {
  it('chooses parts and refuses what there is not', () => {
    const parts = ['drain', 'pipeline'];
    expect(parseBenchOptions(['--quick', 'drain', '--json', 'f'], parts)).toEqual({
      names: ['drain'],
      scale: 'quick',
      json: 'f',
    });
    expect(parseBenchOptions(['drian'], parts)).toMatch(/"drian"/);
    expect(parseBenchOptions(['--fast'], parts)).toMatch(/--fast/);
  });
});
