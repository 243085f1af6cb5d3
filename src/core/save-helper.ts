/** What makes a guest's checkpoints: the words for it. Pure. */

/**
 * What makes a guest's checkpoints: `own`, which writes what it copied after the guest was resumed;
 * `stock`, the hypervisor's tools alone, which write it before.
 */
export const saveHelpers = ['own', 'stock'] as const;
export type SaveHelper = (typeof saveHelpers)[number];
export const saveHelperDefault: SaveHelper = 'own';

export function saveHelperText(helper: SaveHelper, reason: string | null): string {
  const when = helper === 'own' ? 'after the guest was resumed' : 'while the guest is suspended';
  const why = reason === null ? '' : ` (stock: ${reason})`;
  return `checkpoints are written ${when}${why}`;
}
