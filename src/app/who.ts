/** Whom the hypervisor of this host knows under what was typed. */
import type { Environment } from '../config/settings.ts';
import { formOf, type Named } from '../core/who.ts';
import { candidates } from '../guest/find.ts';
import { thisHost, thisHypervisor } from './host.ts';

/**
 * The guests of this host that a number may mean: a session does not know that another guest has
 * its guest's name as a number, or the reverse. None where it is no number, or no Xen answers.
 */
export async function guestsByNumber(wanted: string, env: Environment): Promise<readonly Named[]> {
  if (formOf(wanted) !== 'number') return [];
  try {
    return await candidates(await thisHypervisor(thisHost(env)), wanted);
  } catch {
    return [];
  }
}
