/**
 * The log of a process: lines to stderr or to a file. Under systemd each line begins with the
 * priority that sd-daemon(3) defines, elsewhere with `LEVEL time`.
 *
 * It never throws and never waits: lines are written one after the other in the background, so that
 * a stuck terminal or a slow disk does not stop heartbeats; past `queueMax` lines they are dropped
 * and the number of them is logged. A log that cannot be written (EPIPE, ENOSPC) is lost, not
 * fatal. `reopen` is for logrotate(8): what is said later goes to the file that has the name then.
 */
import { close, closeSync, fstatSync, open, openSync, write, writeSync } from 'node:fs';
import type { Clock } from './clock.ts';
import { storageError } from './errors.ts';
import { journalMark, type LogLevel } from './priority.ts';
import { cleanText } from './text.ts';

export interface Log {
  debug(text: string): void;
  info(text: string): void;
  warning(text: string): void;
  error(text: string): void;
}

/** The log of the whole process, with an end. */
export interface ProcessLog extends Log {
  /** Writes what is still queued, at once; for the last moments of a process. */
  flush(): void;
  /** Flushes, and closes the file if there is one (once the write under way is through). */
  close(): void;
}

/** One that may be told to open its file again. */
export interface ReopenedLog extends ProcessLog {
  /**
   * Opens the path anew, in the background: the file was moved away, and lines go to the new one as
   * soon as there is one. When it cannot be opened they go where they went.
   */
  reopen(): void;
}

export interface LogOptions {
  readonly clock: Clock;
  /** Lines below this level are dropped. */
  readonly level: LogLevel;
  /** File to append to; without it the log goes to stderr. */
  readonly path?: string | undefined;
  readonly env?: NodeJS.ProcessEnv | undefined;
  readonly queueMax?: number | undefined;
}

const levels: readonly LogLevel[] = ['debug', 'info', 'warning', 'error'];
export const logLineBytesMax = 2048;
const queueMaxDefault = 1000;
/** Of the file of a log. */
const fileMode = 0o600;
/** A write that takes longer, ms, is one of a disk that hangs: what comes after it is given up. */
const hangMs = 1_000;
const stderrFd = 2;

/** True when systemd reads our stderr as a journal stream (systemd.exec(5), JOURNAL_STREAM). */
export function isJournal(fd: number, env: NodeJS.ProcessEnv): boolean {
  const stream = env['JOURNAL_STREAM'];
  if (!stream) return false;
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    return stream === `${dev}:${ino}`;
  } catch {
    return false;
  }
}

/** One line of the log, with its end of line. */
export function formatLine(level: LogLevel, text: string, wall: Date, journal: boolean): string {
  const head = journal ? journalMark(level) : `${level.toUpperCase()} ${wall.toISOString()} `;
  return `${head}${cleanText(text, logLineBytesMax)}\n`;
}

/** A log that says nothing. */
export const silentLog: Log = { debug() {}, info() {}, warning() {}, error() {} };

/** Opens the log; throws an OperationError only when `path` cannot be opened. */
export function openLog(options: LogOptions): ReopenedLog {
  const { path } = options;
  if (path === undefined) return new FdLog(stderrFd, options);
  try {
    return new FdLog(openSync(path, 'a', fileMode), options);
  } catch (cause) {
    throw storageError(cause, 'open', path);
  }
}

class FdLog implements ReopenedLog {
  #fd: number;
  readonly #options: LogOptions;
  readonly #journal: boolean;
  readonly #queueMax: number;
  readonly #queue: Buffer[] = [];
  #writing = false;
  #writingSinceMs = 0;
  #reopening = false;
  /** The file to go to after the write that is under way. */
  #nextFd: number | null = null;
  #dropped = 0;
  #closed = false;

  constructor(fd: number, options: LogOptions) {
    this.#fd = fd;
    this.#options = options;
    this.#journal = isJournal(fd, options.env ?? process.env);
    this.#queueMax = options.queueMax ?? queueMaxDefault;
  }

  debug(text: string): void {
    this.#add('debug', text);
  }

  info(text: string): void {
    this.#add('info', text);
  }

  warning(text: string): void {
    this.#add('warning', text);
  }

  error(text: string): void {
    this.#add('error', text);
  }

  flush(): void {
    const { clock } = this.#options;
    if (this.#writing && clock.nowMs() - this.#writingSinceMs >= hangMs) return;
    // The line whose write is under way is not written twice: libuv finishes it before it ends.
    try {
      for (const line of this.#queue.splice(0)) writeSync(this.#fd, line);
    } catch {
      // Nobody is left to be told.
    }
  }

  reopen(): void {
    const { path } = this.#options;
    if (path === undefined || this.#closed || this.#reopening) return;
    this.#reopening = true;
    open(path, 'a', fileMode, (error, fd) => {
      this.#reopening = false;
      if (error !== null) return this.error(storageError(error, 'open', path).message);
      if (this.#closed) return close(fd, () => {});
      this.#nextFd = fd;
      if (!this.#writing) this.#goOn();
    });
  }

  close(): void {
    if (this.#closed) return;
    this.flush();
    this.#closed = true;
    if (!this.#writing) this.#closeFile();
  }

  /** Only when no write is under way: its number could by then be that of another file. */
  #closeFile(): void {
    if (this.#fd === stderrFd) return;
    try {
      closeSync(this.#fd);
    } catch {
      // The lines are written or lost; there is nothing to be done about the file.
    }
  }

  /** Between two writes. */
  #goOn(): void {
    if (this.#nextFd !== null) {
      close(this.#fd, () => {});
      this.#fd = this.#nextFd;
      this.#nextFd = null;
    }
    if (this.#closed) {
      this.flush();
      this.#closeFile();
    } else this.#next();
  }

  #add(level: LogLevel, text: string): void {
    if (this.#closed || levels.indexOf(level) < levels.indexOf(this.#options.level)) return;
    if (this.#queue.length >= this.#queueMax) {
      this.#dropped += 1;
      return;
    }
    this.#push(level, text);
    this.#next();
  }

  #push(level: LogLevel, text: string): void {
    const wall = this.#options.clock.wall();
    this.#queue.push(Buffer.from(formatLine(level, text, wall, this.#journal)));
  }

  #next(): void {
    if (this.#writing || this.#closed) return;
    if (this.#dropped > 0 && this.#queue.length < this.#queueMax) {
      const dropped = this.#dropped;
      this.#dropped = 0;
      this.#push('warning', `the log was too slow: ${dropped} lines were dropped`);
    }
    const line = this.#queue.shift();
    if (line === undefined) return;
    this.#writing = true;
    this.#writingSinceMs = this.#options.clock.nowMs();
    write(this.#fd, line, (error, written) => this.#onWritten(line, error, written));
  }

  #onWritten(line: Buffer, error: Error | null, written: number): void {
    this.#writing = false;
    if (!error && written < line.length) this.#queue.unshift(line.subarray(written));
    this.#goOn();
  }
}
