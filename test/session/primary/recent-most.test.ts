/** The worst of the last two to three seconds (src/session/primary/recent-most.ts). */
import { expect, it } from 'vitest';
import { RecentMost } from '../../../src/session/primary/recent-most.ts';

// Proves: whoever looks every second sees each of them; and it is not shown for ever.
it('knows the largest of the last seconds', () => {
  const recent = new RecentMost();
  expect(recent.at(0)).toBeNull();
  for (const [value, nowMs] of [
    [5, 1_000],
    [90, 1_400],
    [7, 1_999],
    [8, 2_500],
  ] as const) {
    recent.add(value, nowMs);
  }
  expect([2_500, 3_400, 3_999].map((nowMs) => recent.at(nowMs))).toEqual([90, 90, 90]);
  expect([4_000, 4_999].map((nowMs) => recent.at(nowMs))).toEqual([8, 8]);
  expect(recent.at(5_000)).toBeNull();
});
