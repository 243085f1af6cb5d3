/** How sessions and orders end, beyond what the two machines decide themselves. */
import type { BackupOutcome } from './backup/types.ts';
import type { PrimaryOutcome } from './primary/types.ts';
import type { Answer } from './vocabulary.ts';

/** The guest is mute (with -n: paused) and nobody may decide; the process ends all the same. */
export interface HeldOutcome {
  readonly kind: 'held';
  readonly reason: string;
  /** The permission was given, and only the output buffer that could not be removed is left. */
  readonly mayOpen?: boolean;
  /** On the backup's host: a whole copy that nobody lets run; a person has to decide over it. */
  readonly isWholeCopy?: true;
  /** What the backup answered when it was asked for this; null: nothing. Absent: it was not. */
  readonly found?: Answer['kind'] | null;
}

/** What is left of a guest was given up on this host, as was ordered (`stop --destroy`). */
export interface DestroyedOutcome {
  readonly kind: 'destroyed';
}

/** A person's word that the guest which went on here is lost (`stop --lost`). */
export interface LostOutcome {
  readonly kind: 'lost';
}

/** What `stop` achieved, of a session that lives or of what a dead one left behind. */
export interface StopResult {
  readonly outcome: PrimaryOutcome | BackupOutcome | HeldOutcome | DestroyedOutcome | LostOutcome;
  /** One sentence for the administrator, without final stop; absent: the outcome speaks. */
  readonly text?: string;
  /** What is to be said beside it, a clause. */
  readonly detail?: string;
  readonly next?: readonly string[];
}

/** An end is none while the buffer is there: the guest may be mute, and somebody must know. */
export function heldBack(
  outcome: PrimaryOutcome | HeldOutcome,
  unopened: string | null,
): PrimaryOutcome | HeldOutcome {
  return unopened === null ? outcome : { kind: 'held', reason: unopened, mayOpen: true };
}
