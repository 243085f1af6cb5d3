import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Histogram } from '../../src/core/histogram.ts';

const value = fc.oneof(fc.double({ min: 0.002, max: 1e12, noNaN: true }), fc.nat(100));

// Proves: what the head of histogram.ts promises, for whatever was measured.
it('has exact totals, and percentiles within a tenth', () => {
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 300 }), (values) => {
      const histogram = new Histogram();
      for (const one of values) histogram.add(one);
      const sorted = values.toSorted((one, other) => one - other);
      const { count, sum, min, max, p50, p90, p99 } = histogram.summary();
      expect(count).toBe(values.length);
      expect(sum).toBeCloseTo(
        values.reduce((all, one) => all + one, 0),
        2,
      );
      expect(min).toBeCloseTo(sorted[0] ?? -1, 2);
      expect(max).toBeCloseTo(sorted.at(-1) ?? -1, 2);
      for (const [share, found] of [
        [0.5, p50],
        [0.9, p90],
        [0.99, p99],
      ] as const) {
        const true_ = sorted[Math.ceil(share * values.length) - 1] ?? -1;
        const off = Math.abs((found ?? -1) - true_);
        expect(off).toBeLessThanOrEqual(0.1 * true_ + 0.002);
      }
    }),
  );
});

it('says nothing where nothing was measured', () => {
  const none = { count: 0, sum: 0, min: null, p50: null, p90: null, p99: null, max: null };
  expect(new Histogram().summary()).toEqual(none);
});

it.each([-1, Number.NaN, Number.POSITIVE_INFINITY])('takes no %d', (wrong) => {
  expect(() => new Histogram().add(wrong)).toThrow('cannot be measured');
});
