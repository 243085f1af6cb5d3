/**
 * What may become of a guest whose session died on the primary: `tsremus stop`, and the guest's own
 * end while nobody protects it any more. Pure.
 *
 *   V1  a guest goes on only with the promise, on a promise that was given before, or on the word
 *       of the administrator that the copy never ran and never will, after the backup was asked in
 *       vain (E2)
 *   V2  it is destroyed only because the copy is there now or has ended by itself (E1), or as was
 *       ordered
 *   V3  everything else, silence included, leaves it as it is: held
 */
import type { Answer } from '../vocabulary.ts';
import { mayVouch, newsOf } from './evidence.ts';

/** What was ordered beside the asking. */
export interface RecoveryOrder {
  /** The administrator vouches that the copy never ran and never will. */
  readonly force: boolean;
  /**
   * Give the guest up on this host: no permission is needed, nothing that it held gets out. On the
   * backup's: a copy, whole or not.
   */
  readonly destroy: boolean;
}

export interface LeftOnPrimary {
  readonly isGuestHere: boolean;
  /** The permission was given to the session before it died. */
  readonly mayOpen: boolean;
}

export type RecoveryDeed =
  /** The guest is not here: what it held can go nowhere, and is thrown away. */
  | { readonly kind: 'drop' }
  /** What it held is thrown away first. */
  | { readonly kind: 'destroy'; readonly because: 'ordered' | 'taken-over' }
  | { readonly kind: 'let-run'; readonly isVouched: boolean }
  /** `found`: what the backup answered; null: nothing. */
  | { readonly kind: 'hold'; readonly reason: string; readonly found: Answer['kind'] | null };

/** What may be done unasked; null: the backup has to be asked. */
export function recoveryUnasked(left: LeftOnPrimary, order: RecoveryOrder): RecoveryDeed | null {
  if (!left.isGuestHere) return { kind: 'drop' };
  if (order.destroy) return { kind: 'destroy', because: 'ordered' };
  // A permission is final: nobody is asked twice, and need not be there any more.
  return left.mayOpen ? { kind: 'let-run', isVouched: false } : null;
}

/** What the backup's answer permits. */
export function recoveryOn(answer: Answer, { force }: RecoveryOrder): RecoveryDeed {
  switch (answer.kind) {
    case 'promised':
      return { kind: 'let-run', isVouched: false };
    case 'running':
    case 'ended':
      return { kind: 'destroy', because: 'taken-over' };
    case 'activating':
    case 'absent':
    case 'unknown':
      if (force && mayVouch(answer)) return { kind: 'let-run', isVouched: true };
      return { kind: 'hold', reason: newsOf(answer) ?? '', found: answer.kind };
  }
}

/**
 * Nobody answered. Not even in the seed does that permit anything: it may be whole over there, its
 * acknowledgement lost with the process.
 */
export function recoveryWithoutAnswer(reason: string, { force }: RecoveryOrder): RecoveryDeed {
  if (force && mayVouch(null)) return { kind: 'let-run', isVouched: true };
  return { kind: 'hold', reason, found: null };
}

/**
 * A guest whose session died ends by itself: may its configuration be carried out here? `never`:
 * its copy goes on elsewhere, or it was given up; `later`: ask again.
 */
export function mayEndHere(outcome: string): 'now' | 'later' | 'never' {
  if (outcome === 'stopped') return 'now';
  return outcome === 'held' ? 'later' : 'never';
}
