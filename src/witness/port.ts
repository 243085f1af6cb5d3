/**
 * The witness port: a third party that breaks the tie when the other host cannot be asked
 * (DESIGN.md, "Who may go on"). What its word permits is for core/permission/tie.ts to say.
 *
 *     primary: register(nonce) -- before the seed can be acknowledged
 *     backup:  read: the same nonce -- before it acknowledges the seed
 *     either:  decide(own side) -- at the timeout; whoever is first has it, for ever
 *     backup:  giveUp -- it has the decision, and its copy cannot run
 *     either:  forget -- both sides' records are closed
 *
 *   W1  a session has two cells, `decision` and `outcome`; each is written at most once
 *   W2  what was told survives a crash of the witness: it is durable there before it is told
 *   W3  no registration, no decision: a witness that lost its memory says so, and starts no new one
 *   W4  an answer was looked up after the question was asked: nothing is told from a memory of ours
 *   W5  a failure permits nothing. What was asked for may have been done all the same, so the same
 *       call may be made again, and tells what holds
 *
 * Errors of every method are OperationErrors: `peer-unreachable` when the witness did not answer
 * within its own limit of time, `command-failed` when it cannot answer, `protocol` when it says
 * what it cannot say; and those that a method names.
 */

export type Side = 'primary' | 'backup';

/** A session as its witness knows it. */
export interface Registration {
  /** The guest. */
  readonly uuid: string;
  readonly session: string;
  /** 128 random bits in hexadecimal, of this registration: another one is not meant. */
  readonly nonce: string;
}

/** What stands there. */
export interface Testimony {
  readonly nonce: string;
  /** Which side goes on; null: nobody has asked to yet. */
  readonly decision: Side | null;
  /** The side that had the decision gave its guest up; only after a decision. */
  readonly outcome: 'given-up' | null;
}

export interface Witness {
  /** As the administrator named it, for texts. */
  readonly name: string;

  /**
   * Makes the session known, undecided. Durable when it resolves. The same registration again
   * changes nothing; `already-protected` when the session stands there with another nonce.
   */
  register(registration: Registration): Promise<void>;

  /** What stands there of the session, whatever its nonce; null: nothing. Changes nothing. */
  read(session: Pick<Registration, 'uuid' | 'session'>): Promise<Testimony | null>;

  /**
   * Asks that `side` goes on, and tells what holds: the first side that asked, for ever (W1). Not
   * asked for lightly: it cannot be taken back. `no-such-session` when this registration does not
   * stand there, not even under another nonce (W3).
   */
  decide(registration: Registration, side: Side): Promise<Testimony>;

  /**
   * The backup has the decision and has destroyed its copy: the primary may go on. Durable when it
   * resolves; again changes nothing. `no-such-session` as above, `split-brain-risk` when the
   * decision is not the backup's: then there is nothing that it could give up.
   */
  giveUp(registration: Registration): Promise<Testimony>;

  /**
   * Both sides' records are closed: the session need not be known any more. Nothing happens where
   * it is not, or stands there with another nonce.
   */
  forget(registration: Registration): Promise<void>;

  /** Nothing more is asked; what is under way may fail. Idempotent. */
  close(): void;
}
