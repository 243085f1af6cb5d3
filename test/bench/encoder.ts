/**
 * The page encoding on the mixes: bytes a second of one core and what becomes of them, beside
 * `zstd -1` and lz4 on the same bytes. Measured by processor time, so that a busy machine shows the
 * same figures. Zero pages are taken out first and reported apart: they cost nothing and would
 * flatter everything.
 */
import { batchBytesMax, type PageCounts } from '../../src/stream/codec/codec.ts';
import { openStreamEncoder } from '../../src/stream/codec/encoder.ts';
import { cut } from '../stream/codec/streams.ts';
import { undisturbed } from './figures.ts';
import { epochsOf, filterPages, isZero, loadMixes, type Mix } from './mixes.ts';
import type { Scale } from './options.ts';
import { atLeast, atMost, rounded, type Section, type Target } from './report.ts';
import * as yardstick from './yardstick.ts';

const cacheBytes = 512 << 20;
const leastMs: Readonly<Record<Scale, number>> = { tiny: 1, quick: 200, full: 2000 };
const mixesWanted: Readonly<Record<Scale, number>> = { tiny: 1, quick: 99, full: 99 };

interface Encoded {
  readonly rawBytes: number;
  readonly wireBytes: number;
  /** Of the processor, both sides of the foreign call, ns a round. */
  readonly cpuNs: readonly number[];
  readonly pages: PageCounts;
}

interface MixFigures {
  readonly name: string;
  readonly origin: Mix['origin'];
  readonly zeroPages: number;
  readonly allPages: number;
  /** Without the zero pages. */
  readonly encoded: Encoded;
  readonly zstd: yardstick.Yardstick | null;
  readonly lz4: yardstick.Yardstick | null;
}

/** One session: the seed unmeasured, then every epoch, one batch after the other. */
async function encodeOnce(
  epochs: readonly Buffer[],
): Promise<Omit<Encoded, 'cpuNs'> & { ns: number }> {
  const encoder = await openStreamEncoder({ codec: 'zstd', cacheBytes });
  try {
    const epoch = async (raw: Buffer) => {
      for (const piece of cut(raw, [batchBytesMax])) await encoder.encode(piece);
      return encoder.endEpoch();
    };
    const [seed, ...rest] = epochs;
    if (seed === undefined) throw new Error('a mix without a seed');
    await epoch(seed);
    const pages = { same: 0, zero: 0, delta: 0, copy: 0 };
    let [rawBytes, wireBytes] = [0, 0];
    const began = process.cpuUsage();
    for (const raw of rest) {
      const end = await epoch(raw);
      rawBytes += end.rawBytes;
      wireBytes += end.wireBytes;
      for (const kind of ['same', 'zero', 'delta', 'copy'] as const) pages[kind] += end.pages[kind];
    }
    const { user, system } = process.cpuUsage(began);
    return { rawBytes, wireBytes, pages, ns: (user + system) * 1000 };
  } finally {
    encoder.close();
  }
}

async function encode(epochs: readonly Buffer[], ms: number): Promise<Encoded> {
  const cpuNs: number[] = [];
  const endMs = performance.now() + ms;
  for (;;) {
    const { ns, ...found } = await encodeOnce(epochs);
    cpuNs.push(ns);
    // The first one pays for compiling.
    if (cpuNs.length > 2 && performance.now() > endMs) return { ...found, cpuNs };
  }
}

async function measureMix({ name, origin, stream }: Mix, ms: number): Promise<MixFigures> {
  let [zeroPages, allPages] = [0, 0];
  const dense = filterPages(stream, ({ body }, epoch) => {
    const zero = isZero(body);
    if (epoch > 0 && body !== null) allPages += 1;
    if (epoch > 0 && zero) zeroPages += 1;
    return !zero;
  });
  const epochs = epochsOf(dense);
  const measured = Buffer.concat(epochs.slice(1));
  return {
    name,
    origin,
    zeroPages,
    allPages,
    encoded: await encode(epochs, ms),
    zstd: yardstick.zstdOf(measured, 1, batchBytesMax, ms / 2),
    lz4: yardstick.lz4Of(measured, batchBytesMax, ms / 2),
  };
}

const speed = ({ rawBytes, cpuNs }: Encoded) => rawBytes / undisturbed(cpuNs);
const ratio = ({ rawBytes, wireBytes }: Encoded) => rawBytes / wireBytes;

function row(mix: MixFigures): (string | number | null)[] {
  const { pages } = mix.encoded;
  const sent = pages.same + pages.zero + pages.delta + pages.copy;
  const percent = (count: number) => `${Math.round((100 * count) / Math.max(1, sent))} %`;
  const other = (stick: yardstick.Yardstick | null) =>
    stick === null
      ? [null, null]
      : [rounded(yardstick.speedOf(stick)), rounded(stick.bytes / stick.out)];
  return [
    `${mix.name} (${mix.origin})`,
    rounded(mix.encoded.rawBytes / 1e6),
    `${Math.round((100 * mix.zeroPages) / Math.max(1, mix.allPages))} %`,
    rounded(speed(mix.encoded)),
    rounded(ratio(mix.encoded)),
    percent(pages.same),
    percent(pages.delta),
    percent(pages.copy),
    ...other(mix.zstd),
    ...other(mix.lz4),
  ];
}

function targetsOf(mixes: readonly MixFigures[]): Target[] {
  const find = (name: string) => mixes.filter((mix) => mix.name === name);
  return [
    ...find('idle').flatMap(({ encoded }) => [
      atLeast('encoder on the idle mix, one core', speed(encoded), 'GB/s', 1),
      atMost('bytes sent of the idle mix', 1 / ratio(encoded), 'of raw', 1 / 5),
    ]),
    ...find('few words').map(({ encoded }) =>
      atMost('bytes sent of pages with few changed words', 1 / ratio(encoded), 'of raw', 1 / 20),
    ),
  ];
}

export async function encoder(scale: Scale): Promise<Section> {
  const mixes: MixFigures[] = [];
  for (const mix of loadMixes().slice(-mixesWanted[scale])) {
    mixes.push(await measureMix(mix, leastMs[scale]));
  }
  const missing = (['zstd', 'lz4'] as const)
    .filter((name) => mixes.some((mix) => mix[name] === null))
    .map((name) => `${name} beside it: lib${name} is not on this machine`);
  const areRecorded = mixes.some(({ name }) => name === 'idle') || scale === 'tiny';
  return {
    name: 'encoder',
    tables: [
      {
        title: 'Page encoding, one core, zero pages taken out (GB/s of processor time; raw : wire)',
        columns: [
          'mix',
          'raw MB',
          'zero',
          'GB/s',
          'ratio',
          'same',
          'delta',
          'copy',
          'zstd -1',
          'ratio',
          'lz4',
          'ratio',
        ],
        rows: mixes.map(row),
      },
    ],
    limits: [
      'Pages that were sent before are compared with their copy: memory speed, two reads a page. ' +
        'What is new goes through zstd at level 1, which is the limit wherever the column copy ' +
        'is not small.',
    ],
    targets: targetsOf(mixes),
    skipped: areRecorded
      ? missing
      : [...missing, 'the recorded mixes: test/fixtures/mixes is empty'],
    raw: { mixes, cacheBytes },
  };
}
