/**
 * A guest's disks that are refused here because its copy may have gone on, while no session is left
 * that knows of them: this host was booted since, say. Their marks say whom to ask
 * (disk/mirror/mark.ts, M5), and core/permission/recovery.ts what may be done.
 */
import type { StopResult } from '../core/outcomes.ts';
import {
  type RecoveryDeed,
  recoveryOn,
  recoveryWithoutAnswer,
} from '../core/permission/recovery.ts';
import { adviceLines } from '../core/texts/advice.ts';
import { adviceOnAnswer } from '../core/texts/outcomes.ts';
import { hostWord } from '../core/texts/quote.ts';
import type { Answered } from '../core/vocabulary.ts';
import { errorText } from '../host/errors.ts';
import type { Hypervisor } from '../hypervisor/port.ts';
import { lookFor } from './look-for.ts';

/** Disks of one guest, and the session that left them. */
export interface LeftDisks {
  readonly domain: string;
  readonly uuid: string;
  readonly session: string;
  /** The host that has the copy. */
  readonly peer: { readonly host: string };
  /** Where they are on this host. */
  readonly paths: readonly string[];
}

/** What is done of `Left`, which says more of how the other host is asked. */
export interface LeftDisksPorts<Left extends LeftDisks> {
  hypervisor(): Promise<Hypervisor>;
  /** Asks the session's backup for the promise, by a fresh run of the transport. */
  askBackup(left: Left): Promise<Answered>;
  /** What DiskDriver says of both, for a session that is dead. */
  goOnAlone(left: Left): Promise<void>;
  cede(left: Left): Promise<void>;
}

async function deedFor<Left extends LeftDisks>(
  ports: LeftDisksPorts<Left>,
  left: Left,
  force: boolean,
): Promise<RecoveryDeed> {
  const order = { force, destroy: false };
  try {
    const { answer } = await ports.askBackup(left);
    return recoveryOn(answer, order);
  } catch (error) {
    return recoveryWithoutAnswer(errorText(error), order);
  }
}

function held(
  { domain, peer }: LeftDisks,
  { reason, found }: Extract<RecoveryDeed, { kind: 'hold' }>,
): StopResult {
  const next = adviceLines(adviceOnAnswer(found, { domain, peer: peer.host }));
  const text = `the disks of ${domain} stay refused here: ${reason}`;
  return { outcome: { kind: 'held', reason, found }, text, next };
}

/**
 * Asks the backup, and does of the disks as it says; `force`: a person vouches that the copy never
 * ran and never will. The guest is neither started nor destroyed by this.
 */
export async function settleLeftDisks<Left extends LeftDisks>(
  ports: LeftDisksPorts<Left>,
  left: Left,
  force: boolean,
): Promise<StopResult> {
  const { domain, uuid, peer, paths } = left;
  const other = hostWord(peer.host);
  const deed = await deedFor(ports, left, force);
  if (deed.kind === 'hold') return held(left, deed);
  if (deed.kind === 'let-run') {
    await ports.goOnAlone(left);
    const why = deed.isVouched ? 'as you said' : `its copy on ${other} will not run`;
    const text = `${domain} may run here, ${why}: ${paths.join(', ')} can be used again`;
    return { outcome: { kind: 'stopped', by: 'command' }, text };
  }
  const { found } = await lookFor(await ports.hypervisor(), { name: domain, uuid });
  if (found !== 'gone') {
    const reason = `${other} took over, and ${domain} was started here, too, on older disks`;
    return held(left, { kind: 'hold', reason, found: 'running' });
  }
  await ports.cede(left);
  const text = `${other} has ${domain}: ${paths.join(', ')} is older here and stays refused`;
  return { outcome: { kind: 'taken-over' }, text };
}
