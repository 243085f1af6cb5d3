/**
 * `npm run soak:simxl`: a guest under protection for so many epochs that a leak shows, and a copy
 * that is compared page by page at the end. Bounded by --epochs and --minutes; says every minute
 * how far it is.
 * Exit code 1 when a page of the copy is wrong, 0 otherwise: memory that grows is a missed target.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { sleep } from '../lab/command.ts';
import type { SimHost } from '../simxl/sim-host.ts';
import { lineThrough, mean } from './figures.ts';
import { guestName, ProtectedPair, type Sample } from './protected-pair.ts';
import {
  atLeast,
  atMost,
  reportOf,
  rounded,
  type Section,
  sectionText,
  tableText,
  targetTable,
  writeReport,
} from './report.ts';

const pageBytes = 4096;
const mib = 2 ** 20;
const blockBytes = 4 * mib;
/** Growth over the whole soak that still counts as flat: a few buffers and what V8 keeps. */
const flatMib = 16;
/** The first tenth warms caches, pools and V8. */
const warmFraction = 0.1;

export interface SoakOptions {
  readonly epochs: number;
  readonly memoryMib: number;
  /** Pages rewritten in every epoch. */
  readonly burst: number;
  readonly intervalMs: number;
  readonly everyMs: number;
  /** Ends then, however many epochs there were; the copy is verified all the same. */
  readonly timeMsMax: number;
}

interface Comparison {
  readonly pages: number;
  /** Numbers of the pages that differ, at most a hundred. */
  readonly wrong: readonly number[];
  readonly wrongCount: number;
  /** What simxl's own bookkeeping says of the copy; null: all is well. */
  readonly verify: string | null;
}

/** The memory file of the one domain of a host. */
function memoryFile(host: SimHost): string {
  const domid = readdirSync(host.dir).find((name) => /^\d+$/.test(name));
  if (domid === undefined) throw new Error(`no domain in ${host.dir}`);
  return join(host.dir, domid, 'memory');
}

/** A file in pieces; each is valid until the next one is asked for. */
function* blocks(path: string): Generator<Buffer> {
  const fd = openSync(path, 'r');
  const block = Buffer.alloc(blockBytes);
  try {
    for (let n = readSync(fd, block); n > 0; n = readSync(fd, block)) yield block.subarray(0, n);
  } finally {
    closeSync(fd);
  }
}

/**
 * Every page of the copy against what the primary's guest had. Page 0 alone is left to simxl's
 * verify: a guest that runs on counts in it.
 */
export function comparePages(was: Buffer, copy: string): { wrong: number[]; pages: number } {
  const wrong: number[] = [];
  let at = 0;
  for (const block of blocks(copy)) {
    for (let offset = 0; offset < block.length; offset += pageBytes, at += pageBytes) {
      const end = offset + pageBytes;
      if (at > 0 && was.compare(block, offset, end, at, at + pageBytes) !== 0) {
        wrong.push(at / pageBytes);
      }
    }
  }
  if (at !== was.length) throw new Error(`the copy has ${at} bytes, not ${was.length}`);
  return { wrong, pages: at / pageBytes };
}

/** Lets the guest fall silent, loses its host, and looks at what came up on the other one. */
async function verifyCopy(pair: ProtectedPair): Promise<Comparison> {
  pair.burst(0);
  const { epoch } = await pair.sample();
  // Two whole epochs without a write: what is acknowledged then is what the guest has.
  while ((await pair.sample()).epoch < epoch + 4);
  const was = readFileSync(memoryFile(pair.a));
  await pair.loseHost();
  const { wrong, pages } = comparePages(was, memoryFile(pair.b));
  return {
    pages,
    wrong: wrong.slice(0, 100),
    wrongCount: wrong.length,
    verify: pair.b.wrong(guestName),
  };
}

/** MiB that a side would grow by over the whole soak, by the line through what was seen. */
function growthMib(samples: readonly Sample[], side: 'primary' | 'backup', epochs: number): number {
  const warm = samples.slice(Math.floor(samples.length * warmFraction));
  const points = warm.map((sample) => ({ x: sample.epoch, y: sample[side].rssBytes / mib }));
  return lineThrough(points).slope * epochs;
}

async function gather(pair: ProtectedPair, options: SoakOptions): Promise<Sample[]> {
  const endMs = performance.now() + options.timeMsMax;
  let last = await pair.sample();
  const samples: Sample[] = [last];
  do {
    await sleep(options.everyMs);
    last = await pair.sample();
    samples.push(last);
    const [primary, backup] = [last.primary, last.backup].map(({ rssBytes }) => rssBytes / mib);
    if (samples.length % 12 === 0) {
      const rss = `${primary?.toFixed(1)} + ${backup?.toFixed(1)} MiB`;
      console.log(`epoch ${last.epoch} of ${options.epochs}, ${rss}`);
    }
  } while (last.epoch < options.epochs && performance.now() < endMs);
  return samples;
}

export async function soak(options: SoakOptions): Promise<Section> {
  const pair = new ProtectedPair();
  try {
    const { memoryMib, burst, intervalMs } = options;
    const workingSet = memoryMib * 256; // all of it; simxl takes what there is
    await pair.start({ memoryMib, workingSet }, burst, ['-i', String(intervalMs)]);
    const samples = await gather(pair, options);
    const comparison = await verifyCopy(pair);
    return sectionOf(options, samples, comparison);
  } finally {
    pair.close();
  }
}

function sectionOf(
  options: SoakOptions,
  samples: readonly Sample[],
  comparison: Comparison,
): Section {
  const [first, last] = [samples[0], samples.at(-1)];
  if (first === undefined || last === undefined) throw new Error('nothing was sampled');
  const seconds = (last.timeMs - first.timeMs) / 1000;
  const growth = {
    primary: growthMib(samples, 'primary', last.epoch),
    backup: growthMib(samples, 'backup', last.epoch),
  };
  const tenth = Math.max(1, Math.floor(samples.length / 10));
  const rss = (side: 'primary' | 'backup', part: readonly Sample[]) =>
    rounded(mean(part.map((sample) => sample[side].rssBytes / mib)));
  const row = (side: 'primary' | 'backup') => [
    side,
    rss(side, samples.slice(tenth, 2 * tenth)),
    rss(side, samples.slice(-tenth)),
    rounded(growth[side]),
  ];
  return {
    name: 'soak',
    tables: [
      {
        title:
          `${last.epoch} epochs of ${options.burst} pages, a guest of ${options.memoryMib} MiB, ` +
          `${Math.round(seconds)} s`,
        columns: ['memory in use', 'second tenth MiB', 'last tenth MiB', 'slope, MiB in all'],
        rows: [row('primary'), row('backup')],
      },
      {
        title: 'The copy, after the first host was lost',
        columns: ['pages compared', 'wrong', 'bookkeeping'],
        rows: [[String(comparison.pages - 1), comparison.wrongCount, comparison.verify ?? 'right']],
      },
    ],
    limits: [],
    targets: [
      atLeast('epochs', last.epoch, '', options.epochs),
      atMost('wrong pages in the copy', comparison.wrongCount, '', 0),
      atMost('growth of the primary', growth.primary, 'MiB', flatMib),
      atMost('growth of the backup', growth.backup, 'MiB', flatMib),
    ],
    skipped: [],
    raw: { options, samples, comparison, growth_mib: growth, seconds },
  };
}

const usage = `usage: npm run soak:simxl -- [--epochs N] [--minutes N] [--pages N] [--memory MIB]
       [--interval MS] [--json FILE]`;

function count(name: string, text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  console.error(`--${name} needs a whole number, not ${text}\n${usage}`);
  process.exit(64);
}

export async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      epochs: { type: 'string', default: '100000' },
      minutes: { type: 'string', default: '1440' },
      pages: { type: 'string', default: '100' },
      memory: { type: 'string', default: '32' },
      interval: { type: 'string', default: '10' },
      json: { type: 'string' },
    },
  });
  const startedAt = new Date();
  const section = await soak({
    epochs: count('epochs', values.epochs),
    memoryMib: count('memory', values.memory),
    burst: count('pages', values.pages),
    intervalMs: count('interval', values.interval),
    everyMs: 5000,
    timeMsMax: count('minutes', values.minutes) * 60_000,
  });
  const report = reportOf('soak:simxl', [section], { scale: 'full', startedAt });
  console.log(`${sectionText(section)}\n\n${tableText(targetTable(report.targets))}`);
  if (values.json !== undefined) writeReport(values.json, report);
  const { wrongCount, verify } = section.raw['comparison'] as Comparison;
  return wrongCount === 0 && verify === null ? 0 : 1;
}

if (process.argv[1] === import.meta.filename) process.exitCode = await main(process.argv.slice(2));
