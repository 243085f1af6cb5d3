/**
 * Who answers for a session on the backup host when a process asks that does not own it: the owner
 * while it lives and speaks, else the record. Pure.
 *
 *   W1  the record is read before anything else is looked at, and again once the owner has gone:
 *       it may have decided just before
 *   W2  only an owner that was seen to be gone is acted for; one that was not looked for, or could
 *       not be, is none
 *   W3  an owner that lives and does not answer is ended only where nothing is final, and only for
 *       a primary that asked again since: the wait for the answer may have outlived it
 */
import type { Permission } from '../vocabulary.ts';
import { isFinal } from './record.ts';

/** What is known so far. */
export interface OwnerView {
  /** What the record says; null: there is none. */
  readonly permission: Permission | null;
  /** The process that made the record: null before it was looked for. */
  readonly owner: 'lives' | 'gone' | null;
  /** It was asked and said nothing within its limit. */
  readonly isDeaf: boolean;
  /** Asked again since that was known. */
  readonly isAskedAgain: boolean;
  /** The record was read since the owner was seen to be gone. */
  readonly isReadAgain: boolean;
}

export type OwnerStep =
  /** Look whether the owner's process lives; a failure to look ends it all without an answer. */
  | 'look-for-owner'
  /** Ask it; what it answers is the answer. */
  | 'ask-owner'
  /** Wait until the primary asks again; if it does not, nothing is answered. */
  | 'await-question'
  /** End the owner, and see it gone; an owner that stays ends it all without an answer. */
  | 'kill-owner'
  | 'read-again'
  /** What the record says, and what is here as it is: nothing is touched. */
  | 'look-up'
  /** Nobody else is there: what the record's rules say is done (askWithoutOwner). */
  | 'act-for-owner';

/** What is known when the record was read for the first time. */
export function firstView(permission: Permission | null): OwnerView {
  const owner = null;
  return { permission, owner, isDeaf: false, isAskedAgain: false, isReadAgain: false };
}

/** The next step towards an answer. */
export function stepOnOwner(view: OwnerView): OwnerStep {
  const { permission, owner } = view;
  if (permission === null || permission === 'promised') return 'look-up';
  switch (owner) {
    case null:
      return 'look-for-owner';
    case 'gone':
      if (!view.isReadAgain) return 'read-again'; // W1
      // W3: after a wait the copy is given up only for somebody who is there.
      if (view.isDeaf && !view.isAskedAgain && !isFinal(permission)) return 'await-question';
      return 'act-for-owner';
    case 'lives':
      if (!view.isDeaf) return 'ask-owner';
      if (isFinal(permission)) return 'look-up'; // W3
      return view.isAskedAgain ? 'kill-owner' : 'await-question';
  }
}
