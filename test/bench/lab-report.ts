/** Tables and targets of `npm run bench:lab`: ratios of two runs of one boot. */

import type { NetworkFigures } from '../lab/bench-net.ts';
import type { HeldFigures, PlugTimes } from '../lab/host-program.ts';
import type { LabRun, LinkKind } from './lab-tools.ts';
import type { Window } from './lab-window.ts';
import type { Scale } from './options.ts';
import {
  atMost,
  type BenchReport,
  reportOf,
  rounded,
  type Section,
  sectionText,
  type Table,
  type Target,
  tableText,
  targetTable,
} from './report.ts';

export interface LabFound {
  /** The same guest without protection. */
  readonly baseline: readonly Window[];
  readonly runs: readonly LabRun[];
  /** What a client sees; empty: was not asked for. */
  readonly network: readonly NetworkFigures[];
  /** What one epoch held of what a guest sent flat out; empty: was not asked for. */
  readonly held: readonly (HeldFigures & { readonly load: string })[];
  /** What a barrier and a release take; empty: was not asked for. */
  readonly plug: readonly PlugTimes[];
}

export interface LabContext {
  readonly scale: Scale;
  readonly startedAt: Date;
  readonly lab: Readonly<Record<string, unknown>>;
}

const heavy = 20_000;

const windowOf = (run: LabRun | undefined, rate: number) =>
  run?.windows.find((window) => window.rate === rate);

const periodMs = ({ seconds, epochs }: Window) => (seconds * 1000) / Math.max(1, epochs);

const title = ({ tool, link, args }: LabRun) =>
  `${tool}, ${link} link${args.length === 0 ? ', automatic' : ''}`;

function lost(window: Window, baseline: readonly Window[]): number {
  const before = baseline.find(({ rate }) => rate === window.rate);
  // An idle guest rewrites nothing: what it loses is the time that it stands still.
  if (before === undefined || before.rewritesPerSecond < 1) return window.stood;
  return 1 - window.rewritesPerSecond / before.rewritesPerSecond;
}

function rowsOf(run: LabRun, baseline: readonly Window[]): (string | number)[][] {
  return run.windows.map((window) => [
    title(run),
    window.rate,
    Math.round(window.pauses.mean),
    Math.round(window.pauses.p90),
    Math.round(window.pauses.max),
    Math.round(window.gaps.mean),
    Math.round(periodMs(window)),
    rounded(window.wireBytesPerSecond / 1e6),
    `${Math.round(window.cpu.a * 100)} + ${Math.round(window.cpu.b * 100)}`,
    `${Math.round(lost(window, baseline) * 100)} %`,
    rounded(run.seedMs / 1000),
  ]);
}

function pair(found: LabFound, link: LinkKind) {
  const of = (tool: string) =>
    found.runs.find((run) => run.tool === tool && run.link === link && run.args.length > 0);
  return { stock: of('xl remus'), ours: of('tsremus') };
}

/** Targets of one link; nothing where one of the two was not measured. */
function linkTargets(found: LabFound, link: LinkKind, pauseTarget: number): Target[] {
  const { stock, ours } = pair(found, link);
  const [theirs, own] = [windowOf(stock, heavy), windowOf(ours, heavy)];
  if (stock === undefined || ours === undefined || !theirs || !own) return [];
  const [name, x] = [`${link} link`, 'of stock'];
  return [
    atMost(
      `mean pause at 20,000 pages/s, ${name}`,
      own.pauses.mean / theirs.pauses.mean,
      x,
      pauseTarget,
    ),
    atMost(
      `bytes on the wire at 20,000 pages/s, ${name}`,
      own.wireBytesPerSecond / theirs.wireBytesPerSecond,
      x,
      0.25,
    ),
    atMost(`seed, ${name}`, ours.seedMs / stock.seedMs, x, 0.5),
  ];
}

/** dom0's work for protection alone: above what the same guest costs without it. */
function idleTarget(found: LabFound): Target[] {
  const idle = (run: LabRun | undefined) => windowOf(run, 0)?.cpu.a;
  const base = found.baseline.find(({ rate }) => rate === 0)?.cpu.a ?? 0;
  const theirs = idle(pair(found, 'free').stock);
  const own = idle(found.runs.find(({ args }) => args.length === 0));
  if (theirs === undefined || own === undefined) return [];
  const ratio = (own - base) / (theirs - base);
  return [atMost('dom0 CPU of an idle guest, automatic mode', ratio, 'of stock', 0.2)];
}

const columns = [
  '',
  'pages/s',
  'pause ms',
  'p90',
  'max',
  'gap outside',
  'period',
  'wire MB/s',
  'CPU % a + b',
  'lost',
  'seed s',
];

function baselineRow(window: Window): (string | number)[] {
  const cpu = `${Math.round(window.cpu.a * 100)} + ${Math.round(window.cpu.b * 100)}`;
  const wire = rounded(window.wireBytesPerSecond / 1e6);
  // What an emulated processor that is kept waiting looks like: no checkpoint pauses it.
  const { count, mean, p90, max } = window.pauses;
  const stalls = count === 0 ? ['-', '-', '-'] : [mean, p90, max].map(Math.round);
  return ['unprotected', window.rate, ...stalls, '-', '-', wire, cpu, '0 %', '-'];
}

function networkTable(rows: readonly NetworkFigures[]): Table {
  const columns = [
    '-i',
    'round trip ms',
    'p90',
    'max',
    'answers/s',
    'of many/s',
    'MB/s',
    'epoch ms',
  ];
  return {
    title: 'What a client sees of the guest, its output buffered',
    columns,
    rows: rows.map((row) => [
      row.interval ?? 'unprotected',
      rounded(row.roundTripP50Ms),
      rounded(row.roundTripP90Ms),
      rounded(row.roundTripMaxMs),
      rounded(row.alonePerSecond),
      rounded(row.pipelinedPerSecond),
      rounded(row.throughputBytesPerSecond / 1e6),
      row.epochEveryMs === null ? null : rounded(row.epochEveryMs),
    ]),
  };
}

function heldTable(rows: LabFound['held']): Table {
  return {
    title: 'What one epoch holds of what a guest sends flat out, for three seconds',
    columns: ['guest sends', 'set-up', 'packets', 'MB', 'ring'],
    rows: rows.map(({ load, setUp, packets, bytes, stalled }) => [
      load,
      setUp === 'tap' ? 'tap (tsremus)' : setUp,
      packets,
      rounded(bytes / 1e6),
      stalled ? 'stood still' : 'went on',
    ]),
  };
}

function plugTable(rows: readonly PlugTimes[]): Table {
  return {
    title: 'Barrier and release, called as the engine calls them',
    columns: ['interfaces', 'barrier us', 'release us'],
    rows: rows.map(({ interfaces, barrier_us, release_us }) => [
      interfaces,
      barrier_us,
      release_us,
    ]),
  };
}

export function labSection(found: LabFound): Section {
  const rewritten = found.baseline.map(({ rewritesPerSecond }) => Math.round(rewritesPerSecond));
  return {
    name: 'lab',
    tables: [
      {
        title: 'Stock xl remus and tsremus, same boot, same guest, same ssh, -i 200',
        columns,
        rows: [
          ...found.baseline.map(baselineRow),
          ...found.runs.flatMap((run) => rowsOf(run, found.baseline)),
        ],
      },
      ...(found.network.length === 0 ? [] : [networkTable(found.network)]),
      ...(found.held.length === 0 ? [] : [heldTable(found.held)]),
      ...(found.plug.length === 0 ? [] : [plugTable(found.plug)]),
    ],
    limits: [
      `Unprotected, the guest rewrites ${rewritten.join(', ')} pages a second where it is asked ` +
        'for 0, 2,000 and 20,000.',
      'What a pause has at 0 pages a second is the guest suspending and resuming under ' +
        'emulation, whoever asks it to; with little time between two checkpoints it is less.',
      'Stock sends every page through ssh while the guest stands still: its pause is the bytes ' +
        'of an epoch over the speed of cipher and link. Ours is the suspend, the drain and the ' +
        'resume; where it is longer than at 0 pages a second, encoding competes for the one ' +
        'processor.',
      'Wire figures are of both directions; CPU is of the one processor that a host has here, ' +
        'guests not counted.',
    ],
    targets: [
      ...linkTargets(found, 'free', 0.5),
      ...linkTargets(found, 'shaped', 0.2),
      ...idleTarget(found),
    ],
    skipped: [],
    raw: { ...found },
  };
}

export function labReport(
  found: LabFound,
  context: LabContext,
): { text: string; document: BenchReport & { readonly lab: LabContext['lab'] } } {
  const section = labSection(found);
  const report = reportOf('bench:lab', [section], context);
  const text = `${sectionText(section)}\n\n${tableText(targetTable(report.targets))}`;
  return { text, document: { ...report, lab: context.lab } };
}
