/**
 * How long a session's event loop stands still when it starts another process, as it does to ask
 * the backup over a fresh run of the transport, while it holds epochs that wait to be sent. A fork
 * copies page tables; the session's buffers are left out of that (MADV_DONTFORK).
 */
import { createGuest, spawnBeside, withHost } from './bench-host.ts';
import { quantile, undisturbed } from './figures.ts';
import type { Scale } from './options.ts';
import { atMost, rounded, type Section } from './report.ts';

const mib = 2 ** 20;
const heldMib: Readonly<Record<Scale, number>> = { tiny: 16, quick: 256, full: 1024 };
const spawns: Readonly<Record<Scale, number>> = { tiny: 3, quick: 10, full: 30 };
/** Anything near the page tables' cost would be tens of times. */
const timesMax = 2;

export async function spawn(scale: Scale): Promise<Section> {
  const memoryMib = heldMib[scale];
  const result = await withHost((host) => {
    createGuest(host, 'g1', { memoryMib, workingSet: 16 });
    return spawnBeside(host, { guest: 'g1', spawns: spawns[scale], bytes: memoryMib * mib });
  });
  const { nothing, epochs, ordinary, epochBytes, ordinaryBytes } = result;
  const row = (name: string, bytes: number, ns: readonly number[]) => [
    name,
    Math.round(bytes / mib),
    rounded(undisturbed(ns) / 1e6),
    rounded(quantile(ns, 0.5) / 1e6),
    rounded(quantile(ns, 0.9) / 1e6),
  ];
  return {
    name: 'spawn',
    tables: [
      {
        title: "For how long the event loop stands still when the transport's command starts",
        columns: ['held meanwhile', 'MiB', 'ms', 'median', 'p90'],
        rows: [
          row('no epoch', 0, nothing),
          row('epochs that wait to be sent', epochBytes, epochs),
          row('as much in ordinary buffers', ordinaryBytes, ordinary),
        ],
      },
    ],
    limits: [
      'A fork copies page tables. The buffers of epochs and the page cache are left out of it ' +
        'and cost nothing; what remains is what Node itself has.',
    ],
    targets: [
      atMost(
        `starting a process with ${memoryMib} MiB of epochs held over none held`,
        undisturbed(epochs) / undisturbed(nothing),
        'x',
        timesMax,
      ),
    ],
    skipped: [],
    raw: { ...result },
  };
}
