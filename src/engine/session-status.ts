/**
 * What a session says of itself: written to the run directory (one JSON file per session, replaced
 * atomically at least every second and at every change) and read by `tsremus status`, which loads
 * nothing heavier than this. Keys are the public JSON contract: new ones may appear, none vanish.
 */

/** The word for what a session is doing; the same on both sides, in texts and in JSON. */
export type SessionState =
  | 'connecting'
  | 'seeding'
  | 'protected'
  /** Protected, but the newest acknowledgement is older than expected. */
  | 'late'
  /** Primary: being ended in order, waiting for the promise. */
  | 'ending'
  /** Mute: nobody may decide yet. With -n: the guest is paused. */
  | 'held'
  /** The guest runs here without a copy. */
  | 'unprotected'
  /** Backup: a whole copy is here. */
  | 'standby'
  | 'activating'
  /** Backup: the copy took over and runs here. */
  | 'active'
  /** Over; `outcome` says how. */
  | 'ended';

export interface EpochFigures {
  readonly epoch: number;
  /** How long the guest stood still, ms: from the first byte after the suspend to the resume. */
  readonly pause_ms: number;
  readonly bytes: number;
  readonly pages: number;
}

export interface SessionStatus {
  readonly schema: 1;
  readonly domain: string;
  readonly domid: number | null;
  readonly uuid: string;
  readonly session: string;
  readonly role: 'primary' | 'backup';
  readonly peer: string;
  readonly state: SessionState;
  /** Newest acknowledged epoch; null before the first. */
  readonly epoch: number | null;
  /** Wall time of that acknowledgement (RFC 3339), null before the first. */
  readonly ack_time: string | null;
  /** Age of that acknowledgement at `updated`, ms. */
  readonly ack_age_ms: number | null;
  /** Beyond this age the session counts as late, ms. */
  readonly late_after_ms: number;
  readonly buffered: boolean;
  readonly heartbeat_timeout_ms: number;
  /** Progress of the seed, 0..100; null when not seeding. */
  readonly seed_percent: number | null;
  /** The last few epochs, oldest first, at most 16. */
  readonly epochs: readonly EpochFigures[];
  readonly bytes_sent: number;
  /** What happened, one sentence; null while all is well. */
  readonly reason: string | null;
  /** What to type next, complete command lines; empty while all is well. */
  readonly next: readonly string[];
  /** How the session ended: the core's outcome kind; null while it lives. */
  readonly outcome: string | null;
  readonly started: string;
  readonly updated: string;
  /** The process that owns the session: pid and its start time in clock ticks (/proc/PID/stat). */
  readonly pid: number;
  readonly pid_start: number;
  readonly boot_id: string;
  /** Primary: how to reach the backup again: argv of the transport, for `stop` after a crash. */
  readonly transport: { readonly host: string; readonly ssh_command: string | null } | null;
  /** Primary with -n: this session paused the guest (once). */
  readonly guest_paused: boolean;
}
