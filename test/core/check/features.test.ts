/** What a guest loses of its processors' features on another host, and what that means. */
import { expect, it } from 'vitest';
import {
  type FeatureUse,
  lostFeatures,
  othersText,
  savedText,
} from '../../../src/core/check/features.ts';

const use: FeatureUse = {
  hidden: [0, 0b1000],
  saved: [
    { name: 'XSAVE', word: 1, bit: 0 },
    { name: 'AVX', word: 1, bit: 3 },
    { name: 'PKU', word: 2, bit: 31 },
  ],
};
const here = [0b11, 0b1111, 0x8000_0001];

// Proves: what the other host has more of is nothing; what the configuration hides counts nowhere,
// nor does what this host has not; a part of the state is told apart from what breaks programs.
it.each([
  [here, [], 0],
  [[0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 1], [], 0],
  [[0b11, 0b0111, 0x8000_0001], [], 0],
  [[0b01, 0b1111, 0x8000_0000], [], 2],
  [[0b11, 0b1110, 0x0000_0001], ['XSAVE', 'PKU'], 0],
  [[0b11, 0b0010], ['XSAVE', 'PKU'], 2],
] as const)('%j', (there, saved, others) => {
  expect(lostFeatures(here, there, use)).toEqual({ saved, others });
});

// Proves: a host that says nothing is not taken for one that has nothing, or all.
it('knows nothing where a host says nothing', () => {
  expect(lostFeatures([], here, use)).toBeNull();
  expect(lostFeatures(here, [], use)).toBeNull();
});

it('is told in words', () => {
  const one = "its processors have no AVX, whose registers are a part of the guest's state";
  expect(savedText(['AVX'])).toBe(one);
  expect(savedText(['AVX', 'PKU'])).toContain(
    'have no AVX, no PKU, whose registers are all a part',
  );
  expect(othersText(1)).toBe('1 feature is missing there that a guest may use');
  expect(othersText(2)).toBe('2 features are missing there that a guest may use');
});
