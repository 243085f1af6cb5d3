/** The targets of `npm run bench:lab` from known figures. */
import { expect, it } from 'vitest';
import { labReport } from './lab-report.ts';
import type { LabRun } from './lab-tools.ts';
import type { Window } from './lab-window.ts';

function windowOf(rate: number, pauseMs: number, bytes: number, cpu: number): Window {
  const pauses = { count: 20, mean: pauseMs, p50: pauseMs, p90: pauseMs, max: pauseMs };
  return {
    rate,
    seconds: 10,
    epochs: 20,
    pauses,
    gaps: pauses,
    stood: (pauseMs * 20) / 10_000,
    rewritesPerSecond: rate / 2,
    wireBytesPerSecond: bytes,
    cpu: { a: cpu, b: cpu },
  };
}

const windows = (pauseMs: number, bytes: number, cpu: number) =>
  [0, 2000, 20_000].map((rate) => windowOf(rate, pauseMs, bytes, cpu));

function run(tool: string, seedMs: number, seen: readonly Window[], args = ['-i', '200']): LabRun {
  return { tool, link: 'free', args, seedMs, windows: seen };
}

const found = {
  baseline: windows(0, 0, 0.1),
  runs: [
    run('xl remus', 8000, windows(400, 10e6, 0.6)),
    run('tsremus', 3000, windows(100, 1e6, 0.5)),
    run('tsremus', 3000, [windowOf(0, 100, 1e5, 0.15)], []),
  ],
  network: [],
  held: [
    { load: 'small packets', setUp: 'plain', packets: 255, bytes: 40_000, stalled: true },
  ] as const,
  plug: [{ interfaces: 1, barrier_us: 40, release_us: 20 }],
};
const context = { scale: 'quick', startedAt: new Date(), lab: { xen: '4.17' } } as const;

// Proves: every ratio is of the right two runs: same link, same rate, the automatic mode apart; and
// the idle guest's own cost is nobody's fault.
it('compares what belongs together', () => {
  const { document } = labReport(found, context);
  expect(document.targets.map(({ name, value, met }) => [name, value, met])).toEqual([
    ['mean pause at 20,000 pages/s, free link', 0.25, true],
    ['bytes on the wire at 20,000 pages/s, free link', 0.1, true],
    ['seed, free link', 0.375, true],
    ['dom0 CPU of an idle guest, automatic mode', 0.1, true],
  ]);
  expect(document.sections['lab']).toMatchObject({ runs: found.runs });
  expect(document).toMatchObject({ schema: 1, benchmark: 'bench:lab', lab: { xen: '4.17' } });
});

// Proves: a line for each rate of each run; what the guest lost is against itself, unprotected.
it('shows every run', () => {
  const { text } = labReport(found, context);
  expect(text).toMatch(/small packets +plain +255 +0.04 +stood still/);
  expect(text).toMatch(/^ +1 +40 +20$/m);
  expect(text.match(/^ {2}xl remus, free link /gm)).toHaveLength(3);
  expect(text.match(/^ {2}tsremus, free link, automatic /gm)).toHaveLength(1);
  expect(text).toMatch(/xl remus, free link +20000 +400 +400 +400 +400 +500 +10 +60 \+ 60 +0 % +8/);
});
