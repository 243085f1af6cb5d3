import fc from 'fast-check';
import { expect, it } from 'vitest';
import { maxMemoryBytesMin } from '../../src/core/limits.ts';
import { cacheBytesWithin, defaultMaxMemory, memoryBudget } from '../../src/stream/budget.ts';

const mib = 1024 ** 2;
const bytes = fc.integer({ min: maxMemoryBytesMin, max: 2 ** 44 });

// Proves: the parts never come to more than what was allowed, and each is of some use.
it('divides what is allowed, for every guest and every agreement', () => {
  fc.assert(
    fc.property(bytes, bytes, fc.nat(2 ** 44), (here, there, guest) => {
      const agreed = Math.min(cacheBytesWithin(here, guest), cacheBytesWithin(there, guest));
      for (const max of [here, there]) {
        const { maxBytes, queueBytes, cacheBytes } = memoryBudget(max, agreed);
        expect(maxBytes).toBe(max);
        expect(queueBytes + cacheBytes).toBeLessThan(max);
        expect(queueBytes).toBeGreaterThanOrEqual(16 * mib);
        expect(cacheBytes).toBeLessThanOrEqual(guest + guest / 64 + mib + 1);
      }
    }),
  );
});

it('uses a quarter of the host where nothing was said', () => {
  expect(defaultMaxMemory(512 * mib)).toBe(128 * mib);
  expect(defaultMaxMemory(100 * mib)).toBe(maxMemoryBytesMin);
});
