/**
 * What the native library does with a guest's disk (native/bench/disk.c): the capture against a
 * server that only reads and answers, digests, and what writes a copy. The volume and its kernel
 * are models here; what a guest sees of a mirror is the part `disk-mirror`.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { undisturbed } from './figures.ts';
import type { Scale } from './options.ts';
import { atLeast, rounded, type Section, type Table, type Target } from './report.ts';

const build = join(import.meta.dirname, '../../native/build');
const kib = 1024;
const mib = 2 ** 20;

interface Sizes {
  readonly rounds: number;
  /** What is measured side by side takes turns, so often: neither has the quiet minutes. */
  readonly turns: number;
  readonly fileMib: number;
}

const sizes: Readonly<Record<Scale, Sizes>> = {
  tiny: { rounds: 2, turns: 1, fileMib: 2 },
  quick: { rounds: 10, turns: 2, fileMib: 64 },
  full: { rounds: 20, turns: 5, fileMib: 256 },
};

interface Rounds {
  /** Of one. */
  readonly bytes: number;
  readonly ns: readonly number[];
  /** Of the processor, all threads. */
  readonly cpuNs: readonly number[];
}

function ask(...args: readonly (string | number)[]): Rounds {
  const { status, stdout, stderr, error } = spawnSync(join(build, 'disk-bench'), args.map(String), {
    encoding: 'utf8',
  });
  if (status === 0) return JSON.parse(stdout) as Rounds;
  throw new Error(`disk-bench ${args.join(' ')}: ${error?.message ?? stderr}; run npm run bench`);
}

/** All of these in turn, each with `words` behind its name. */
function takeTurns<Name extends string>(
  names: readonly Name[],
  turns: number,
  ...words: readonly (string | number)[]
): Record<Name, Rounds> {
  const all = {} as Record<Name, Rounds>;
  for (let turn = 0; turn < turns; turn += 1) {
    for (const name of names) {
      const one = ask(name, ...words);
      const [ns = [], cpuNs = []] = [all[name]?.ns, all[name]?.cpuNs];
      all[name] = { ...one, ns: [...ns, ...one.ns], cpuNs: [...cpuNs, ...one.cpuNs] };
    }
  }
  return all;
}

/** GB (10^9 bytes) a second. */
const speed = ({ bytes, ns }: Rounds) => bytes / undisturbed(ns);
const cpuSpeed = ({ bytes, cpuNs }: Rounds) => bytes / undisturbed(cpuNs);

/** Of what a guest writes: a write's bytes, how many are under way, and the bytes of a round. */
const loads = [
  { length: 4 * kib, depth: 1, bytes: mib },
  { length: 4 * kib, depth: 32, bytes: 4 * mib },
  { length: mib, depth: 1, bytes: 32 * mib },
  { length: mib, depth: 32, bytes: 32 * mib },
];

const nameOf = ({ length, depth }: { readonly length: number; readonly depth: number }) =>
  `${length === mib ? '1 MiB' : `${length / kib} KiB`}, ${depth} under way`;

interface Captured {
  readonly load: (typeof loads)[number];
  readonly rounds: Record<'capture' | 'sink' | 'store', Rounds>;
}

function measureCaptures({ rounds, turns, fileMib }: Sizes): Captured[] {
  return loads.map((load) => {
    const words = [load.length, load.depth, Math.min(load.bytes, fileMib * mib), rounds];
    return { load, rounds: takeTurns(['capture', 'sink', 'store'], turns, ...words) };
  });
}

function captureTable(captured: readonly Captured[]): Table {
  return {
    title: 'Writes into the capture of a disk, which somebody reads, GB/s',
    columns: ['writes of', 'capture', 'a second', 'sink', 'sink, 64 MiB', 'of sink'],
    rows: captured.map(({ load, rounds: { capture, sink, store } }) => [
      nameOf(load),
      rounded(speed(capture)),
      Math.round((speed(capture) * 1e9) / load.length),
      rounded(speed(sink)),
      rounded(speed(store)),
      rounded(speed(capture) / speed(sink)),
    ]),
  };
}

const captureTargets = (captured: readonly Captured[]): Target[] =>
  captured.map(({ load, rounds: { capture, sink } }) =>
    atLeast(`capture over sink, ${nameOf(load)}`, speed(capture) / speed(sink), 'x', 0.9),
  );

interface Row {
  readonly name: string;
  readonly ours: Rounds;
  readonly bare: Rounds | null;
}

/** On a plain file beside what was built, past the page cache. */
function measureDisk({ rounds, turns, fileMib }: Sizes): Row[] {
  const folder = mkdtempSync(join(build, 'bench-disk-'));
  const file = join(folder, 'disk.img');
  try {
    const content = Buffer.alloc(mib);
    for (let at = 0; at < mib; at += 4)
      content.writeUInt32LE(Math.imul(at, 2_654_435_761) >>> 0, at);
    writeFileSync(file, Buffer.alloc(fileMib * mib, content));
    const few = Math.max(1, Math.ceil(rounds / 10));
    const read = takeTurns(['compare', 'read'], turns, file, few);
    const applies = [
      { length: 4 * kib, bytes: fileMib === 2 ? mib : 8 * mib },
      { length: mib, bytes: fileMib === 2 ? 2 * mib : 32 * mib },
    ].map(({ length, bytes }) => {
      const { apply, write } = takeTurns(['apply', 'write'], turns, file, length, bytes, few);
      const name = `apply writes of ${length / kib} KiB, synced`;
      return { name, ours: apply, bare: write };
    });
    return [{ name: 'compare: read and digest', ours: read.compare, bare: read.read }, ...applies];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function diskTable(rows: readonly Row[]): Table {
  return {
    title: 'A disk that is compared, and one that is written, GB/s',
    columns: ['', 'elapsed', 'bare disk', 'of bare', 'of processor time'],
    rows: rows.map(({ name, ours, bare }) => [
      name,
      bare === null ? null : rounded(speed(ours)),
      bare === null ? null : rounded(speed(bare)),
      bare === null ? null : rounded(speed(ours) / speed(bare)),
      rounded(cpuSpeed(ours)),
    ]),
  };
}

export async function disk(scale: Scale): Promise<Section> {
  const size = sizes[scale];
  const captured = measureCaptures(size);
  const { digest } = takeTurns(['digest'], size.turns, 16 * mib, size.rounds);
  const rows = [{ name: 'digests of memory', ours: digest, bare: null }, ...measureDisk(size)];
  return {
    name: 'disk',
    tables: [captureTable(captured), diskTable(rows)],
    limits: [
      'The sink takes every write into the same memory, which stays in the cache. The capture ' +
        'has room for 64 MiB and is read by a third thread: what the column "sink, 64 MiB" ' +
        'lacks is memory, what the capture lacks beyond it is that thread and the order of an ' +
        'epoch.',
      'A comparison reads and digests in turn, on one thread for each disk of each host; its ' +
        'bare disk is the same reads. The bare disk of an epoch is one write after the other, ' +
        'past the page cache, and one sync.',
    ],
    targets: captureTargets(captured),
    skipped: [],
    raw: { captured, rows },
  };
}
