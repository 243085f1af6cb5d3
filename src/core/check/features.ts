/**
 * What a guest may use of its processors' features that another host's have not. Features are bits
 * of words, in the order of the hypervisor that both hosts have. Pure.
 */

/** A feature whose registers are a part of the state of a guest that has it. */
export interface SavedFeature {
  readonly name: string;
  readonly word: number;
  readonly bit: number;
}

/** What a guest has of its host's features. */
export interface FeatureUse {
  /** Words of those that its configuration hides from it. */
  readonly hidden: readonly number[];
  /** A host without one of these cannot take the guest's state, if it has them. */
  readonly saved: readonly SavedFeature[];
}

export interface LostFeatures {
  /** Names of those without which no copy can be built. */
  readonly saved: readonly string[];
  /** How many others: what uses them in the guest breaks there. */
  readonly others: number;
}

/** Bits of the first words that are not in the second. */
export function bitsMissing(from: readonly number[], to: readonly number[]): readonly number[] {
  return from.map((word, at) => (word & ~(to[at] ?? 0)) >>> 0);
}

export function countBits(words: readonly number[]): number {
  return words.reduce((sum, word) => sum + word.toString(2).replaceAll('0', '').length, 0);
}

/** What the guest loses on its way from a host to another one; null: one of them does not say. */
export function lostFeatures(
  here: readonly number[],
  there: readonly number[],
  { hidden, saved }: FeatureUse,
): LostFeatures | null {
  if (here.length === 0 || there.length === 0) return null;
  const lost = bitsMissing(bitsMissing(here, hidden), there);
  const isLost = ({ word, bit }: SavedFeature) => (((lost[word] ?? 0) >>> bit) & 1) === 1;
  const names = saved.filter(isLost).map(({ name }) => name);
  return { saved: names, others: countBits(lost) - names.length };
}

/** Why no copy could be built there, a clause; `saved` is not empty. */
export function savedText(saved: readonly string[]): string {
  const whose = saved.length === 1 ? 'whose registers are' : 'whose registers are all';
  return `its processors have no ${saved.join(', no ')}, ${whose} a part of the guest's state`;
}

/** A clause; `others` is not 0. */
export function othersText(others: number): string {
  const many = others === 1 ? '1 feature is' : `${others} features are`;
  return `${many} missing there that a guest may use`;
}
