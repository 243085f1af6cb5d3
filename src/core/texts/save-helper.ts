/** What makes the checkpoints, in words. */
import type { SaveHelper } from '../vocabulary.ts';

export function saveHelperText(helper: SaveHelper, reason: string | null): string {
  const when = helper === 'own' ? 'after the guest was resumed' : 'while the guest is suspended';
  const why = reason === null ? '' : ` (stock: ${reason})`;
  return `checkpoints are written ${when}${why}`;
}
