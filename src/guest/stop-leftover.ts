/** `tsremus stop` of a session whose process died: clears up, and leaves the guest watched. */
import { runDirectory } from '../config/settings.ts';
import { errorText } from '../host/errors.ts';
import { systemStore } from '../host/store.ts';
import { otherWatcher } from '../hypervisor/xen/other-watcher.ts';
import { readState, writeState } from '../output/plug/state-file.ts';
import { amendStatus, type SessionEntry, watcherOf } from '../registry/run-directory.ts';
import type { SessionStatus } from '../registry/status.ts';
import type { StopResult } from '../session/options.ts';
import { bufferStatePath } from '../session/output.ts';
import { startGuard } from './guard.ts';
import { listAll } from './left-buffers.ts';
import {
  domainNumber,
  forgetLeftover,
  identified,
  type StopOrder,
  settleLeftover,
} from './recovery.ts';

/**
 * What is left of the guest called `name` where only devices are: their names have its number, and
 * Xen knows which that is. Null: nothing, or no such guest is here any more.
 */
export async function leftBufferNamed(name: string): Promise<SessionEntry | null> {
  const { sessions } = await listAll(runDirectory(process.env));
  const nameless = sessions.filter(({ status }) => status.buffer_only && status.uuid === '');
  if (nameless.length === 0) return null;
  const domid = await domainNumber(name);
  const found = nameless.find(({ status }) => status.domid === domid);
  return found === undefined ? null : { ...found, status: await identified(found.status) };
}

/** Ends what is left of a dead session, as permitted. */
export async function stopLeftover(left: SessionStatus, order: StopOrder): Promise<StopResult> {
  const status = await identified(left);
  const result = await settleLeftover(status, order);
  const { outcome } = result;
  if (outcome.kind !== 'held' && !status.buffer_only) forgetLeftover(status);
  if ('mayOpen' in outcome && outcome.mayOpen) await noteUnopened(status, outcome.reason);
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
async function noteUnopened(left: SessionStatus, reason: string): Promise<void> {
  if (left.buffer_only) return noteInBuffer(left);
  amendStatus(runDirectory(process.env), left, (status) => {
    return { ...status, state: 'held', outcome: 'held', may_open: true, next: [], reason };
  });
}

/** There is no session's status to note it in; the buffer's own state is the next best place. */
async function noteInBuffer({ domain, domid, uuid, session }: SessionStatus): Promise<void> {
  if (domid === null) return;
  await systemStore.ensureDir(runDirectory(process.env));
  const path = bufferStatePath(uuid);
  const known = await readState(path).catch(() => null);
  const state = known ?? { schema: 1, domain, domid, uuid, session, interfaces: [] };
  await writeState(path, { ...state, may_open: true });
}

/** The session's guard watches the guest, as a rule; if that died too, another one begins. */
async function ensureWatch({ domid, uuid, session, domain: name }: SessionStatus): Promise<void> {
  if (domid === null || watcherOf(runDirectory(process.env), uuid) !== null) return;
  if (otherWatcher({ domid, uuid, name }) !== null) return;
  const guard = startGuard({ domid, uuid, name, session, wait: true });
  await guard.ready;
  if (!(await guard.watch(domid))) throw new Error('the guard does not watch');
}
