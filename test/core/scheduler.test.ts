/** When the next checkpoint begins, as a table. */
import { describe, expect, it } from 'vitest';
import {
  nextCheckpointAtMs,
  noOutput,
  noPace,
  type ScheduleFacts,
} from '../../src/core/scheduler.ts';

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

const table: readonly (readonly [string, Partial<ScheduleFacts>, number | null])[] = [
  ['an interval after the commit', {}, 1_250],
  ['not in the seed', { requested: 0, drained: 0, acked: -1 }, null],
  ['not while one is under way', { requested: 4 }, null],
  ['with one in flight, an interval after the guest went on', { acked: 2 }, 1_200],
  ['not when as many are in flight as may be', { acked: 1 }, null],
];

describe('nextCheckpointAtMs', () => {
  it.each(table)('%s', (_, facts, atMs) => {
    expect(nextCheckpointAtMs({ ...idle, ...facts }, 2)).toBe(atMs);
  });

  it('waits for the commit when only one may be in flight', () => {
    expect(nextCheckpointAtMs({ ...idle, acked: 2 }, 1)).toBeNull();
  });

  it('is at once with an interval of 0', () => {
    const schedule = { kind: 'fixed', intervalMs: 0 } as const;
    expect(nextCheckpointAtMs({ ...idle, schedule }, 2)).toBe(1_050);
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
