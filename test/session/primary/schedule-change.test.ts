import { expect, it } from 'vitest';
import {
  changedSchedule,
  type SetRequest,
  scheduleOf,
} from '../../../src/session/primary/schedule-change.ts';

const auto = scheduleOf('auto', 20);
const fixed = scheduleOf(200, 20);
const set = (change: Omit<SetRequest, 'verb'>): SetRequest => ({ verb: 'set', ...change });

it.each([
  [auto, { interval: 50 }, { kind: 'fixed', intervalMs: 50 }],
  [fixed, { interval: 'auto' as const }, auto],
  [fixed, { interval: 'auto' as const, maxOverhead: 5 }, { ...auto, maxOverhead: 0.05 }],
  [auto, { maxOverhead: 5 }, { ...auto, maxOverhead: 0.05 }],
  [scheduleOf('auto', 7), { interval: 'auto' as const }, scheduleOf('auto', 7)],
  [fixed, {}, fixed],
])('%j with %j is %j', (now, change, expected) => {
  expect(changedSchedule(now, set(change), 'web1')).toEqual(expected);
});

it.each([
  [fixed, { maxOverhead: 5 }, /has a fixed interval/],
  [auto, { interval: -1 }, /interval is -1 ms, must be/],
  [auto, { interval: 0.5 }, /must be a whole number/],
  [auto, { maxOverhead: 100 }, /overhead is 1, must be/],
])('%j with %j is refused', (now, change, message) => {
  expect(() => changedSchedule(now, set(change), 'web1')).toThrow(message);
});
