/**
 * The backup's events and effects. Time is `nowMs` on every event, from a monotonic clock.
 * Effects are carried out in the order given; completion comes back as an event.
 */
import type { Said } from '../permission/tie.ts';
import type { Answer, Permission, SessionTiming } from '../vocabulary.ts';

/** What the record says while its owner lives: `lost` is refused as long (lostRefusal). */
export type OwnPermission = Exclude<Permission, 'lost'>;

export interface BackupConfig extends SessionTiming {
  /** What an epoch is made of here: `memory` and one name per disk. At least one. */
  readonly parts: readonly string[];
}

export type BackupEvent = { readonly nowMs: number } /**
 * A tick after the input was drained. `stalledMs`: how much longer than planned this process
 * slept since the last tick; that time is no silence of the peer's.
 */ & (
  | { readonly kind: 'tick'; readonly stalledMs: number }
  /** The session began; the record was made durable and says standby. */
  | { readonly kind: 'link-open' }
  /** Some bytes of the peer arrived (a sign of life). */
  | { readonly kind: 'bytes' }
  /** `heldMs`: for so long the primary has had no lease of this side; 0: it has one. */
  | { readonly kind: 'heartbeat'; readonly seq: number; readonly heldMs: number }
  /** All of the epoch's `part` is here and every check passed; acknowledged once all parts are. */
  | { readonly kind: 'epoch-whole'; readonly part: string; readonly epoch: number }
  /** The peer broke the protocol or the stream is torn: the session cannot go on. */
  | { readonly kind: 'corrupt'; readonly reason: string }
  /** EOF, reset, or the peer's goodbye without a promise. */
  | { readonly kind: 'link-closed'; readonly reason: string }
  /** The primary asks for the promise; `way` says where the answer goes. */
  | { readonly kind: 'ask'; readonly way: 'link' | 'fresh'; readonly token: number }
  /** The hypervisor gave up on the copy by itself (an epoch could not be applied). */
  | { readonly kind: 'copy-failed'; readonly reason: string }
  /** Result of `write-record`: what the record says now (another process may have won). */
  | { readonly kind: 'record'; readonly permission: OwnPermission }
  /**
   * The record could not be written (disk full, I/O error), was read back and still says what it
   * said: nothing was decided. While it cannot be read either, no event: the machine waits mute.
   */
  | { readonly kind: 'record-failed'; readonly reason: string }
  /** Result of `build-copy`: the domain is built, paused, renamed. */
  | { readonly kind: 'built' }
  | { readonly kind: 'build-failed'; readonly reason: string }
  /** Result of `unpause-copy`. */
  | { readonly kind: 'running' }
  | { readonly kind: 'unpause-failed'; readonly reason: string }
  /** Result of `discard-copy`: no trace of the copy is left. */
  | { readonly kind: 'discarded' }
  /** Something of the copy may be left; it is tried again. */
  | { readonly kind: 'discard-failed'; readonly reason: string }
  /** This host, or a person, told the session to end. */
  | { readonly kind: 'leave'; readonly reason: string }
  /**
   * The administrator typed `tsremus failover`; refused while the primary answers. `vouched`: on
   * his word that the guest does not run there.
   */
  | { readonly kind: 'failover'; readonly token: number; readonly vouched?: boolean }
);

export type BackupOutcome =
  /** The copy goes on here. `epoch` is the epoch it was activated from. */
  | { readonly kind: 'activated'; readonly epoch: number; readonly why: string }
  /** The copy was discarded because the primary goes on. */
  | { readonly kind: 'promised' }
  /** The seed never completed: there was nothing to activate. */
  | { readonly kind: 'never-whole'; readonly reason: string }
  /** The copy was lost (apply or build failed); the primary has or gets the promise. */
  | { readonly kind: 'copy-lost'; readonly reason: string };

export type BackupEffect =
  | { readonly kind: 'send-echo'; readonly seq: number }
  | { readonly kind: 'send-ack'; readonly epoch: number }
  /**
   * The epoch counts: every part may apply it, at its own pace. Always after its send-ack. (Epoch
   * 0 streams through.)
   */
  | { readonly kind: 'commit'; readonly epoch: number }
  /**
   * Compare-and-swap on the durable record, synced before `record` comes back. `said`: what a
   * person said for it; the record, too, becomes `activating` only as was agreed.
   */
  | {
      readonly kind: 'write-record';
      readonly from: OwnPermission;
      readonly to: Exclude<OwnPermission, 'standby'>;
      readonly epoch: number;
      readonly why: string;
      readonly said: Said;
    }
  /** End-of-file to the hypervisor: build the copy, paused, from the last epoch fed; rename it. */
  | { readonly kind: 'build-copy'; readonly epoch: number }
  | { readonly kind: 'unpause-copy' }
  /** Note in the record that the copy was seen to run (no decision, only news). */
  | { readonly kind: 'note-running' }
  /** Abort the hypervisor's operation and destroy the copy. Never end-of-file. */
  | { readonly kind: 'discard-copy' }
  | {
      readonly kind: 'answer';
      readonly way: 'link' | 'fresh';
      readonly token: number;
      readonly answer: Answer;
    }
  /** Tell the primary, if the link is open. */
  | { readonly kind: 'send-copy-lost'; readonly reason: string }
  | { readonly kind: 'send-activated' }
  /** Tell the primary, if the link is open, so that it asks. */
  | { readonly kind: 'send-leaving'; readonly reason: string }
  /** Answer `tsremus failover`: started, or refused because the primary was heard just now. */
  | {
      readonly kind: 'failover-answer';
      readonly token: number;
      readonly refused: string | null;
    }
  | { readonly kind: 'close-link' }
  | { readonly kind: 'end'; readonly outcome: BackupOutcome };
