/**
 * When the next checkpoint begins: as a table, as properties over everything that the scheduler can
 * see, and played against guests that dirty their pages in different ways.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { epochPagesMax, overheadRunMsMax } from '../../src/core/limits.ts';
import {
  lateAfterMs,
  nextCheckpointAtMs,
  nextPace,
  noOutput,
  noPace,
  type OutputWaiting,
  type Pace,
  type Schedule,
  type ScheduleFacts,
} from '../../src/core/scheduler.ts';

type Auto = Extract<Schedule, { kind: 'auto' }>;

const auto: Auto = { kind: 'auto', minMs: 20, maxMs: 1_000, maxOverhead: 0.2 };

const idle: ScheduleFacts = {
  schedule: { kind: 'fixed', intervalMs: 200 },
  requested: 3,
  drained: 3,
  acked: 3,
  drainedAtMs: 1_000,
  committedAtMs: 1_050,
  pace: noPace,
  output: noOutput,
};

const waiting: OutputWaiting = { packets: 1, bytes: 60, nearLimit: false };
const near: OutputWaiting = { packets: 900, bytes: 60_000, nearLimit: true };
const calm: Pace = { pauseMs: 4, pagesPerMs: 0.1 };
const busy: Pace = { pauseMs: 4, pagesPerMs: 20.48 };

const table: readonly (readonly [string, Partial<ScheduleFacts>, number | null])[] = [
  ['an interval after the commit', {}, 1_250],
  ['not in the seed', { requested: 0, drained: 0, acked: -1 }, null],
  ['not while one is under way', { requested: 4 }, null],
  ['with one in flight, an interval after the guest went on', { acked: 2 }, 1_200],
  ['not when as many are in flight as may be', { acked: 1 }, null],
  ['at once near the limit of the buffer', { output: near }, 1_000],
  ['near the limit, but with one in flight: as if it were not', { output: near, acked: 2 }, 1_200],
  ['not for output alone, when the interval is fixed', { output: waiting }, 1_250],
  ['auto, nothing known: soonest', { schedule: auto }, 1_020],
  ['auto, idle: latest', { schedule: auto, pace: calm }, 2_000],
  ['auto, busy: when the epoch has its size', { schedule: auto, pace: busy }, 1_100],
  ['auto, output waits: soonest', { schedule: auto, pace: calm, output: waiting }, 1_020],
  [
    'auto, output waits for an epoch in flight: the acknowledgement brings it',
    { schedule: auto, pace: calm, output: waiting, acked: 2 },
    2_000,
  ],
  [
    'auto, long pauses: as long as keeps the overhead',
    { schedule: auto, pace: { pauseMs: 50, pagesPerMs: 0.1 }, output: waiting },
    1_200,
  ],
  [
    'auto, pauses so long that even the longest period is too short',
    { schedule: auto, pace: { pauseMs: 500, pagesPerMs: 0.1 } },
    3_000,
  ],
  [
    'auto, pauses beyond measure: not for ever',
    { schedule: auto, pace: { pauseMs: 60_000, pagesPerMs: 0.1 } },
    1_000 + overheadRunMsMax,
  ],
  [
    'auto, near the limit: whatever the overhead',
    { schedule: auto, pace: { pauseMs: 500, pagesPerMs: 9 }, output: near },
    1_000,
  ],
];

describe('nextCheckpointAtMs', () => {
  it.each(table)('%s', (_, facts, atMs) => {
    expect(nextCheckpointAtMs({ ...idle, ...facts }, 2)).toBe(atMs);
  });

  it('waits for the commit when only one may be in flight', () => {
    expect(nextCheckpointAtMs({ ...idle, acked: 2 }, 1)).toBeNull();
  });

  it('never starves: acknowledgements of older epochs do not push it away', () => {
    // Four in flight, an acknowledgement every 20 ms: the next one is due all the time.
    const schedule = { kind: 'fixed', intervalMs: 20 } as const;
    const flight = { requested: 6, drained: 6, drainedAtMs: 60, committedAtMs: 900 };
    for (const acked of [3, 4, 5]) {
      expect(nextCheckpointAtMs({ ...idle, schedule, ...flight, acked }, 4)).toBe(80);
    }
  });
});

const schedules: fc.Arbitrary<Auto> = fc
  .record({
    minMs: fc.integer({ min: 0, max: 500 }),
    spanMs: fc.integer({ min: 0, max: 5_000 }),
    maxOverhead: fc.double({ min: 0.01, max: 0.9, noNaN: true }),
  })
  .map(({ minMs, spanMs, maxOverhead }) => ({
    kind: 'auto',
    minMs,
    maxMs: minMs + spanMs,
    maxOverhead,
  }));

const measured = (max: number) => fc.option(fc.double({ min: 0, max, noNaN: true }));
const paces: fc.Arbitrary<Pace> = fc.record({
  pauseMs: measured(5_000),
  pagesPerMs: measured(500),
});
const outputs: fc.Arbitrary<OutputWaiting> = fc.record({
  packets: fc.integer({ min: 0, max: 1_000 }),
  bytes: fc.nat(),
  nearLimit: fc.boolean(),
});

const pendingMax = 3;

/** Facts of a session that is protected and runs no checkpoint. */
const facts: fc.Arbitrary<ScheduleFacts & { schedule: Auto }> = fc
  .record({
    schedule: schedules,
    pending: fc.integer({ min: 0, max: pendingMax - 1 }),
    pace: paces,
    output: outputs,
    sinceMs: fc.nat(100_000),
  })
  .map(({ pending, sinceMs, ...rest }) => ({
    ...rest,
    requested: 7,
    drained: 7,
    acked: 7 - pending,
    drainedAtMs: 10_000,
    committedAtMs: 10_000 + sinceMs,
  }));

function atMs(of: ScheduleFacts): number {
  return nextCheckpointAtMs(of, pendingMax) ?? Number.NaN;
}

describe('the automatic schedule', () => {
  it('keeps its bounds', () => {
    const property = fc.property(facts, (of) => {
      const runMs = atMs(of) - of.drainedAtMs;
      const isUrgent = of.output.nearLimit && of.acked === of.drained;
      expect(runMs).toBeGreaterThanOrEqual(isUrgent ? 0 : of.schedule.minMs);
      expect(runMs).toBeLessThanOrEqual(Math.max(of.schedule.maxMs, overheadRunMsMax));
      if (isUrgent) expect(runMs).toBe(0);
    });
    fc.assert(property);
  });

  it('never begins one while one runs, nor beyond what may be in flight', () => {
    const property = fc.property(facts, fc.integer({ min: 1, max: 5 }), (of, most) => {
      expect(nextCheckpointAtMs({ ...of, requested: of.drained + 1 }, most)).toBeNull();
      const isFull = of.drained - of.acked >= most;
      expect(nextCheckpointAtMs(of, most) === null).toBe(isFull);
    });
    fc.assert(property);
  });

  it('reacts one way: output and work hasten, pauses delay', () => {
    const more = fc.double({ min: 0, max: 1_000, noNaN: true });
    const property = fc.property(facts, more, (of, by) => {
      const { pace, output } = of;
      const pagesPerMs = (pace.pagesPerMs ?? 0) + by;
      const pauseMs = (pace.pauseMs ?? 0) + by;
      const isKnown = pace.pagesPerMs !== null;
      const fuller = { ...output, packets: output.packets + Math.ceil(by) };
      expect(atMs({ ...of, output: fuller })).toBeLessThanOrEqual(atMs(of));
      expect(atMs({ ...of, output: { ...output, nearLimit: true } })).toBeLessThanOrEqual(atMs(of));
      expect(atMs({ ...of, pace: { ...pace, pauseMs } })).toBeGreaterThanOrEqual(atMs(of));
      if (!isKnown) return;
      expect(atMs({ ...of, pace: { ...pace, pagesPerMs } })).toBeLessThanOrEqual(atMs(of));
    });
    fc.assert(property);
  });

  it('is not pushed away by an acknowledgement', () => {
    const property = fc.property(facts, (of) => {
      fc.pre(of.acked < of.drained);
      expect(atMs({ ...of, acked: of.acked + 1 })).toBeLessThanOrEqual(atMs(of));
    });
    fc.assert(property);
  });

  it('is over before it would be late', () => {
    const property = fc.property(facts, (of) => {
      const lateMs = lateAfterMs(of.schedule, of.pace, 100);
      expect(lateMs).toBeGreaterThan(atMs(of) - of.drainedAtMs + (of.pace.pauseMs ?? 0));
    });
    fc.assert(property);
  });
});

/** A guest that pauses `pauseMs(n)` and dirties `pages(ranMs)`; its periods under a schedule. */
function periodsOf(
  schedule: Schedule,
  output: OutputWaiting,
  pauseMsOf: (epoch: number) => number,
  pagesOf: (ranMs: number) => number,
): { readonly ranMs: number; readonly pauseMs: number }[] {
  let pace = noPace;
  let nowMs = 0;
  return Array.from({ length: 200 }, (_, epoch) => {
    const at = { requested: epoch, drained: epoch, acked: epoch, drainedAtMs: nowMs };
    const of = { ...at, schedule, committedAtMs: nowMs, pace, output };
    const ranMs = (nextCheckpointAtMs(of, 2) ?? Number.NaN) - nowMs;
    const pauseMs = pauseMsOf(epoch);
    pace = nextPace(pace, ranMs, pauseMs, pagesOf(ranMs));
    nowMs += ranMs + pauseMs;
    return { ranMs, pauseMs };
  });
}

function shareOf(periods: readonly { readonly ranMs: number; readonly pauseMs: number }[]): number {
  const sum = (key: 'ranMs' | 'pauseMs') => periods.reduce((all, period) => all + period[key], 0);
  return sum('pauseMs') / (sum('pauseMs') + sum('ranMs'));
}

describe('a guest under the automatic schedule', () => {
  it('pauses for no more than its share, from the second epoch on', () => {
    const property = fc.property(
      schedules,
      fc.double({ min: 0.001, max: 80, noNaN: true }),
      fc.double({ min: 0, max: 100, noNaN: true }),
      fc.constantFrom(noOutput, waiting),
      (schedule, pauseMs, speed, output) => {
        const { maxOverhead } = schedule;
        fc.pre(pauseMs * (1 / maxOverhead - 1) <= overheadRunMsMax);
        const pages = (ranMs: number) => speed * ranMs;
        const periods = periodsOf(schedule, output, () => pauseMs, pages).slice(1);
        const shares = periods.map((period) => shareOf([period]));
        expect(Math.max(...shares)).toBeLessThanOrEqual(maxOverhead + 1e-9);
      },
    );
    fc.assert(property);
  });

  it('pauses for no more than its share on average when its pauses differ', () => {
    const pauses = fc.array(fc.double({ min: 1, max: 100, noNaN: true }), { minLength: 5 });
    const property = fc.property(pauses, (list) => {
      const pauseMsOf = (epoch: number) => list[epoch % list.length] ?? 0;
      const periods = periodsOf(auto, waiting, pauseMsOf, () => 1e6).slice(20);
      expect(shareOf(periods)).toBeLessThanOrEqual(auto.maxOverhead + 0.03);
    });
    fc.assert(property);
  });

  it('settles, however its working set is shaped', () => {
    const property = fc.property(
      fc.integer({ min: 1, max: 200_000 }),
      fc.double({ min: 0.001, max: 200, noNaN: true }),
      (workingSet, speed) => {
        const pages = (ranMs: number) => workingSet * (1 - Math.exp((-speed * ranMs) / workingSet));
        const periods = periodsOf(auto, noOutput, () => 2, pages).map(({ ranMs }) => ranMs);
        const last = periods.at(-1) ?? 0;
        expect(Math.abs(last - (periods.at(-2) ?? 0))).toBeLessThanOrEqual(0.01 * last);
        // Its epochs have the size that was aimed at, or a bound holds it off.
        if (last < auto.maxMs) expect(pages(last)).toBeGreaterThanOrEqual(0.9 * epochPagesMax);
        if (last > auto.minMs) expect(pages(last)).toBeLessThanOrEqual(1.1 * epochPagesMax);
      },
    );
    fc.assert(property);
  });

  it('makes up for one long pause over several periods', () => {
    const periods = periodsOf(
      auto,
      waiting,
      (epoch) => (epoch === 50 ? 2_000 : 2),
      () => 10,
    );
    expect(periods[50]?.ranMs).toBe(20);
    expect(periods[51]?.ranMs).toBeGreaterThan(1_000);
    expect(periods[90]?.ranMs).toBe(20);
    expect(Math.max(...periods.map(({ ranMs }) => ranMs))).toBeLessThan(2_500);
  });
});
