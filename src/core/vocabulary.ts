/**
 * The words that both machines share: permission, decisions, settings.
 *
 * Permission is a record on the backup host, durable, one per guest and session
 * (DESIGN.md, "Who may go on"):
 *
 *     standby --> activating --> active        the copy goes on
 *        |            |
 *        +--> promised <-+                     the copy will never run
 *
 * `active` is written (and synced) BEFORE the copy is unpaused, so a record that still says
 * `activating` proves that the copy never ran; only then, and only after that copy was
 * destroyed, may `activating` become `promised`. Both ends are final.
 */
import { progressMsMin } from './limits.ts';
import type { Agreement } from './permission/tie.ts';

/** What the record on the backup host says. */
export type Permission = 'standby' | 'activating' | 'active' | 'promised';

/**
 * The answer to "may I open the buffer?".
 *  - `promised`: the copy will never run: go on.
 *  - `activating`: undecided yet, ask again.
 *  - `active`: the copy goes on; `running` once it was seen to run.
 *  - `unknown`: the backup has no record of this session. Never read as a promise.
 */
export type Answer =
  | { readonly kind: 'promised' }
  | { readonly kind: 'activating' }
  | { readonly kind: 'active'; readonly running: boolean }
  | { readonly kind: 'unknown' };

/** Settings of a session that both machines need; agreed in HELLO (the primary's hold). */
export interface SessionTiming {
  /** Silence after which the backup activates, ms. */
  readonly heartbeatTimeoutMs: number;
  /** Time from the end of the link to the backup's activation, ms (buffered only). */
  readonly holdMs: number;
  /** False with `-n`: output is not buffered and a lease stands in, best effort. */
  readonly buffered: boolean;
  /** Who goes on when the other host cannot be asked. */
  readonly withoutWitness: Agreement;
}

/** A heartbeat goes out every tenth of the timeout. */
export function heartbeatEveryMs(timing: SessionTiming): number {
  return Math.max(10, Math.floor(timing.heartbeatTimeoutMs / 10));
}

/** How long an epoch may wait for its acknowledgement without any progress, ms. */
export function progressMs(timing: SessionTiming): number {
  return Math.max(progressMsMin, 10 * timing.heartbeatTimeoutMs);
}

/** The share of the timeout for which the primary trusts its last echo (DESIGN.md: 0.6). */
export function leaseMs(timing: SessionTiming): number {
  return Math.floor(timing.heartbeatTimeoutMs * 0.6);
}
