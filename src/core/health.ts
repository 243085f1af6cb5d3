/**
 * Facts about a session -> OK, WARNING, CRITICAL or UNKNOWN, the words, and what to type next.
 * Pure: `tsremus status` reads the facts from the session's process or from its last report.
 */
import type { BackupPhase, BackupState } from './backup-state.ts';
import { silenceMs } from './backup-state.ts';
import type { BackupOutcome } from './backup-types.ts';
import { describeBackupOutcome, describePrimaryOutcome } from './describe.ts';
import type { PrimaryPhase, PrimaryState } from './primary-state.ts';
import { isLeaseFresh, wantsPromise } from './primary-state.ts';
import type { PrimaryOutcome } from './primary-types.ts';
import { lateAfterMs } from './scheduler.ts';
import { leaseMs, type Permission } from './vocabulary.ts';

/** 0 protected, 1 seeding or late, 2 unprotected or held, 3 unknown: `status` exits with it. */
export type HealthCode = 0 | 1 | 2 | 3;

export interface Health {
  readonly code: HealthCode;
  readonly word: 'OK' | 'WARNING' | 'CRITICAL' | 'UNKNOWN';
  /** One sentence without a final stop. */
  readonly text: string;
  /** What the administrator can type, with DOMAIN for the guest's name; null: nothing to do. */
  readonly next: string | null;
}

export interface PrimaryFacts {
  readonly role: 'primary';
  readonly phase: PrimaryPhase;
  readonly buffered: boolean;
  readonly acked: number;
  /** Age of the last acknowledgement; null before the first. */
  readonly ackAgeMs: number | null;
  /** An acknowledgement older than this is late. */
  readonly lateAfterMs: number;
  /** How long ago the backup was heard. */
  readonly heardAgeMs: number;
  readonly isLeaseFresh: boolean;
  readonly isAsking: boolean;
  readonly askNews: string | null;
  readonly lost: string | null;
  readonly paused: boolean;
  readonly activeSeen: boolean;
  readonly outcome: PrimaryOutcome | null;
}

export interface BackupFacts {
  readonly role: 'backup';
  readonly phase: BackupPhase;
  readonly buffered: boolean;
  readonly acked: number;
  readonly link: 'connecting' | 'open' | 'closed';
  readonly linkReason: string | null;
  readonly silenceMs: number;
  /** A silence longer than this is late. */
  readonly lateAfterMs: number;
  readonly permission: Permission;
  readonly recordProblem: string | null;
  readonly copyProblem: string | null;
  readonly outcome: BackupOutcome | null;
}

export type SessionFacts = PrimaryFacts | BackupFacts;

/** What `status` needs to know of a primary, as of `nowMs` of its own clock. */
export function primaryFacts(state: PrimaryState, nowMs: number): PrimaryFacts {
  const at: PrimaryState = { ...state, nowMs: Math.max(nowMs, state.nowMs) };
  const { config } = state;
  return {
    role: 'primary',
    phase: at.phase,
    buffered: config.buffered,
    acked: at.acked,
    ackAgeMs: at.acked < 0 ? null : at.nowMs - at.committedAtMs,
    lateAfterMs: lateAfterMs(at.schedule, at.pace, config.heartbeatTimeoutMs),
    heardAgeMs: at.nowMs - at.heardAtMs,
    isLeaseFresh: isLeaseFresh(at),
    isAsking: at.outcome === null && wantsPromise(at),
    askNews: at.askNews,
    lost: at.lost,
    paused: at.paused,
    activeSeen: at.activeSeen,
    outcome: at.outcome,
  };
}

/** What `status` needs to know of a backup, as of `nowMs` of its own clock. */
export function backupFacts(state: BackupState, nowMs: number): BackupFacts {
  const at: BackupState = { ...state, nowMs: Math.max(nowMs, state.nowMs) };
  return {
    role: 'backup',
    phase: at.phase,
    buffered: at.config.buffered,
    acked: at.acked,
    link: at.link,
    linkReason: at.linkReason,
    silenceMs: silenceMs(at),
    lateAfterMs: leaseMs(at.config),
    permission: at.record,
    recordProblem: at.recordProblem,
    copyProblem: at.copyProblem,
    outcome: at.outcome,
  };
}

/**
 * The verdict. `isAlive`: the session's process lives; without it the facts are its last report.
 */
export function healthOf(facts: SessionFacts | null, isAlive: boolean): Health {
  if (facts === null) return unknown('nothing is known about this session', null);
  if (!isAlive && facts.outcome === null) return deadHealth(facts);
  return facts.role === 'primary' ? primaryHealth(facts) : backupHealth(facts);
}

function deadHealth(facts: SessionFacts): Health {
  if (facts.role === 'backup') {
    return critical('tsremus receive died: this copy will not run', null);
  }
  const guest = facts.buffered ? 'its output is held' : 'it runs unprotected';
  return critical(`tsremus protect died: the guest is still here, ${guest}`, 'tsremus stop DOMAIN');
}

function primaryHealth(facts: PrimaryFacts): Health {
  if (facts.outcome !== null) return critical(describePrimaryOutcome(facts.outcome), null);
  switch (facts.phase) {
    case 'connecting':
      return warning('connecting to the backup: not protected yet');
    case 'seeding':
      if (facts.isAsking) return heldHealth(facts);
      if (facts.isLeaseFresh) return warning('the seed is being copied: not protected yet');
      return warning(`the seed is being copied; the backup was heard ${age(facts.heardAgeMs)} ago`);
    case 'protected':
      return protectedHealth(facts);
    case 'ending':
    case 'held':
    case 'leaving':
    case 'ended':
      return heldHealth(facts);
  }
}

function protectedHealth(facts: PrimaryFacts): Health {
  if (facts.isAsking) return heldHealth(facts);
  const ackAgeMs = facts.ackAgeMs ?? 0;
  if (!facts.isLeaseFresh) {
    const what = facts.buffered ? 'output waits' : facts.paused ? 'the guest is paused' : 'late';
    return warning(`the backup was heard ${age(facts.heardAgeMs)} ago: ${what}`);
  }
  if (ackAgeMs > facts.lateAfterMs) {
    return warning(`epoch ${facts.acked} was acknowledged ${age(ackAgeMs)} ago, which is late`);
  }
  return ok(`protected: epoch ${facts.acked} was acknowledged ${age(ackAgeMs)} ago`);
}

function heldHealth(facts: PrimaryFacts): Health {
  const guest = facts.buffered ? 'its output waits' : facts.paused ? 'it is paused' : 'it runs';
  const why = facts.lost ?? (facts.isAsking ? 'the backup is being asked' : 'protection is ending');
  const news = facts.askNews === null ? '' : `; ${facts.askNews}`;
  // Where the copy goes on nobody may be told to force the guest on here.
  const next = facts.activeSeen ? null : 'tsremus stop --force-unsafe DOMAIN';
  return critical(`${facts.phase}: ${why}; the guest is here and ${guest}${news}`, next);
}

function backupHealth(facts: BackupFacts): Health {
  if (facts.outcome !== null) return critical(describeBackupOutcome(facts.outcome), null);
  const record = facts.recordProblem === null ? '' : `; the record: ${facts.recordProblem}`;
  const copy = facts.copyProblem === null ? '' : `; the copy: ${facts.copyProblem}`;
  switch (facts.phase) {
    case 'connecting':
      return warning('the session has not begun');
    case 'seeding':
      return warning('the seed is being received: not protected yet');
    case 'standby':
      return standbyHealth(facts, record);
    case 'activating':
      return critical(`activating epoch ${facts.acked}${record}${copy}`, null);
    case 'active':
      return critical(`the copy goes on here, starting it${record}${copy}`, null);
    case 'leaving':
    case 'ended':
      return critical(`the copy is being given up${record}${copy}`, null);
  }
}

function standbyHealth(facts: BackupFacts, record: string): Health {
  if (facts.link !== 'open') {
    const why = `the link ended: ${facts.linkReason ?? 'unknown'}`;
    const then = facts.buffered
      ? 'the copy is activated unless the primary asks to go on'
      : 'without a buffer nobody activates by himself';
    return critical(`${why}; ${then}${record}`, 'tsremus failover DOMAIN');
  }
  if (facts.recordProblem !== null) {
    return critical(`holds epoch ${facts.acked}${record}`, null);
  }
  if (facts.silenceMs > facts.lateAfterMs) {
    return warning(`holds epoch ${facts.acked}; the primary is silent for ${age(facts.silenceMs)}`);
  }
  return ok(`protecting: holds epoch ${facts.acked}`);
}

function age(ms: number): string {
  return `${Math.round(ms)} ms`;
}

function ok(text: string): Health {
  return { code: 0, word: 'OK', text, next: null };
}

function warning(text: string): Health {
  return { code: 1, word: 'WARNING', text, next: null };
}

function critical(text: string, next: string | null): Health {
  return { code: 2, word: 'CRITICAL', text, next };
}

function unknown(text: string, next: string | null): Health {
  return { code: 3, word: 'UNKNOWN', text, next };
}
