/**
 * End to end on one machine: drain, encode, send, check, acknowledge, apply; two processes with a
 * pipe between them. How many epochs a second, how many bytes, at what cost in the guest's time.
 */
import type { Histograms } from '../../src/registry/status.ts';
import { sleep } from '../lab/command.ts';
import { mean, quantile } from './figures.ts';
import type { Scale } from './options.ts';
import { ProtectedPair, type Sample } from './protected-pair.ts';
import { atLeast, rounded, type Section } from './report.ts';

const mib = 2 ** 20;
/** The shortest interval that protect takes. */
const intervalMs = 10;

const pageCounts: Readonly<Record<Scale, readonly number[]>> = {
  tiny: [10],
  quick: [100, 1000],
  full: [100, 1000, 10_000, 65_536],
};
const seconds: Readonly<Record<Scale, number>> = { tiny: 0.2, quick: 3, full: 15 };

interface Load {
  readonly pages: number;
  readonly seconds: number;
  readonly args: readonly string[];
}

interface Outcome extends Load {
  readonly epochsPerSecond: number;
  /** Of the stream, before anything is encoded. */
  readonly rawBytesPerSecond: number;
  readonly wireBytesPerSecond: number;
  readonly pausesMs: readonly number[];
  readonly rssBytes: { readonly primary: number; readonly backup: number };
  /** Of one processor. */
  readonly cpuShare: { readonly primary: number; readonly backup: number };
  readonly samples: readonly Sample[];
  /** What the session itself counted since its beginning. */
  readonly histograms: Histograms | null;
}

export async function measureLoad(load: Load): Promise<Outcome> {
  const pair = new ProtectedPair();
  try {
    const memoryMib = Math.max(128, Math.ceil((load.pages * 4096) / mib) + 64);
    await pair.start(
      { memoryMib, workingSet: Math.max(16_384, load.pages) },
      load.pages,
      load.args,
    );
    await pair.sample(); // the seed's buffers have been given back by then
    const first = await pair.sample();
    await sleep(load.seconds * 1000);
    const last = await pair.sample();
    const seconds = (last.timeMs - first.timeMs) / 1000;
    const epochs = last.epoch - first.epoch;
    const histograms = pair.status()?.histograms ?? null;
    const cpu = (side: 'primary' | 'backup') =>
      (last[side].cpuMs - first[side].cpuMs) / (seconds * 1000);
    return {
      ...load,
      epochsPerSecond: epochs / seconds,
      rawBytesPerSecond: (last.bytesRaw - first.bytesRaw) / seconds,
      wireBytesPerSecond: (last.bytesSent - first.bytesSent) / seconds,
      pausesMs: pair
        .pausesNs()
        .slice(-epochs)
        .map((ns) => ns / 1e6),
      rssBytes: { primary: last.primary.rssBytes, backup: last.backup.rssBytes },
      cpuShare: { primary: cpu('primary'), backup: cpu('backup') },
      samples: [first, last],
      histograms,
    };
  } finally {
    pair.close();
  }
}

/** Percent of the guest's time that it stands still. */
const lostPercent = ({ epochsPerSecond, pausesMs }: Outcome) =>
  (mean(pausesMs) * epochsPerSecond) / 10;

const columns = [
  'dirty pages',
  'codec',
  'epochs/s',
  'raw MB/s',
  'wire MB/s',
  'pause ms',
  'p90',
  'guest time lost',
  'CPU primary',
  'CPU backup',
  'RSS MiB',
];

function rowOf(outcome: Outcome): (string | number)[] {
  const { pages, epochsPerSecond, rawBytesPerSecond, wireBytesPerSecond, pausesMs } = outcome;
  const percent = (share: number) => `${Math.round(share * 100)} %`;
  return [
    String(pages),
    outcome.args.includes('-u') ? 'none' : 'zstd',
    rounded(epochsPerSecond),
    rounded(rawBytesPerSecond / 1e6),
    rounded(wireBytesPerSecond / 1e6),
    rounded(mean(pausesMs)),
    rounded(quantile(pausesMs, 0.9)),
    `${rounded(lostPercent(outcome))} %`,
    percent(outcome.cpuShare.primary),
    percent(outcome.cpuShare.backup),
    `${Math.round(outcome.rssBytes.primary / mib)} + ${Math.round(outcome.rssBytes.backup / mib)}`,
  ];
}

/** As fast as it goes, with small and big epochs. */
export async function pipeline(scale: Scale): Promise<Section> {
  const args = ['-i', String(intervalMs)];
  const outcomes: Outcome[] = [];
  for (const pages of pageCounts[scale]) {
    outcomes.push(await measureLoad({ pages, seconds: seconds[scale], args }));
  }
  if (scale === 'full') {
    const plain = [...args, '-u'];
    outcomes.push(await measureLoad({ pages: 10_000, seconds: seconds.full, args: plain }));
  }
  return {
    name: 'pipeline',
    tables: [
      {
        title: `End to end over a pipe, two processes, an interval of ${intervalMs} ms`,
        columns,
        rows: outcomes.map(rowOf),
      },
    ],
    limits: [
      'Primary, backup and both guests share the processors of one machine here. Where the CPU ' +
        'columns add up to what the machine has, the processors are the limit; where they ' +
        'do not, the interval and the way to and fro of the acknowledgement are.',
    ],
    targets: [],
    skipped: [],
    raw: { intervalMs, outcomes },
  };
}

/** The paper's highest rate with a real backup behind it. */
export async function sustained(scale: Scale): Promise<Section> {
  const args = ['-i', String(intervalMs)];
  const outcome = await measureLoad({ pages: 1000, seconds: 4 * seconds[scale], args });
  return {
    name: 'sustained',
    tables: [
      {
        title: 'Sustained checkpoints of 1,000 dirty pages, acknowledged by a backup',
        columns,
        rows: [rowOf(outcome)],
      },
    ],
    limits: [
      `The guest stood still for ${rounded(lostPercent(outcome))} % of the time: the overhead of ` +
        `${rounded(outcome.epochsPerSecond)} checkpoints a second.`,
    ],
    targets: [atLeast('checkpoints a second, acknowledged', outcome.epochsPerSecond, '/s', 40)],
    skipped: [],
    raw: { outcome, guest_time_lost_percent: lostPercent(outcome) },
  };
}
