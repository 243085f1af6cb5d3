/** What `cpuid=` hides of the words in which Xen counts features, in libxl's two ways to say it. */
import { expect, it } from 'vitest';
import { featureUse } from '../../../src/hypervisor/xen/features.ts';

/** As libxl writes a filter: bit 31 first; `clear` are the bits that are 0. */
function filter(...clear: number[]): string {
  return Array.from({ length: 32 }, (_, at) => (clear.includes(31 - at) ? '0' : 'x')).join('');
}

const leaves = [
  { leaf: 1, subleaf: null, ecx: filter(28, 26), edx: filter(0) },
  { leaf: 7, subleaf: 0, ebx: filter(16, 31) },
  { leaf: 7, subleaf: 1, ebx: filter(1) },
  { leaf: 0x8000_0001, ecx: filter(4) },
];
const hidden = [1, 0x1400_0000, 0, 0x10, 0, 0x8001_0000, 0, 0];

// Proves: each register's bits are in the word that Xen has for it, a list (4.17) as well as an
// object with MSRs (4.18); a leaf that has no word here changes nothing.
it.each([[leaves], [{ cpuid: leaves, msr: [] }]])('hides what is cleared', (cpuid) => {
  expect(featureUse(cpuid, false).hidden).toEqual(hidden);
});

// Proves: what is set, left alone or no filter at all hides nothing.
it.each([
  undefined,
  null,
  'x',
  [],
  [null, 7],
  [{ leaf: 1, subleaf: null, ecx: '1'.repeat(32), edx: 'k'.repeat(32) }],
  [{ leaf: 1, subleaf: null, ecx: '0', edx: 5 }],
])('hides nothing: %j', (cpuid) => {
  expect(featureUse(cpuid, false).hidden).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
});

// Proves: a PV guest has no protection keys, whatever the host has.
it('counts what Xen keeps of a guest, by its kind', () => {
  const names = (isPv: boolean) => featureUse(undefined, isPv).saved.map(({ name }) => name);
  expect(names(false)).toEqual(['XSAVE', 'AVX', 'AVX512F', 'PKU']);
  expect(names(true)).toEqual(['XSAVE', 'AVX', 'AVX512F']);
});
