/**
 * What may become of a guest whose session died on the primary: `tsremus stop`, and the guest's own
 * end while nobody protects it any more. Pure.
 *
 *   V1  a guest goes on only with the promise, on a promise that was given before, or on the word
 *       of the administrator that the copy never ran and never will
 *   V2  it is destroyed only because the copy runs, or as was ordered
 *   V3  everything else, silence included, leaves it as it is: held
 */
import type { Answer } from '../vocabulary.ts';

/** What was ordered beside the asking. */
export interface RecoveryOrder {
  /** The administrator vouches that the copy never ran and never will. */
  readonly force: boolean;
  /** Give the guest up on this host: no permission is needed, nothing that it held gets out. */
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
  | { readonly kind: 'hold'; readonly reason: string };

/** What may be done unasked; null: the backup has to be asked. */
export function recoveryUnasked(left: LeftOnPrimary, order: RecoveryOrder): RecoveryDeed | null {
  if (!left.isGuestHere) return { kind: 'drop' };
  if (order.destroy) return { kind: 'destroy', because: 'ordered' };
  if (order.force) return { kind: 'let-run', isVouched: true };
  // A permission is final: nobody is asked twice, and need not be there any more.
  return left.mayOpen ? { kind: 'let-run', isVouched: false } : null;
}

/** What the backup's answer permits. */
export function recoveryOn(answer: Answer): RecoveryDeed {
  switch (answer.kind) {
    case 'promised':
      return { kind: 'let-run', isVouched: false };
    case 'active':
      if (answer.running) return { kind: 'destroy', because: 'taken-over' };
      return { kind: 'hold', reason: 'the copy goes on there but was not seen to run' };
    case 'activating':
      return { kind: 'hold', reason: 'the backup has not decided yet' };
    case 'unknown': {
      const reason = 'the backup has no record of this session, which is no promise';
      return { kind: 'hold', reason };
    }
  }
}

/**
 * Nobody answered. Not even in the seed does that permit anything: it may be whole over there, its
 * acknowledgement lost with the process.
 */
export function recoveryWithoutAnswer(reason: string): RecoveryDeed {
  return { kind: 'hold', reason };
}

/**
 * A guest whose session died ends by itself: may its configuration be carried out here? `never`:
 * its copy goes on elsewhere, or it was given up; `later`: ask again.
 */
export function mayEndHere(outcome: string): 'now' | 'later' | 'never' {
  if (outcome === 'stopped') return 'now';
  return outcome === 'held' ? 'later' : 'never';
}
