/**
 * THE table of exit codes. Nothing else in tsremus decides on one. It is total: every error code
 * and every outcome has its place, or this file does not compile; tests hold it to the man page.
 */
import type { BackupOutcome } from '../core/backup/types.ts';
import type { CheckLevel } from '../core/check/line.ts';
import type { Level } from '../core/health/health.ts';
import type { ProtectOutcome, StopOutcome } from '../core/texts/outcomes.ts';
import type { OperationCode } from '../host/errors.ts';
import type { ResyncResult } from '../session/resync/options.ts';

export const exit = {
  ok: 0,
  /** 1 to 3 are `status` alone, so that cron and Nagios can call it as it is. */
  statusWarning: 1,
  statusCritical: 2,
  statusUnknown: 3,
  failed: 10,
  locked: 11,
  noSuchDomain: 12,
  peerUnreachable: 13,
  refused: 14,
  storage: 15,
  unprotected: 16,
  takenOver: 17,
  held: 18,
  guestEnded: 19,
  different: 20,
  usage: 64,
  unavailable: 69,
  notRoot: 77,
  config: 78,
  interrupted: 130,
  terminated: 143,
} as const;

export type ExitCode = (typeof exit)[keyof typeof exit];

/** What each code means, for texts; the man page says the same. */
export const exitMeaning: Readonly<Record<ExitCode, string>> = {
  0: 'done; for status: all is well',
  1: 'status only: warning',
  2: 'status only: critical',
  3: 'status only: unknown',
  10: 'failed; protection is as it was',
  11: 'locked: another tsremus works on this domain',
  12: 'no such domain or session, or more than one',
  13: 'the peer cannot be reached, or has no tsremus that this one can talk to',
  14: 'refused: two copies of the guest might run',
  15: 'storage is not as it must be',
  16: 'protection was lost, the guest runs on here without a copy',
  17: 'the backup took over',
  18: 'the guest is held: nobody may decide yet',
  19: 'the guest ended by itself',
  20: 'resync --verify only: the disks of both hosts differ',
  64: 'wrong usage',
  69: 'not built yet, or no Xen here',
  77: 'not root',
  78: 'the configuration or the environment is wrong',
  130: 'ended in order after SIGINT',
  143: 'ended in order after SIGTERM',
};

const ofOperation: Readonly<Record<OperationCode, ExitCode>> = {
  'peer-unreachable': exit.peerUnreachable,
  'peer-refused': exit.failed,
  'peer-without-tsremus': exit.peerUnreachable,
  'version-mismatch': exit.peerUnreachable,
  protocol: exit.failed,
  limit: exit.failed,
  'no-such-domain': exit.noSuchDomain,
  'no-such-session': exit.noSuchDomain,
  ambiguous: exit.noSuchDomain,
  locked: exit.locked,
  'already-protected': exit.locked,
  'unsupported-guest': exit.failed,
  'not-allowed': exit.failed,
  'split-brain-risk': exit.refused,
  'not-root': exit.notRoot,
  'no-xen': exit.unavailable,
  'not-built': exit.unavailable,
  'no-buffer': exit.failed,
  hypervisor: exit.failed,
  'disk-full': exit.storage,
  storage: exit.storage,
  'command-not-found': exit.failed,
  'command-failed': exit.failed,
  'command-timeout': exit.failed,
  'no-answer': exit.held,
  aborted: exit.failed,
};

const ofLevel: Readonly<Record<Level, ExitCode>> = {
  ok: exit.ok,
  warning: exit.statusWarning,
  critical: exit.statusCritical,
  unknown: exit.statusUnknown,
};

/** Exit code of `tsremus status` by how bad it found things to be. */
export function exitOfLevel(level: Level): ExitCode {
  return ofLevel[level];
}

/** Exit code of an error that the world gave. */
export function exitOfOperation(code: OperationCode): ExitCode {
  return ofOperation[code];
}

/** Exit code of `tsremus protect` by how the session ended. */
export function exitOfProtect(outcome: ProtectOutcome): ExitCode {
  switch (outcome.kind) {
    case 'stopped':
      if (outcome.by === 'sigint') return exit.interrupted;
      return outcome.by === 'sigterm' ? exit.terminated : exit.ok;
    case 'unprotected':
      return exit.unprotected;
    case 'never-protected':
      return exit.failed;
    case 'taken-over':
      return exit.takenOver;
    case 'guest-ended':
      return exit.guestEnded;
    case 'held':
      return exit.held;
  }
}

/** Exit code of `tsremus receive`: seen by the transport, and in the primary's log. */
export function exitOfReceive(outcome: BackupOutcome): ExitCode {
  switch (outcome.kind) {
    case 'activated':
      return exit.takenOver;
    case 'promised':
      return exit.ok;
    case 'never-whole':
    case 'copy-lost':
      return exit.failed;
  }
}

/**
 * Exit code of `tsremus stop`: 0 whenever protection is over and the guest runs on here, which is
 * what stop is for, however the session itself ended; or the guest was destroyed as was ordered.
 */
export function exitOfStop(outcome: StopOutcome): ExitCode {
  switch (outcome.kind) {
    case 'stopped':
    case 'unprotected':
    case 'never-protected':
    case 'promised':
    case 'never-whole':
    case 'copy-lost':
    case 'destroyed':
    case 'lost':
      return exit.ok;
    case 'taken-over':
    case 'activated':
      return exit.takenOver;
    case 'guest-ended':
      return exit.guestEnded;
    case 'held':
      return exit.held;
  }
}

/** Exit code of `tsremus resync`. */
export function exitOfResync(result: ResyncResult): ExitCode {
  switch (result.kind) {
    case 'copied':
      return exit.ok;
    case 'compared':
      return result.difference.differentBytes === 0 ? exit.ok : exit.different;
    case 'stopped':
      return result.by === 'sigint' ? exit.interrupted : exit.terminated;
  }
}

/** Exit code of `tsremus check`: a warning is no reason against protection. */
export function exitOfCheck(worst: CheckLevel): ExitCode {
  return worst === 'fail' ? exit.failed : exit.ok;
}
