/**
 * What became of a copy whose process died on the backup's host: whether it may go on there, and
 * whether it may go. Pure; src/guest/left-copy.ts looks, and carries it out.
 *
 *   K1  a copy is whole only where its build is known to have ended: the record says active, or
 *       activating and that it was built, and it stands under the guest's own name. What waits for
 *       more of its stream, or was cut off in the middle of its build, is never run
 *   K2  it goes on by a person's order alone, and by his word where the agreement asks for that; by
 *       the steps of the record that its owner would have taken
 *   K3  as long as it is whole it goes only by a promise to a primary that asks, or by a person's
 *       word: it may be all that is left of the guest
 */
import type { Answer } from '../vocabulary.ts';
import { answerFor, type FoundGuest, type RecordView } from './record.ts';
import { type Agreement, mayActivate, type Said } from './tie.ts';

/** What is left, by the record and by what was found under the guest's own name. */
export type LeftCopy =
  /** Built, and nobody has let it run. `isActive`: all but that was done. */
  | { readonly kind: 'whole'; readonly isActive: boolean }
  /** It went on just before its owner died: what is left to do is to say so. */
  | { readonly kind: 'runs' }
  /** It went on, and that is known: it runs, has ended, or is not here any more. */
  | { readonly kind: 'went-on'; readonly answer: Answer }
  /** Never built: there is nothing that could run (K1). */
  | { readonly kind: 'not-built' }
  /** The record promises that it never runs. */
  | { readonly kind: 'given-up' }
  /** There is no record: nothing is known of it. */
  | { readonly kind: 'unknown' };

/** What is left of a copy whose owner is dead. */
export function leftCopyOf(record: RecordView | null, found: FoundGuest): LeftCopy {
  if (record === null) return { kind: 'unknown' };
  switch (record.permission) {
    case 'standby':
      return { kind: 'not-built' }; // it is built only once the record says activating
    case 'activating':
      // Its name it has had since its build began; whoever unpaused it was no owner.
      if (!record.built) return { kind: 'not-built' };
      if (found === 'paused' || found === 'running') return { kind: 'whole', isActive: false };
      return { kind: 'not-built' };
    case 'active': {
      if (found === 'paused' && !record.running) return { kind: 'whole', isActive: true };
      const answer = answerFor(found, record);
      const isNews = answer.kind === 'running' && !record.running;
      return isNews ? { kind: 'runs' } : { kind: 'went-on', answer };
    }
    case 'promised':
    case 'lost':
      return { kind: 'given-up' };
  }
}

/** Why what is left may not be run on what a person said, a clause; null: it may be. */
export function leftCopyRefusal(left: LeftCopy, agreed: Agreement, said: Said): string | null {
  switch (left.kind) {
    case 'not-built':
      return 'the copy was not built when its process died: what is left of it can never run';
    case 'unknown':
      return 'there is no record of its session here, so nobody knows whether it is whole';
    case 'given-up':
      return 'the primary has the promise that this copy will not run';
    case 'went-on':
      if (left.answer.kind === 'running') return 'it went on here, and runs';
      return left.answer.kind === 'ended'
        ? 'it went on here, and has ended by itself'
        : 'it went on here, and is here no more';
    case 'runs':
      return null;
    case 'whole':
      if (said === 'nothing') return "it goes on by a person's order alone: its process is dead";
      if (mayActivate(agreed, said)) return null;
      return 'the primary goes on by itself, as was agreed: it takes your word that it is dead';
  }
}

/** K2: what a person has to say at least. */
export function neededToRunLeft(agreed: Agreement): Exclude<Said, 'nothing'> {
  return mayActivate(agreed, 'order') ? 'order' : 'word';
}

/** K3: true when it may go without that anybody asks or says so. */
export function mayGoUnasked(left: LeftCopy): boolean {
  return left.kind !== 'whole';
}
