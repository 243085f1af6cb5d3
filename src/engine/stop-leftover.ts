/** `tsremus stop` of a session whose process died: clears up, and leaves the guest watched. */
import { runDirectory } from '../config/settings.ts';
import { errorText } from '../host/errors.ts';
import { otherWatcher } from '../xen/other-watcher.ts';
import { startGuard } from './guard.ts';
import { forgetLeftover, settleLeftover } from './leftover.ts';
import type { StopResult } from './protect-options.ts';
import { amendStatus, watcherOf } from './run-directory.ts';
import type { SessionStatus } from './session-status.ts';

/** Ends what is left of a dead session, as permitted. */
export async function stopLeftover(
  status: SessionStatus,
  order: { readonly force: boolean },
): Promise<StopResult> {
  const result = await settleLeftover(status, order);
  const { outcome } = result;
  if (outcome.kind !== 'held') forgetLeftover(status);
  else if ('mayOpen' in outcome && outcome.mayOpen) noteUnopened(status, outcome.reason);
  if (outcome.kind !== 'stopped' || status.watch === false) return result;
  try {
    await ensureWatch(status);
    return result;
  } catch (error) {
    const unwatched = `nobody carries out what its own end asks for: ${errorText(error)}`;
    return { ...result, text: `${status.domain} runs on here, but ${unwatched}` };
  }
}

/** The permission was given, and stays so whatever becomes of the backup. */
function noteUnopened(left: SessionStatus, reason: string): void {
  amendStatus(runDirectory(process.env), left, (status) => {
    return { ...status, state: 'held', outcome: 'held', may_open: true, next: [], reason };
  });
}

/** The session's guard watches the guest, as a rule; if that died too, another one begins. */
async function ensureWatch({ domid, uuid, session, domain: name }: SessionStatus): Promise<void> {
  if (domid === null || watcherOf(runDirectory(process.env), uuid) !== null) return;
  if (otherWatcher({ domid, uuid, name }) !== null) return;
  const guard = startGuard({ domid, uuid, name, session, wait: true });
  await guard.ready;
  if (!(await guard.watch(domid))) throw new Error('the guard does not watch');
}
