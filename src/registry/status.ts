/**
 * What a session says of itself: written to the run directory (one JSON file per session, replaced
 * atomically at least every second and at every change) and read by `tsremus status`, which loads
 * nothing heavier than this. Keys are the public JSON contract: new ones may appear, none vanish.
 */

import type { SessionFacts } from '../core/health/facts.ts';
import type { HistogramSummary } from '../core/histogram.ts';

export interface EpochFigures {
  readonly epoch: number;
  /** How long the guest stood still, ms: from the first byte after the suspend to the resume. */
  readonly pause_ms: number;
  /** Of the checkpoint stream, before it was encoded. */
  readonly bytes: number;
  /** Null: not sent yet. */
  readonly sent_bytes: number | null;
  readonly pages: number;
}

/** What became of the pages that were sent. */
export interface PagesByKind {
  /** Since last sent; a byte each. */
  readonly unchanged: number;
  readonly zero: number;
  /** As the difference to the copy last sent. */
  readonly delta: number;
  readonly raw: number;
}

/** Of every epoch but the seed: times in ms, sizes in bytes. */
export interface Histograms {
  readonly pause_ms: HistogramSummary;
  readonly encode_ms: HistogramSummary;
  readonly transfer_ms: HistogramSummary;
  readonly acknowledge_ms: HistogramSummary;
  readonly period_ms: HistogramSummary;
  readonly raw_bytes: HistogramSummary;
  readonly sent_bytes: HistogramSummary;
}

/** The worst of the last two to three seconds; null: there was none. */
export interface RecentFigures {
  /** Of the pauses. */
  readonly pause_ms_max: number | null;
  /** The longest time from an acknowledgement to the next one. */
  readonly lag_ms_max: number | null;
}

/** When checkpoints begin: `fixed` has an interval, `auto` the most that pauses may take. */
export interface ScheduleStatus {
  readonly mode: 'fixed' | 'auto';
  readonly interval_ms: number | null;
  readonly max_overhead_percent: number | null;
}

/** The session's share of this host's memory. */
export interface MemoryStatus {
  readonly max_bytes: number;
  /** For what waits: to be sent, on the backup to be applied. */
  readonly queue_bytes: number;
  /** For the page cache of the codec. */
  readonly cache_bytes: number;
  /** How much waits now. */
  readonly waiting_bytes: number;
}

/** What the output buffer holds. */
export interface OutputStatus {
  readonly packets: number;
  readonly bytes: number;
  /** Frames dropped at the limit since the session began. */
  readonly dropped: number;
  readonly interfaces: readonly {
    readonly name: string;
    /**
     * `lost`: somebody took apart what holds it, and it is mute; `blocked`: it came later, and is
     * mute; `open`: that failed; `gone`: unplugged.
     */
    readonly state: 'protected' | 'lost' | 'blocked' | 'open' | 'gone';
    readonly packets: number;
    readonly bytes: number;
    readonly dropped: number;
    readonly near_limit: boolean;
  }[];
}

/** What is judged (core/health/facts.ts), and what is only shown. */
export interface SessionStatus extends SessionFacts {
  readonly schema: 1;
  readonly domid: number | null;
  readonly uuid: string;
  readonly session: string;
  /** Wall time of the newest acknowledgement (RFC 3339), null before the first. */
  readonly ack_time: string | null;
  readonly heartbeat_timeout_ms: number;
  /** Disks that the guest can write and that are not copied (-d). Older, or none: absent. */
  readonly disks_left?: readonly string[];
  /** Of the first copy of the disks, 0..100, while the seed waits for it; else absent. */
  readonly disks_percent?: number;
  /** Progress of the seed, 0..100; null when not seeding. */
  readonly seed_percent: number | null;
  /** The last few epochs, oldest first, at most 16. */
  readonly epochs: readonly EpochFigures[];
  /** Over the link, as it was encoded; on the backup: received. */
  readonly bytes_sent: number;
  /** The same before it was encoded, or decoded. */
  readonly bytes_raw: number;
  /** How the stream is encoded: `zstd` or `none`; null before that is agreed. */
  readonly codec: string | null;
  /** Primary: what became of all pages, the seed's too. */
  readonly pages: PagesByKind | null;
  /** Primary. */
  readonly histograms: Histograms | null;
  /** Primary. Older, or nothing is measured yet: absent. */
  readonly recent?: RecentFigures;
  /** Primary. */
  readonly schedule: ScheduleStatus | null;
  /** Epochs that may be without acknowledgement, and that are; primary. */
  readonly pending_max: number | null;
  readonly in_flight: number | null;
  readonly memory: MemoryStatus | null;
  /** Primary: checkpoints that kept the guest waiting for memory, and how long in all. */
  readonly stalls: number;
  readonly stalled_ms: number;
  readonly started: string;
  readonly updated: string;
  /** The same since the host's boot, ms, its suspends counted. Older: absent. */
  readonly updated_uptime_ms?: number;
  /** The start time of process `pid` in clock ticks (/proc/PID/stat). */
  readonly pid_start: number;
  readonly boot_id: string;
  /** Primary: what waits in the output buffer; null with -n, and on the backup. */
  readonly output: OutputStatus | null;
  /** Primary: how to reach the backup again: argv of the transport, for `stop` after a crash. */
  readonly transport: { readonly host: string; readonly ssh_command: string | null } | null;
  /** What this host refused to the session's process, clauses; no state. Older: absent. */
  readonly host_refusals?: readonly string[];
  /** False with -e: nobody carries out what the guest's own end asks for. */
  readonly watch?: boolean;
  /** True: there is no session any more, only its output buffer; the rest is what that says. */
  readonly buffer_only?: boolean;
}
