/**
 * The command line's way to the outside, handed to every command so that tests can stand in.
 * Nothing in src/cli touches the process, its environment or its clock (src/app/process-io.ts
 * does).
 */
import type { BootClock, Clock } from '../host/clock.ts';

export interface Stream {
  /** Never waits: what the other end does not take is kept until it does. */
  write(text: string): void;
  /** So much is kept that whoever has more to say had better leave it out. */
  readonly isBehind: boolean;
  /** Nobody reads it any more. */
  readonly isGone: boolean;
  readonly isTty: boolean;
  /** systemd's journal reads it, and wants to know how serious each line is. */
  readonly isJournal: boolean;
  /** Width of the terminal; 80 when it has none to tell. */
  readonly columns: number;
  /** Resolves when everything that was written is out, or known to have failed. */
  flush(): Promise<void>;
  /** Why the last write failed, if it did; null also when the reader just went away. */
  readonly failure: string | null;
}

export interface Io {
  readonly out: Stream;
  readonly err: Stream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdinIsTty: boolean;
  /** Puts a question on stderr and reads one line; null at end of file. */
  ask(question: string): Promise<string | null>;
  readonly clock: Clock;
  readonly bootClock: BootClock;
  /** The arguments as typed, for hints that repeat the command. */
  readonly argv: readonly string[];
}
