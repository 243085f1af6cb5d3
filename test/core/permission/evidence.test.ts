/** How long an answer is one: a short timeout must not make a busy host unbelievable (E1). */
import { expect, it } from 'vitest';
import { isPresent } from '../../../src/core/permission/evidence.ts';

it.each([
  [1_000, 4_999, true],
  [1_000, 5_000, false],
  [20_000, 19_999, true],
  [20_000, 20_000, false],
] as const)('with a timeout of %d ms, asked %d ms ago: %s', (timeoutMs, agoMs, present) => {
  expect(isPresent(7, 7 + agoMs, timeoutMs)).toBe(present);
});
