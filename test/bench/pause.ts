/**
 * How long the guest stands still: against the number of dirty pages, against its size, and
 * against what memcpy would need for the same pages. The primary's side alone, on simxl: what is
 * measured is the drain and what surrounds it.
 */
import { availableBytes, createGuest, save, withHost } from './bench-host.ts';
import { lineThrough, quantile, undisturbed } from './figures.ts';
import type { Scale } from './options.ts';
import { atLeast, atMost, rounded, type Section, type Table } from './report.ts';
import type { SaverEpoch, SaverResult } from './saver.ts';
import * as yardstick from './yardstick.ts';

const pageBytes = 4096;
const mib = 2 ** 20;
const pageCounts: Readonly<Record<Scale, readonly number[]>> = {
  tiny: [10, 50],
  quick: [100, 10_000],
  full: [100, 1_000, 10_000, 100_000, 1_000_000],
};
const sizesMib: Readonly<Record<Scale, readonly number[]>> = {
  tiny: [16, 512],
  quick: [128, 1024],
  full: [128, 512, 2048, 8192, 16_384],
};
/** What the yardsticks walk through: bigger than the caches, or small and quick. */
const region: Readonly<Record<Scale, number>> = {
  tiny: 4 * mib,
  quick: 256 * mib,
  full: 256 * mib,
};
const sizeEpochs: Readonly<Record<Scale, number>> = { tiny: 3, quick: 10, full: 60 };
const drains: Readonly<Record<Scale, { pages: number; epochs: number }>> = {
  tiny: { pages: 256, epochs: 3 },
  quick: { pages: 4096, epochs: 5 },
  full: { pages: 65_536, epochs: 20 },
};
/** Rewritten in every epoch of the series over the guest's size. */
const sizePages = 1000;

interface PauseRow {
  readonly pages: number;
  readonly epochs: readonly SaverEpoch[];
  readonly gather: yardstick.Yardstick;
}

const pauseMs = (epochs: readonly SaverEpoch[], fraction = 0.5) =>
  quantile(
    epochs.map(({ pauseNs }) => pauseNs / 1e6),
    fraction,
  );
const quietPauseMs = (epochs: readonly SaverEpoch[]) =>
  undisturbed(epochs.map(({ pauseNs }) => pauseNs / 1e6));
const drainSpeed = (epochs: readonly SaverEpoch[]) =>
  1 / undisturbed(epochs.map(({ bytes, drainNs }) => drainNs / bytes));

/** Enough epochs for a median, few enough to end: a million pages are 4 GB each time. */
const epochsFor = (pages: number) => Math.max(5, Math.min(60, Math.round(1_000_000 / pages)));

/** The guest's memory and the epoch's; later the yardstick's two buffers. */
const bytesFor = (pages: number) => 2 * pages * pageBytes + 2048 * mib;

function pauseTable(rows: readonly PauseRow[]): Table {
  return {
    title: 'Pause against dirty pages (guest suspended until it runs again, by its own clock)',
    columns: [
      'pages',
      'epochs',
      'pause ms',
      'median',
      'p90',
      'max',
      'drain GB/s',
      'memcpy ms',
      'pause/memcpy',
    ],
    rows: rows.map(({ pages, epochs, gather }) => {
      const memcpyMs = undisturbed(gather.ns) / 1e6;
      const quiet = quietPauseMs(epochs);
      return [
        pages,
        epochs.length,
        rounded(quiet),
        rounded(pauseMs(epochs)),
        rounded(pauseMs(epochs, 0.9)),
        rounded(pauseMs(epochs, 1)),
        // What fits into the pipe comes in one read: no speed to speak of.
        pages * pageBytes < 4 * mib ? null : rounded(drainSpeed(epochs)),
        rounded(memcpyMs),
        rounded(quiet / memcpyMs),
      ];
    }),
  };
}

async function measurePages(
  pages: readonly number[],
  scale: Scale,
): Promise<{ rows: PauseRow[]; run: SaverResult }> {
  const most = Math.max(...pages);
  const run = await withHost((host) => {
    createGuest(host, 'g1', {
      memoryMib: Math.ceil((most * pageBytes) / mib) + 64,
      workingSet: most,
    });
    // The most first: simxl's first look at a page is a page fault, six times the page's copy.
    const steps = pages.map((burst) => ({ burst, epochs: epochsFor(burst) })).reverse();
    return save(host, { guest: 'g1', steps, everyMs: 0 });
  });
  const rows = pages.map((count, at) => ({
    pages: count,
    epochs: run.steps[pages.length - 1 - at] ?? [],
    gather: yardstick.gatherOf(count * pageBytes, epochsFor(count), region[scale]),
  }));
  return { rows, run };
}

/** Pause and drain against the number of dirty pages. */
export async function pausePerPage(scale: Scale): Promise<Section> {
  const wanted = pageCounts[scale];
  const available = availableBytes();
  const counts = wanted.filter((pages) => bytesFor(pages) < available);
  const skipped = wanted
    .filter((pages) => !counts.includes(pages))
    .map((pages) => `${pages} dirty pages: needs ${Math.ceil(bytesFor(pages) / 1e9)} GB of memory`);
  const { rows, run } = await measurePages(counts, scale);
  const points = rows.map(({ pages, epochs }) => ({ x: pages / 1000, y: quietPauseMs(epochs) }));
  const slope = lineThrough(points).slope;
  const at10k = rows.filter(({ pages }) => pages === 10_000);
  return {
    name: 'pause-per-page',
    tables: [pauseTable(rows)],
    limits: [
      `Every further 1,000 dirty pages cost ${rounded(slope)} ms of pause. ` +
        'What remains at 100 pages is the suspend, the two wake-ups and the resume.',
    ],
    targets: at10k.map(({ epochs, gather }) =>
      atMost(
        'pause for 10,000 dirty pages over memcpy of them',
        quietPauseMs(epochs) / (undisturbed(gather.ns) / 1e6),
        'x',
        3,
      ),
    ),
    skipped,
    raw: { rows, slope_ms_per_1000_pages: slope, rss_max_bytes: run.rssMaxBytes, seed: run.seed },
  };
}

/** Pause against the size of the guest, with the same few dirty pages in each. */
export async function pausePerSize(scale: Scale): Promise<Section> {
  const sizes = sizesMib[scale];
  const rows: { mib: number; run: SaverResult; epochs: readonly SaverEpoch[] }[] = [];
  for (const memoryMib of sizes) {
    await withHost(async (host) => {
      createGuest(host, 'g1', { memoryMib, workingSet: 16_384 });
      const steps = [{ burst: sizePages, epochs: sizeEpochs[scale] }];
      const run = await save(host, { guest: 'g1', steps, everyMs: 0 });
      rows.push({ mib: memoryMib, run, epochs: run.steps[0] ?? [] });
    });
  }
  const points = rows.map(({ mib: size, epochs }) => ({ x: size / 1024, y: quietPauseMs(epochs) }));
  const slope = lineThrough(points).slope;
  return {
    name: 'pause-per-size',
    tables: [
      {
        title: `Pause against the guest's size (${sizePages} dirty pages each)`,
        columns: ['MiB', 'pause ms', 'median', 'p90', 'seed s', 'seed GB/s', 'RSS MiB'],
        rows: rows.map(({ mib: size, run, epochs }) => [
          size,
          rounded(quietPauseMs(epochs)),
          rounded(pauseMs(epochs)),
          rounded(pauseMs(epochs, 0.9)),
          rounded(run.seed.seconds),
          rounded(run.seed.bytes / run.seed.seconds / 1e9),
          Math.round(run.rssBytes / mib),
        ]),
      },
    ],
    limits: [
      `Every further GiB of guest costs ${rounded(slope)} ms of pause: the scan of the dirty ` +
        'bitmap, in simxl as in libxenguest, goes over all of it.',
    ],
    targets: [],
    skipped: [],
    raw: { rows, slope_ms_per_gib: slope },
  };
}

/** The drain's speed beside what the machine can do at best. */
export async function drain(scale: Scale): Promise<Section> {
  const { pages, epochs } = drains[scale];
  const run = await withHost(async (host) => {
    createGuest(host, 'g1', { memoryMib: (pages * pageBytes) / mib + 64, workingSet: pages });
    return save(host, { guest: 'g1', steps: [{ burst: pages, epochs }], everyMs: 0 });
  });
  const bytes = pages * pageBytes;
  const sticks = {
    memcpy: yardstick.memcpyOf(bytes, epochs, region[scale]),
    gather: yardstick.gatherOf(bytes, epochs, region[scale]),
    file: yardstick.fileOf(bytes, epochs, region[scale]),
    pipe: yardstick.pipeOf(bytes, epochs, region[scale]),
    socket: yardstick.socketOf(bytes, epochs, region[scale]),
  };
  const speed = drainSpeed(run.steps[0] ?? []);
  const memcpySpeed = yardstick.speedOf(sticks.memcpy);
  const gatherSpeed = yardstick.speedOf(sticks.gather);
  const socketSpeed = yardstick.speedOf(sticks.socket);
  const row = (name: string, value: number) => [name, rounded(value), rounded(value / memcpySpeed)];
  return {
    name: 'drain',
    tables: [
      {
        title: `Drain of ${pages} dirty pages into memory (the fastest tenth of ${epochs} epochs)`,
        columns: ['', 'GB/s', 'of memcpy'],
        rows: [
          row('tsremus: from libxl into memory', speed),
          row('memcpy, one piece', memcpySpeed),
          row('memcpy, scattered pages', gatherSpeed),
          row('the pages written into a memory file', yardstick.speedOf(sticks.file)),
          row('the pages through a pipe, two threads', yardstick.speedOf(sticks.pipe)),
          row('the pages through a pair of sockets, two threads', socketSpeed),
        ],
      },
    ],
    limits: [
      `The drain runs at ${rounded(speed / socketSpeed)} of a bare pair of sockets and at ` +
        `${rounded(speed / gatherSpeed)} of memcpy of the same scattered pages. libxl hands its ` +
        'stream over by write() into a descriptor: the kernel copies every page in and out ' +
        'again. That, not simxl and not our code, is the ceiling as long as the first figure ' +
        'is near 1. Dirty pages lie scattered: even one copy of them by memcpy itself reaches ' +
        `${rounded(gatherSpeed / memcpySpeed)} of memcpy in one piece.`,
    ],
    targets: [atLeast('drain over memcpy', speed / memcpySpeed, 'x', 0.5)],
    skipped: [],
    raw: { pages, epochs: run.steps[0] ?? [], yardsticks: sticks, rss_max_bytes: run.rssMaxBytes },
  };
}
