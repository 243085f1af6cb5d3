/**
 * The permission record's rules: what it may become, what it answers, and what an ask does to it
 * when the process that owned it is dead. Pure; src/permission/record.ts makes it durable.
 *
 *     standby --> activating --> active --> lost   the copy goes on; lost: by a person's word
 *        |            |
 *        +--> promised <-+                         the copy will never run
 *
 * `active` says who went on, not who is there: what it answers is looked up, each time.
 */
import type { Answer, Permission } from '../vocabulary.ts';

/** What a record says. */
export interface RecordView {
  readonly permission: Permission;
  /** The copy was built, in this boot of its host. Only ever true with `activating`. News. */
  readonly built: boolean;
  /** The copy was seen to run. Only ever true with `active`. News, no decision. */
  readonly running: boolean;
  /** It ended by itself. As `running`. */
  readonly ended: boolean;
}

/** What is found of the guest on the host where it went on. */
export type FoundGuest = 'running' | 'paused' | 'ended' | 'gone';

/** The transition table. Staying is no move. */
export function canMove(from: Permission, to: Permission): boolean {
  switch (from) {
    case 'standby':
      return to === 'activating' || to === 'promised';
    case 'activating':
      return to === 'active' || to === 'promised';
    case 'active':
      return to === 'lost';
    case 'promised':
    case 'lost':
      return false;
  }
}

/** True for the permissions that no process changes again. */
export function isFinal(permission: Permission): boolean {
  return permission === 'active' || permission === 'promised' || permission === 'lost';
}

/**
 * What the record alone answers to "may I open the buffer?"; null: it says active, and what has
 * become of the guest has to be looked up now. No record (`null`) is never a promise.
 */
export function answerOf(record: Pick<RecordView, 'permission'> | null): Answer | null {
  if (record === null) return { kind: 'unknown' };
  switch (record.permission) {
    case 'promised':
    case 'lost':
      return { kind: 'promised' };
    case 'active':
      return null;
    // Undecided: nothing was promised yet.
    case 'standby':
    case 'activating':
      return { kind: 'activating' };
  }
}

/**
 * What a record that says active answers, by what was found just now. A guest that ran and is
 * paused is there, whole: somebody paused it, or it is protected from here.
 */
export function answerFor(found: FoundGuest, { running, ended }: RecordView): Answer {
  switch (found) {
    case 'running':
    case 'ended':
      return { kind: found };
    case 'paused':
      return { kind: running ? 'running' : 'activating' };
    case 'gone':
      return { kind: ended ? 'ended' : 'absent' };
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
   * says. `isWhole`: it may be, so nobody else may be about to let it run.
   */
  | { readonly kind: 'give-up'; readonly isWhole: boolean; readonly steps: readonly GivingUp[] }
  /**
   * Look for the guest, then `answerFor`. `unpause`: `active` was written before the copy was
   * unpaused and nobody saw it run: if it stands there paused, its owner died in between.
   */
  | { readonly kind: 'look'; readonly unpause: boolean };

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
        isWhole: false,
        steps: [
          { do: 'record-promise', from: 'standby' },
          { do: 'destroy-copy', which: 'waiting' },
        ],
      };
    case 'activating':
      // Destroyed before the promise: `activating` proves that the copy never ran.
      return {
        kind: 'give-up',
        isWhole: true,
        steps: [
          { do: 'destroy-copy', which: 'waiting-or-built' },
          { do: 'record-promise', from: 'activating' },
        ],
      };
    case 'active':
      return { kind: 'look', unpause: !record.running };
    case 'promised':
    case 'lost':
      return { kind: 'answer', answer: { kind: 'promised' } };
  }
}

/** The answer once giving up came to an end, with what the record says then. */
export function answerAfter(permission: Permission): Answer {
  return permission === 'promised' ? { kind: 'promised' } : { kind: 'activating' };
}

/**
 * Why a person may not say that the guest which went on here is lost; null: he may. As long as a
 * process of ours looks after it, it may be there again in a moment: it reboots, say.
 */
export function lostRefusal(
  record: Pick<RecordView, 'permission'> | null,
  found: FoundGuest,
  isLookedAfter: boolean,
): string | null {
  if (record?.permission !== 'active') return 'no copy of it took over here';
  if (found !== 'gone') return 'it is here';
  return isLookedAfter ? 'a process of tsremus still looks after it here' : null;
}
