/**
 * What a session says of itself: written to the run directory (one JSON file per session, replaced
 * atomically at least every second and at every change) and read by `tsremus status`, which loads
 * nothing heavier than this. Keys are the public JSON contract: new ones may appear, none vanish.
 */

import type { SessionFacts } from '../core/health-facts.ts';

export interface EpochFigures {
  readonly epoch: number;
  /** How long the guest stood still, ms: from the first byte after the suspend to the resume. */
  readonly pause_ms: number;
  readonly bytes: number;
  readonly pages: number;
}

/** What is judged (core/health-facts.ts), and what is only shown. */
export interface SessionStatus extends SessionFacts {
  readonly schema: 1;
  readonly domid: number | null;
  readonly uuid: string;
  readonly session: string;
  /** Wall time of the newest acknowledgement (RFC 3339), null before the first. */
  readonly ack_time: string | null;
  readonly heartbeat_timeout_ms: number;
  /** Progress of the seed, 0..100; null when not seeding. */
  readonly seed_percent: number | null;
  /** The last few epochs, oldest first, at most 16. */
  readonly epochs: readonly EpochFigures[];
  readonly bytes_sent: number;
  readonly started: string;
  readonly updated: string;
  /** The start time of process `pid` in clock ticks (/proc/PID/stat). */
  readonly pid_start: number;
  readonly boot_id: string;
  /** Primary: how to reach the backup again: argv of the transport, for `stop` after a crash. */
  readonly transport: { readonly host: string; readonly ssh_command: string | null } | null;
}
