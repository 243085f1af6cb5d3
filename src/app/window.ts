/**
 * `tsremus protect` is two processes: the session, which has no terminal, and the window, which
 * shows it. This file is both ends of the socket between them.
 *
 * The session waits for its window in nothing: what the window does not read is dropped past a
 * bound, and counted; a window that is stopped, stuck or gone costs the session nothing. The window
 * passes signals that end protection on, and learns from the session's end what it has missed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { Environment } from '../config/settings.ts';
import { UsageError } from '../config/usage-error.ts';
import { adviceLine } from '../core/texts/advice.ts';
import { systemClock, systemTimers, within } from '../host/clock.ts';
import { errorText, OperationError } from '../host/errors.ts';
import { LineReader } from '../registry/line-reader.ts';
import type { ProtectReporter } from '../session/options.ts';
import { parseTold, type Told, type ToldAt, toldLine } from '../session/told.ts';
import { ownCommand } from './own-command.ts';

/** Where the session finds its end of the socket. */
const windowFd = 3;
/** Of what waits for the window to read it, bytes; the kernel holds about as much again. */
const waitingBytesMax = 64 * 1024;
/** Of one line, bytes. */
const lineBytesMax = 256 * 1024;
/** How long a session that has ended waits for its window to read the last line, ms. */
const farewellMsMax = 2_000;
/**
 * How long after the session's end what it told is still read, ms. It lies in the socket by then:
 * only a machine that hardly runs takes as long, or a process that the session left and that holds
 * the socket.
 */
const lastLinesMsMax = 30_000;

/** How the session's process ended. */
export interface ProcessEnd {
  readonly pid: number;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** What a window does with what it gets. */
export interface WindowView {
  hear(told: ToldAt): void;
  /** What the session's process wrote to its stderr: how it crashed, say. */
  words(text: string): void;
  /** The terminal hung up. True: what it hears goes elsewhere, so it stays. */
  hungUp(): boolean;
}

/**
 * Runs `tsremus ...words` in a session of its own, without a terminal, and shows it to `view` until
 * it has ended. SIGINT and SIGTERM are passed on to it. Throws an OperationError when it cannot be
 * started.
 */
export async function showSession(
  words: readonly string[],
  env: Environment,
  view: WindowView,
): Promise<ProcessEnd> {
  // Heard first: a Ctrl-C must not end the window and leave the session.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  const child = spawn(process.execPath, ownCommand(words), {
    detached: true,
    cwd: '/',
    env,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  });
  const onHangUp = () => {
    if (view.hungUp()) return;
    process.removeListener('SIGHUP', onHangUp);
    process.kill(process.pid, 'SIGHUP');
  };
  process.on('SIGHUP', onHangUp);
  child.stderr?.setEncoding('utf8').on('data', (text: string) => view.words(text));
  const heard = hearAll(child.stdio[windowFd] as Readable, view);
  const ended = await endOf(child);
  await within(systemTimers, lastLinesMsMax, heard, () => {});
  return ended;
}

/** Resolves at the end of the socket. */
function hearAll(socket: Readable, view: WindowView): Promise<void> {
  const lines = new LineReader(lineBytesMax);
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    for (const line of lines.push(chunk)) {
      const told = parseTold(line);
      if (told !== null) view.hear(told);
    }
  });
  return new Promise((resolve) => socket.on('close', resolve));
}

function endOf(child: ChildProcess): Promise<ProcessEnd> {
  return new Promise((resolve, reject) => {
    child.on('error', (cause) => {
      if (child.pid !== undefined) return;
      const text = `the process of the session cannot be started: ${errorText(cause)}`;
      reject(new OperationError('command-failed', text, { op: 'start-session', cause }));
    });
    child.on('exit', (code, signal) => resolve({ pid: child.pid ?? 0, code, signal }));
  });
}

/** The session's end of the socket. */
export interface Teller {
  readonly reporter: ProtectReporter;
  /** The last word. Resolves when it was read, or nobody reads it in time. */
  end(told: Extract<Told, { kind: 'ended' | 'failed' }>): Promise<void>;
}

/** Takes the socket that showSession left for us; throws a UsageError where there is none. */
export function openTeller(): Teller {
  const socket = socketOf(windowFd);
  let isGone = false;
  for (const event of ['error', 'close'] as const) {
    socket.on(event, () => {
      isGone = true;
    });
  }
  socket.resume(); // its end is the window's
  socket.unref();
  let unread = 0;
  const write = (told: Told) => socket.write(toldLine({ at: systemClock.wall(), told }));
  const tell = (told: Told) => {
    if (isGone) return;
    if (socket.writableLength > waitingBytesMax) {
      // Of the seed's progress only the newest counts.
      if (told.kind === 'event') unread += 1;
      return;
    }
    if (unread > 0) write({ kind: 'unread', events: unread });
    unread = 0;
    write(told);
  };
  return {
    reporter: {
      seedProgress: (progress) => tell({ kind: 'seed', progress }),
      event: (event, text, data) => tell({ kind: 'event', event, text, data }),
    },
    async end(told) {
      if (isGone) return;
      if (unread > 0) write({ kind: 'unread', events: unread });
      write(told);
      const read = new Promise<void>((resolve) => {
        socket.on('close', resolve);
        socket.end(resolve);
      });
      await within(systemTimers, farewellMsMax, read, () => {});
    },
  };
}

function socketOf(fd: number): Socket {
  try {
    if (fstatSync(fd).isSocket()) return new Socket({ fd, readable: true, writable: true });
  } catch {
    // No such file, or one of Node's own.
  }
  throw new UsageError(
    'a session is started by tsremus protect, which shows it',
    adviceLine({ kind: 'see-help', command: 'tsremus protect' }),
  );
}
