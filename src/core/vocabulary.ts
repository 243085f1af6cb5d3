/**
 * The words that both machines share: permission, decisions, settings.
 *
 * Permission is a record on the backup host, durable, one per guest and session
 * (DESIGN.md, "Who may go on"):
 *
 *     standby --> activating --> active --> lost   the copy goes on; lost: by a person's word
 *        |            |
 *        +--> promised <-+                         the copy will never run
 *
 * `active` is written (and synced) BEFORE the copy is unpaused, so a record that still says
 * `activating` proves that the copy never ran; only then, and only after that copy was
 * destroyed, may `activating` become `promised`. No process takes a step out of the two ends:
 * `lost` is what a person says of a guest that went on there and is there no more.
 */
import { progressMsMin } from './limits.ts';
import type { Agreement } from './permission/tie.ts';

/** What the record on the backup host says. */
export type Permission = 'standby' | 'activating' | 'active' | 'promised' | 'lost';

/**
 * The answer to "may I open the buffer?", as looked up when it was asked for.
 *  - `promised`: the copy will never run, or the guest that it became is lost: go on.
 *  - `activating`: undecided yet, ask again.
 *  - `running`: the guest is there now, and was seen to run.
 *  - `ended`: it ran there and ended by itself.
 *  - `absent`: it went on there by the record, but is not there now: its host was rebooted, say.
 *  - `unknown`: the backup has no record of this session. Never read as a promise.
 */
export type Answer = {
  readonly kind: 'promised' | 'activating' | 'running' | 'ended' | 'absent' | 'unknown';
};

/** An answer to a question that left at `askedAtMs` of the asker's own clock. */
export interface Answered {
  readonly answer: Answer;
  readonly askedAtMs: number;
}

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

/** What the other host checks its own disk against, before anything is written there. */
export interface DiskFacts {
  /** As the guest calls it, and as it is called in every epoch. */
  readonly name: string;
  readonly sizeBytes: number;
  /** Of the smallest write that it takes. */
  readonly sectorBytes: number;
  /** Of what it holds: data goes from the newer generation to the older one, never back. */
  readonly generation: number;
}

/** As the other host hears of it. */
export interface AnnouncedDisk extends DiskFacts {
  /** What its disk holds may go, though nobody knows whose it is: a person's word. */
  readonly mayOverwrite: boolean;
}
