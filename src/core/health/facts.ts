/**
 * What a session is judged by, and how both machines come to it: the same words in the status file,
 * in `tsremus status` and in the simulator. Pure.
 */

import type { BackupPhase, BackupState } from '../backup/state.ts';
import { silenceMs, waitsForPerson } from '../backup/state.ts';
import type { Agreement } from '../permission/tie.ts';
import {
  backupMayActivate,
  isLeaseFresh,
  isSilent,
  type PrimaryPhase,
  type PrimaryState,
  wantsPromise,
} from '../primary/state.ts';
import type { SaveHelper } from '../save-helper.ts';
import { lateAfterMs } from '../scheduler.ts';
import { formatMs } from '../units.ts';
import { leaseMs } from '../vocabulary.ts';

/** The word for what a session is doing; the same on both sides, in texts and in JSON. */
export type SessionState =
  | 'connecting'
  | 'seeding'
  | 'protected'
  /** Primary: checkpoints go to nowhere (-b). */
  | 'measuring'
  /** Protected or on standby, but the other side was not heard for longer than expected. */
  | 'late'
  /** Being ended: the permission is asked for, or the copy is given up. */
  | 'ending'
  /** Mute: nobody may decide yet. With -n: the guest is paused. */
  | 'held'
  /** The guest runs here without a copy. */
  | 'unprotected'
  /** Backup: a whole copy is here. */
  | 'standby'
  | 'activating'
  /** Backup: the copy took over and runs here. */
  | 'active'
  /** Over; `outcome` says how. */
  | 'ended';

/** What became of the process that owns a session. */
export type Liveness = 'alive' | 'dead' | 'other-boot';

/** The part of a session's status that is judged. The keys are those of the JSON contract. */
export interface SessionFacts {
  readonly domain: string;
  readonly role: 'primary' | 'backup';
  readonly peer: string;
  readonly state: SessionState;
  /** Newest acknowledged epoch; null before the first. */
  readonly epoch: number | null;
  /** Age of that acknowledgement when the session reported, ms. */
  readonly ack_age_ms: number | null;
  /** Beyond this age the session counts as late, ms. */
  readonly late_after_ms: number;
  readonly buffered: boolean;
  /** Who goes on when the other host cannot be asked. Older sessions: absent. */
  readonly without_witness?: Agreement;
  /** Primary: what makes the checkpoints, and why not what was wanted. Not known yet: absent. */
  readonly save_helper?: SaveHelper;
  readonly save_helper_reason?: string | null;
  /** Primary: this session paused the guest (once). */
  readonly guest_paused: boolean;
  /** Primary: it may go on here, but its output buffer could not be removed. Older: absent. */
  readonly may_open?: boolean;
  /** Backup: the copy stands built, or runs; a dead process left it so. Older: absent. */
  readonly copy_built?: boolean;
  /** What makes protection worse than it should be, one sentence; null: nothing. */
  readonly degraded: string | null;
  /** What happened, one sentence; null while all is well. */
  readonly reason: string | null;
  /** What to type next, complete command lines; empty while all is well. */
  readonly next: readonly string[];
  /** How the session ended: the core's outcome kind; null while it lives. */
  readonly outcome: string | null;
  readonly pid: number;
}

/** The facts that follow from a machine's state alone. */
export type MachineFacts = Pick<
  SessionFacts,
  'role' | 'state' | 'epoch' | 'ack_age_ms' | 'late_after_ms' | 'buffered' | 'copy_built' | 'reason'
>;

function ackLateMs({ schedule, pace, config }: PrimaryState): number {
  return lateAfterMs(schedule, pace, config.heartbeatTimeoutMs);
}

function joined(parts: readonly (string | null)[]): string | null {
  const said = parts.filter((part) => part !== null);
  return said.length === 0 ? null : said.join('; ');
}

/**
 * A primary as of `nowMs` of its own clock. `guestPaused`: a pause of the session's is not undone
 * yet, which may be longer than the machine wants it.
 */
export function primaryMachineFacts(
  state: PrimaryState,
  nowMs: number,
  guestPaused: boolean,
): MachineFacts {
  const at: PrimaryState = { ...state, nowMs: Math.max(nowMs, state.nowMs) };
  return {
    role: 'primary',
    state: primaryWord(at, guestPaused),
    epoch: at.acked < 0 ? null : at.acked,
    ack_age_ms: at.acked < 0 ? null : Math.round(at.nowMs - at.committedAtMs),
    late_after_ms: ackLateMs(at),
    buffered: at.config.buffered,
    reason: primaryReason(at, guestPaused),
  };
}

const wordOfPrimary: Readonly<Record<PrimaryPhase, SessionState>> = {
  connecting: 'connecting',
  seeding: 'seeding',
  protected: 'protected',
  ending: 'ending',
  held: 'held',
  leaving: 'ending',
  ended: 'ended',
};

function primaryWord(at: PrimaryState, guestPaused: boolean): SessionState {
  if (at.outcome?.kind === 'unprotected') return 'unprotected';
  if (isHeld(at)) return 'held';
  if (at.phase !== 'protected') return wordOfPrimary[at.phase];
  if (guestPaused || !isLeaseFresh(at) || at.unheld !== null) return 'late';
  return at.nowMs - at.committedAtMs > ackLateMs(at) ? 'late' : 'protected';
}

/**
 * As an administrator sees it: a link that is silent for so long that the promise is asked for
 * holds the guest as one that ended does, although the machine would take it up again; and so does
 * an ask that was answered with anything but a decision.
 */
function isHeld(at: PrimaryState): boolean {
  if (at.outcome !== null) return false;
  if (isSilent(at) && backupMayActivate(at)) return true;
  return at.phase === 'ending' && wantsPromise(at) && at.askNews !== null;
}

function primaryReason(at: PrimaryState, guestPaused: boolean): string | null {
  const { outcome } = at;
  if (outcome !== null) return 'reason' in outcome ? outcome.reason : null;
  const isMissed = at.link === 'open' && !isLeaseFresh(at);
  return joined([
    at.lost,
    wantsPromise(at) ? at.askNews : null,
    unheldReason(at),
    isMissed ? `the other host was not heard for ${formatMs(at.nowMs - at.heardAtMs)}` : null,
    guestPaused ? pauseReason(at) : null,
  ]);
}

function unheldReason({ unheld }: PrimaryState): string | null {
  if (unheld === null) return null;
  const { reason, epoch } = unheld;
  const until = `until epoch ${epoch} is acknowledged no copy knows of them`;
  return `frames may have got out unheld (${reason}): ${until}`;
}

function pauseReason({ activeSeen }: PrimaryState): string {
  return activeSeen ? 'the guest is paused' : 'the guest is paused until the backup is heard';
}

const wordOfBackup: Readonly<Record<BackupPhase, SessionState>> = {
  connecting: 'connecting',
  seeding: 'seeding',
  standby: 'standby',
  activating: 'activating',
  active: 'activating',
  leaving: 'ending',
  ended: 'ended',
};

/** A backup as of `nowMs` of its own clock; the age of an acknowledgement is not its affair. */
export function backupMachineFacts(state: BackupState, nowMs: number): MachineFacts {
  const at: BackupState = { ...state, nowMs: Math.max(nowMs, state.nowMs) };
  return {
    role: 'backup',
    state: backupWord(at),
    epoch: at.acked < 0 ? null : at.acked,
    ack_age_ms: null,
    late_after_ms: 10 * at.config.heartbeatTimeoutMs,
    buffered: at.config.buffered,
    copy_built: isBuilt(at),
    reason: backupReason(at),
  };
}

function isPeerSilent(at: BackupState): boolean {
  return at.phase === 'standby' && at.link === 'open' && silenceMs(at) > leaseMs(at.config);
}

function backupWord(at: BackupState): SessionState {
  const isUndecided = at.record !== 'active' && at.outcome === null && at.acked >= 0;
  const isCalm = at.phase === 'standby' && at.link === 'open' && !isPeerSilent(at);
  // Whatever is to be decided cannot be written down: nobody goes on, nobody may.
  if (isUndecided && at.recordProblem !== null) return isCalm ? 'late' : 'held';
  // The link is gone and nobody has decided: the administrator may have to.
  if (waitsForPerson(at) || (at.phase === 'standby' && at.link === 'closed')) return 'held';
  return isPeerSilent(at) ? 'late' : wordOfBackup[at.phase];
}

function isBuilt({ copy }: BackupState): boolean {
  return copy === 'built' || copy === 'starting' || copy === 'running';
}

function backupReason(at: BackupState): string | null {
  const record = at.recordProblem;
  const isWaiting = at.leaving !== null && at.outcome === null && at.record === 'standby';
  return joined([
    at.linkReason,
    isWaiting ? `${at.leaving}: it ends when the primary asks for its promise` : null,
    isPeerSilent(at) ? `the other host was not heard for ${formatMs(silenceMs(at))}` : null,
    at.copyProblem,
    record === null ? null : `the decision cannot be recorded: ${record}`,
  ]);
}
