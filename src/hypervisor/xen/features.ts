/**
 * Processors' features as Xen counts them: libxl_physinfo's hw_cap is eight words in the order of
 * Xen's arch-x86/cpufeatureset.h, each a register of a CPUID leaf. Pure.
 */
import type { FeatureUse, SavedFeature } from '../../core/check/features.ts';

const words = [
  { leaf: 0x1, subleaf: null, register: 'edx' },
  { leaf: 0x1, subleaf: null, register: 'ecx' },
  { leaf: 0x8000_0001, subleaf: null, register: 'edx' },
  { leaf: 0x8000_0001, subleaf: null, register: 'ecx' },
  { leaf: 0xd, subleaf: 1, register: 'eax' },
  { leaf: 0x7, subleaf: 0, register: 'ebx' },
  { leaf: 0x7, subleaf: 0, register: 'ecx' },
  { leaf: 0x8000_0007, subleaf: null, register: 'edx' },
] as const;

/**
 * What Linux and others switch on in XCR0 wherever they find it. Xen refuses the extended state of
 * a processor which has a part that it does not know, and looks at it last of all: when the copy is
 * to run. MPX and LWP, which are such parts, are in no guest by default.
 */
const extendedStates: readonly SavedFeature[] = [
  { name: 'XSAVE', word: 1, bit: 26 },
  { name: 'AVX', word: 1, bit: 28 },
  { name: 'AVX512F', word: 5, bit: 16 },
];
/** Xen gives it to HVM and PVH guests alone. */
const protectionKeys: SavedFeature = { name: 'PKU', word: 6, bit: 3 };

type Json = { readonly [key: string]: unknown };

/** One leaf of `cpuid=` as libxl has it: a character per bit of each register, bit 31 first. */
function filtersOf(cpuid: unknown): readonly Json[] {
  // A list; since Xen 4.18 in an object that has MSRs, too.
  const list = Array.isArray(cpuid) ? cpuid : (cpuid as Json | null | undefined)?.['cpuid'];
  if (!Array.isArray(list)) return [];
  return list.filter((one): one is Json => typeof one === 'object' && one !== null);
}

/** The bits that a filter clears, whatever the host has. */
function cleared(filter: unknown): number {
  if (typeof filter !== 'string' || filter.length !== 32) return 0;
  return Number.parseInt(
    filter.replaceAll(/[^0]/g, 'x').replaceAll('0', '1').replaceAll('x', '0'),
    2,
  );
}

/** What a guest of this configuration (b_info's cpuid) has of its host's features. */
export function featureUse(cpuid: unknown, isPv: boolean): FeatureUse {
  const filters = filtersOf(cpuid);
  const hidden = words.map(({ leaf, subleaf, register }) => {
    const found = filters.find(
      (one) => one['leaf'] === leaf && (one['subleaf'] ?? null) === subleaf,
    );
    return cleared(found?.[register]) >>> 0;
  });
  return { hidden, saved: isPv ? extendedStates : [...extendedStates, protectionKeys] };
}
