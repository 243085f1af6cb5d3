/**
 * The primary's events and effects. Time is `nowMs` on every event, from a monotonic clock.
 * Effects are carried out in the order given; completion comes back as an event.
 */
import type { OutputWaiting, Schedule } from '../scheduler.ts';
import type { Answer, SessionTiming } from '../vocabulary.ts';

export interface PrimaryConfig extends SessionTiming {
  /** When checkpoints begin; `set-schedule` changes it. */
  readonly schedule: Schedule;
  /** Epochs sent or being sent that are not acknowledged yet, at most. */
  readonly pendingMax: number;
  /** Pause between two attempts to ask for the promise, ms. */
  readonly askEveryMs: number;
}

export type PrimaryEvent = { readonly nowMs: number } & (
  | { readonly kind: 'tick' }
  /** HELLO was exchanged; the backup's record says standby. */
  | { readonly kind: 'link-open' }
  /** The byte stream ended or was reset; no more bytes either way. */
  | { readonly kind: 'link-closed'; readonly reason: string }
  /** The backup echoed heartbeat `seq`. */
  | { readonly kind: 'echo'; readonly seq: number }
  /** The barrier of epoch `epoch` is set and the guest is suspended. Epoch 0 is the seed. */
  | { readonly kind: 'checkpoint'; readonly epoch: number }
  /**
   * All of the epoch is drained, the guest runs again, the timer is held. `pauseMs`: how long it
   * stood still; `pages`: how many it had dirtied.
   */
  | {
      readonly kind: 'drained';
      readonly epoch: number;
      readonly pauseMs: number;
      readonly pages: number;
    }
  /**
   * The end of the epoch is about to go into the link: said BEFORE it can reach the backup. As
   * long as it was not said of epoch 0, the backup certainly has nothing whole.
   */
  | { readonly kind: 'sent'; readonly epoch: number }
  | { readonly kind: 'ack'; readonly epoch: number }
  /** The backup took some bytes of an epoch (CREDIT): it does not hang. */
  | { readonly kind: 'progress' }
  /** What waits in the output buffer now. */
  | ({ readonly kind: 'output' } & OutputWaiting)
  /**
   * Somebody else took apart what holds the output, and frames that should have waited may have
   * got out until it was blocked. `reason`: what was found.
   */
  | { readonly kind: 'output-lost'; readonly reason: string }
  /** The administrator changed the schedule; `scheduleProblem` found nothing wrong with it. */
  | { readonly kind: 'set-schedule'; readonly schedule: Schedule }
  /** The backup says that its copy is lost; its record says promised. */
  | { readonly kind: 'copy-lost'; readonly reason: string }
  /** The backup was told to end: who asks it now gets the promise. */
  | { readonly kind: 'backup-leaving'; readonly reason: string }
  /**
   * The answer to ask `id`, by whichever way; stale answers carry an older id. `askedAtMs`: when
   * the question left, where that was later than the ask, as over a connection of its own.
   */
  | {
      readonly kind: 'answer';
      readonly id: number;
      readonly answer: Answer;
      readonly askedAtMs?: number;
    }
  /** The backup says unasked that its copy took over: news, and no evidence (E1). */
  | { readonly kind: 'activated' }
  /** Ask `id` got no answer (backup host unreachable, command failed, link closed). */
  | { readonly kind: 'ask-failed'; readonly id: number; readonly reason: string }
  /**
   * The administrator ends protection; `force` vouches that the copy never ran and never
   * will: that counts once the backup was asked in vain (E2). While the lease is fresh the backup
   * evidently lives, and a forced stop is an ordinary one.
   */
  | { readonly kind: 'stop'; readonly force: boolean; readonly by: StopBy }
  /** The hypervisor's operation ended by itself while the guest is still there. */
  | { readonly kind: 'save-failed'; readonly reason: string }
  /** The guest ended by itself: power-off, reboot, crash, destroyed. */
  | { readonly kind: 'guest-ended'; readonly reason: string }
  /** A disk here cannot follow any more: no later epoch becomes whole. */
  | { readonly kind: 'disk-lost'; readonly reason: string }
  /** What a disk keeps for the next epoch comes near to its limit. */
  | { readonly kind: 'disk-filling' }
  /** Effect `abort-save` is complete: the operation is over, the guest is not suspended. */
  | { readonly kind: 'save-ended' }
  /** Result of `destroy-guest`. */
  | { readonly kind: 'destroyed' }
  /** It is still here: the answer had become too old, or the hypervisor refused. */
  | { readonly kind: 'destroy-failed'; readonly reason: string }
);

/** Who asked for the end; decides the exit code. */
export type StopBy = 'command' | 'sigint' | 'sigterm';

/** How the session ended; `src/cli/exit-codes.ts` maps it. */
export type PrimaryOutcome =
  /** Stopped in order, the guest runs on here. */
  | { readonly kind: 'stopped'; readonly by: StopBy }
  /** Protection was lost, the guest runs on here (16). */
  | { readonly kind: 'unprotected'; readonly reason: string }
  /** The seed never completed; the guest was never protected and runs on here (10, 13). */
  | { readonly kind: 'never-protected'; readonly reason: string }
  /** The backup took over; the guest here was destroyed (17). */
  | { readonly kind: 'taken-over' }
  /** The guest ended by itself (19). */
  | { readonly kind: 'guest-ended'; readonly reason: string };

export type PrimaryEffect =
  /** `heldMs`: for how long this side has been held by then, see `heldMs` in state.ts. */
  | { readonly kind: 'send-heartbeat'; readonly seq: number; readonly heldMs: number }
  /** Let the hypervisor's held timer go: the next checkpoint begins. */
  | { readonly kind: 'take-checkpoint'; readonly epoch: number }
  /** Release the output of all epochs up to and including this one. */
  | { readonly kind: 'release'; readonly epoch: number }
  /**
   * Ask for the promise; over the open link, or by a fresh run of the transport. A new fresh
   * ask ends the run of the one before.
   */
  | { readonly kind: 'ask-promise'; readonly id: number; readonly way: 'link' | 'fresh' }
  /**
   * With -n: the lease ran out (or is back). With a buffer: the copy took over, and no suspend is
   * in flight, which a paused guest could not finish. Exactly paired.
   */
  | { readonly kind: 'pause-guest'; readonly reason: string }
  | { readonly kind: 'unpause-guest' }
  /** Permission is there: let everything out and remove the buffer. Never undone. */
  | { readonly kind: 'open-buffer' }
  /**
   * End the hypervisor's operation; the guest must not be left suspended. The end of an epoch
   * whose `sent` was not reported must not go into the link any more. -> save-ended
   */
  | { readonly kind: 'abort-save' }
  /**
   * The other side has it, as it said to a question of `askedAtMs`: drop held packets, then, if
   * that is present still (E1), destroy the guest here; it may be gone already. -> destroyed
   */
  | { readonly kind: 'destroy-guest'; readonly askedAtMs: number }
  /** The person who vouched was wrong, or may be: somebody answers. Nothing was done. */
  | {
      readonly kind: 'refuse-force';
      readonly reason: string;
      /** What was answered; null: nothing, though the backup was heard. */
      readonly found: Answer['kind'] | null;
    }
  /** Say goodbye on the link, if it is open, and close it. */
  | { readonly kind: 'close-link' }
  /** The session is over. Always the last effect. */
  | { readonly kind: 'end'; readonly outcome: PrimaryOutcome };
