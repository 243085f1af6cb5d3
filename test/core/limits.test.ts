/** Settings at and beyond their limits; and that every limit has a unit in its name. */
import { describe, expect, it } from 'vitest';
import * as limits from '../../src/core/limits.ts';
import {
  boundedReason,
  defaultSchedule,
  primaryConfigProblem,
  timingProblem,
} from '../../src/core/limits.ts';
import type { Schedule } from '../../src/core/scheduler.ts';
import { backupConfig, primaryConfig } from './story.ts';

type Auto = Extract<Schedule, { kind: 'auto' }>;

function fixed(intervalMs: number): Schedule {
  return { kind: 'fixed', intervalMs };
}

function auto(change: Partial<Auto>): Schedule {
  return { ...(defaultSchedule as Auto), ...change };
}

describe('limits', () => {
  it('take the defaults', () => {
    expect(primaryConfigProblem(primaryConfig)).toBeNull();
    expect(timingProblem(backupConfig)).toBeNull();
  });

  it.each([
    [{ heartbeatTimeoutMs: 199 }, 'heartbeat timeout is 199 ms'],
    [{ heartbeatTimeoutMs: 60_001 }, 'heartbeat timeout is 60001 ms'],
    [{ heartbeatTimeoutMs: Number.NaN }, 'heartbeat timeout is NaN ms'],
    [{ heartbeatTimeoutMs: 200.5 }, 'heartbeat timeout is 200.5 ms'],
    [{ holdMs: 99 }, 'hold is 99 ms'],
    [{ schedule: fixed(9) }, 'interval is 9 ms'],
    [{ schedule: auto({ minMs: 9 }) }, 'shortest period is 9 ms'],
    [{ schedule: auto({ maxMs: 19 }) }, 'longest period is 19 ms, must be a whole number from 20'],
    [{ schedule: auto({ maxOverhead: 0 }) }, 'overhead is 0, must be from 0.01 to 0.9'],
    [{ schedule: auto({ maxOverhead: Number.NaN }) }, 'overhead is NaN'],
    [{ pendingMax: 0 }, 'epochs in flight is 0,'],
    [{ pendingMax: 65 }, 'epochs in flight is 65,'],
    [{ askEveryMs: 9 }, 'pause between asks is 9 ms'],
  ])('refuse %j', (change, words) => {
    expect(primaryConfigProblem({ ...primaryConfig, ...change })).toContain(words);
  });

  it.each([
    { heartbeatTimeoutMs: 200 },
    { heartbeatTimeoutMs: 60_000 },
    { holdMs: 100 },
    { schedule: fixed(10) },
    { schedule: auto({}) },
    { schedule: auto({ minMs: 10, maxMs: 10, maxOverhead: 0.9 }) },
    { pendingMax: 1 },
    { pendingMax: 64 },
  ])('take the edge %j', (change) => {
    expect(primaryConfigProblem({ ...primaryConfig, ...change })).toBeNull();
  });

  it('cut what comes from outside', () => {
    expect(boundedReason('short')).toBe('short');
    expect(boundedReason('x'.repeat(10_000)).length).toBe(limits.reasonCharsMax);
  });

  it('name their unit', () => {
    const numbers = Object.entries(limits).filter(([, value]) => typeof value === 'number');
    expect(numbers.length).toBeGreaterThan(10);
    for (const [name] of numbers)
      expect(name).toMatch(/(Ms|Max|Min|MsDefault|PercentDefault|pendingDefault|overheadDefault)$/);
  });
});
