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
  /** Destroy what is left of the copy, then move the record `from` -> promised, then answer. */
  | { readonly kind: 'destroy-then-promise'; readonly from: 'standby' | 'activating' }
  /**
   * `active` is final and was written before the copy was unpaused; the owner died in between.
   * Unpause the copy if it is still there (then note that it runs), answer `active`.
   */
  | { readonly kind: 'finish-activation' };

/** The rule for an ask that meets a record without a living owner. */
export function askWithoutOwner(record: RecordView | null): OwnerlessAsk {
  if (record === null) return { kind: 'answer', answer: { kind: 'unknown' } };
  switch (record.permission) {
    case 'standby':
    case 'activating':
      return { kind: 'destroy-then-promise', from: record.permission };
    case 'active':
      if (!record.running) return { kind: 'finish-activation' };
      return { kind: 'answer', answer: answerOf(record) };
    case 'promised':
      return { kind: 'answer', answer: answerOf(record) };
  }
}
