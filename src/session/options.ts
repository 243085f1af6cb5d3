/**
 * What the command line hands to the sessions and what it gets back. The command line checks
 * and converts arguments; a session never sees a string that should have been a number.
 */

import type { BackupOutcome } from '../core/backup/types.ts';
import type { Agreement } from '../core/permission/tie.ts';
import type { SaveHelper } from '../core/save-helper.ts';
import type { ProtectOutcome } from '../core/texts/outcomes.ts';
import type { SessionStatus } from '../registry/status.ts';
import type { DiskOptions } from './disk-options.ts';

/** Everything that `tsremus protect` was told. Options that are not built yet never get here. */
export interface ProtectOptions {
  /** Name, UUID or number of the domain, as typed. */
  readonly domain: string;
  /** The backup host; a whole shell command when `sshCommand` is empty. */
  readonly host: string;
  /** From the commit of one epoch to the next checkpoint, ms, or as the guest's work asks (-i). */
  readonly interval: number | 'auto';
  /** With `auto`: the share of the guest's time that pauses may take, percent. */
  readonly maxOverheadPercent: number;
  /** Epochs that may be without acknowledgement before the next checkpoint waits. */
  readonly pendingMax: number;
  /** What the session may use of this host's memory, bytes; null: the default share of it. */
  readonly maxMemoryBytes: number | null;
  /** Silence after which the backup activates, ms. */
  readonly heartbeatTimeoutMs: number;
  /** Time from the end of the link to the activation, ms. */
  readonly holdMs: number;
  /** Who goes on when the other host cannot be asked. */
  readonly withoutWitness: Agreement;
  /** What makes the checkpoints; absent: our own. */
  readonly saveHelper?: SaveHelper;
  /** -s: null is `ssh`; the empty string runs `host` itself as a shell command. */
  readonly sshCommand: string | null;
  /** False with -u: the stream goes as it is. */
  readonly compression: boolean;
  /** False with -e: no process on the backup watches the guest after its activation. */
  readonly wait: boolean;
  /** False with -n. */
  readonly network: boolean;
  /** -N: the script that makes the output buffer's redirect; null: we do. */
  readonly netbufScript: string | null;
  /** What dom0 may hold back for one interface, bytes of its memory. */
  readonly bufferLimitBytes: number;
  /** False with -d. */
  readonly disk: boolean;
  /** How long a guest that does not run is waited for, ms; absent: not at all. */
  readonly awaitGuestMs?: number;
  /** -F: the options that give up a guarantee are allowed. */
  readonly forceUnsafe: boolean;
  /** --allow: keys of the guest's configuration; absent: none. */
  readonly allow?: readonly string[];
  /** What was said of the disks on the backup; absent: nothing. */
  readonly disks?: DiskOptions;
  /** False with --no-check: nothing is looked at that nobody else refuses. Absent: it is. */
  readonly check?: boolean;
  /** --save: what was typed, as the guest's file has it. Absent: nothing is to be saved. */
  readonly save?: Readonly<Record<string, unknown>>;
  /** With -b: what takes the stream and keeps nothing, a shell command. Absent: a real backup. */
  readonly blackhole?: string;
}

/** How the other end is reached, also by `stop` after a crash. */
export function transportOf({ host, sshCommand, blackhole }: ProtectOptions) {
  if (blackhole !== undefined) return { host: blackhole, ssh_command: '' };
  return { host, ssh_command: sshCommand };
}

/** How far the seed is. Unknown figures are null. */
export interface SeedProgress {
  /** 0..100. */
  readonly percent: number;
  readonly bytes: number;
  readonly bytesPerSecond: number;
  readonly secondsLeft: number | null;
  /** Of the disks, which are copied first: how much they are in all. Absent: of the memory. */
  readonly disksBytes?: number;
  /** They are compared, and nothing is copied. */
  readonly isCompared?: boolean;
}

/** How the session speaks to whoever started it. Its methods never throw and never wait. */
export interface ProtectReporter {
  seedProgress(progress: SeedProgress): void;
  /**
   * Something happened. `kind` is kebab-case and goes into JSON as `message_type`; `text` is a
   * sentence without final stop; the keys of `data` are snake_case with their unit.
   */
  event(kind: string, text: string, data?: Readonly<Record<string, unknown>>): void;
}

export interface ProtectResult {
  readonly outcome: ProtectOutcome;
  /** With -b and ended in order: what was measured, a sentence, and the figures. */
  readonly text?: string;
  readonly figures?: SessionStatus;
  /** What became of the guest, or is still to come, a clause; null: there is nothing to say. */
  readonly detail?: string | null;
  /** Complete lines to type next, before those of the outcome itself. */
  readonly next?: readonly string[];
}

/** What `tsremus receive` was told. */
export interface ReceiveOptions {
  /** False with -e, as `xl migrate-receive -e`. */
  readonly wait: boolean;
  /** What the session may use of this host's memory, bytes; null: the default share of it. */
  readonly maxMemoryBytes: number | null;
}

export interface ReceiveResult {
  readonly outcome: BackupOutcome;
}
