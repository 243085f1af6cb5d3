/**
 * The permission record's rules: what it may become, what it answers, and what an ask does to it
 * when the process that owned it is dead. Pure; src/permission/record.ts makes it durable.
 *
 *     standby --> activating --> active        the copy goes on
 *        |            |
 *        +--> promised <-+                     the copy will never run
 */
import type { Answer, Permission } from '../vocabulary.ts';

/** What a record says. */
export interface RecordView {
  readonly permission: Permission;
  /** The copy was seen to run. Only ever true with `active`. News, no decision. */
  readonly running: boolean;
}

/** The transition table. Both ends are final; staying is no move. */
export function canMove(from: Permission, to: Permission): boolean {
  switch (from) {
    case 'standby':
      return to === 'activating' || to === 'promised';
    case 'activating':
      return to === 'active' || to === 'promised';
    case 'active':
    case 'promised':
      return false;
  }
}

/** True for the permissions that never change again. */
export function isFinal(permission: Permission): boolean {
  return permission === 'active' || permission === 'promised';
}

/** What the record answers to "may I open the buffer?"; `null`: there is no record. */
export function answerOf(record: RecordView | null): Answer {
  if (record === null) return { kind: 'unknown' };
  switch (record.permission) {
    case 'promised':
      return { kind: 'promised' };
    case 'active':
      return { kind: 'active', running: record.running };
    // Undecided: nothing was promised yet.
    case 'standby':
    case 'activating':
      return { kind: 'activating' };
  }
}

/**
 * What a process that is asked on the backup host does when the session's owner is dead (killed,
 * or the host rebooted). While the owner lives the ask is handed to it instead.
 */
export type OwnerlessAsk =
  | { readonly kind: 'answer'; readonly answer: Answer }
  /**
   * Give the copy up and promise, by these steps in this order, then `answerAfter` what the record
   * says.
   */
  | { readonly kind: 'give-up'; readonly steps: readonly GivingUp[] }
  /**
   * `active` is final and was written before the copy was unpaused; the owner died in between.
   * Unpause the copy if it is still there (then note that it runs), answer `active`.
   */
  | { readonly kind: 'finish-activation' };

export type GivingUp =
  /** What is left of the copy; `waiting`: only under its waiting name, for it was never built. */
  | { readonly do: 'destroy-copy'; readonly which: 'waiting' | 'waiting-or-built' }
  /** Nothing that follows is done unless the record says promised then. */
  | { readonly do: 'record-promise'; readonly from: 'standby' | 'activating' };

/** The rule for an ask that meets a record without a living owner. */
export function askWithoutOwner(record: RecordView | null): OwnerlessAsk {
  if (record === null) return { kind: 'answer', answer: { kind: 'unknown' } };
  switch (record.permission) {
    case 'standby':
      // The decision comes first: it makes sure that nobody activates meanwhile.
      return {
        kind: 'give-up',
        steps: [
          { do: 'record-promise', from: 'standby' },
          { do: 'destroy-copy', which: 'waiting' },
        ],
      };
    case 'activating':
      // Destroyed before the promise: `activating` proves that the copy never ran.
      return {
        kind: 'give-up',
        steps: [
          { do: 'destroy-copy', which: 'waiting-or-built' },
          { do: 'record-promise', from: 'activating' },
        ],
      };
    case 'active':
      if (!record.running) return { kind: 'finish-activation' };
      return { kind: 'answer', answer: answerOf(record) };
    case 'promised':
      return { kind: 'answer', answer: answerOf(record) };
  }
}

/** The answer once giving up came to an end, with what the record says then. */
export function answerAfter(permission: Permission): Answer {
  return permission === 'promised' ? { kind: 'promised' } : { kind: 'activating' };
}
