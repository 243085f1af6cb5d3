/**
 * The highest rate of the paper, 40 checkpoints a second with 1,000 dirty pages each, held for a
 * while: how much of the guest's time do the pauses take?
 */
import { createGuest, save, withHost } from './bench-host.ts';
import { lineThrough, mean, quantile } from './figures.ts';
import type { Scale } from './options.ts';
import { atLeast, rounded, type Section } from './report.ts';

const everyMs = 25;
const pages = 1000;

/** The primary's side alone: no backup that could hold it up. */
export async function sustainedDrain(scale: Scale): Promise<Section> {
  const epochs = { tiny: 5, quick: 20, full: 200 }[scale];
  const run = await withHost(async (host) => {
    createGuest(host, 'g1', { memoryMib: 128, workingSet: 16_384 });
    return save(host, { guest: 'g1', steps: [{ burst: pages, epochs }], everyMs });
  });
  const seen = run.steps[0] ?? [];
  const lastMs = seen.at(-1)?.atMs ?? 0;
  const rate = (seen.length - 1) / ((lastMs - (seen[0]?.atMs ?? 0)) / 1000);
  const pauses = seen.map(({ pauseNs }) => pauseNs / 1e6);
  const share = (mean(pauses) * rate) / 10;
  const drift = lineThrough(seen.map(({ atMs }, x) => ({ x, y: atMs }))).slope;
  return {
    name: 'sustained-drain',
    tables: [
      {
        title: `A checkpoint every ${everyMs} ms, ${pages} dirty pages each, the primary alone`,
        columns: ['epochs/s', 'pause ms', 'p90', 'max', 'guest time lost', 'CPU'],
        rows: [
          [
            rounded(rate),
            rounded(mean(pauses)),
            rounded(quantile(pauses, 0.9)),
            rounded(quantile(pauses, 1)),
            `${rounded(share)} %`,
            `${rounded((run.cpuSeconds / run.seconds) * 100)} %`,
          ],
        ],
      },
    ],
    limits: [],
    targets: [atLeast('checkpoints a second, drained', rate, '/s', 39.5)],
    skipped: [],
    raw: { everyMs, pages, epochs: seen, period_ms: drift, cpu_s: run.cpuSeconds, s: run.seconds },
  };
}
