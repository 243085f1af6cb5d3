/**
 * The command that carries a link, as a child process.
 *
 * It runs in a session of its own (no terminal; Ctrl-C does not reach it) and is the leader of its
 * process group, so that ending it ends everything that a shell command started. Nothing is left
 * behind: `close` ends the group by SIGTERM and then SIGKILL, and so does the end of this process;
 * if this process is killed, the children find the end of their stdin.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import type { Environment } from '../config/settings.ts';
import type { Timers } from '../host/clock.ts';
import { errnoCode, type OperationError } from '../host/errors.ts';
import type { TransportCommand } from './transport-command.ts';
import { explainTransport, type Seen, type TransportExit } from './transport-errors.ts';

export const stderrTailBytes = 4096;

export interface TransportOptions {
  readonly timers: Timers;
  /** Ends the transport when it is aborted. */
  readonly signal?: AbortSignal | undefined;
  /** Every line that the command writes to stderr; for the log. */
  readonly onStderrLine?: ((line: string) => void) | undefined;
  /** What the command finds in its environment. */
  readonly env: Environment;
}

export interface Transport {
  readonly command: TransportCommand;
  readonly input: Readable;
  readonly output: Writable;
  readonly pid: number | undefined;
  /** Settles when the command has ended and its stderr was read. Never rejects. */
  readonly exited: Promise<TransportExit>;
  /**
   * Why the connection failed or was lost, waiting shortly for the command to end, since its
   * stderr says more than an end of file does.
   */
  explain(seen: Seen): Promise<OperationError>;
  /**
   * Ends the command: at once when `graceMs` is 0, else after giving it that long to end itself.
   */
  close(graceMs?: number): Promise<TransportExit>;
}

const live = new Set<ChildProcess>();
let exitHook = false;

/** For the end of this very process: signals are all that can still be sent. */
function killAll(): void {
  for (const child of live) signalGroup(child, 'SIGKILL');
}

/** False when there is no such group any more. */
function signalGroup(child: ChildProcess, signal: NodeJS.Signals): boolean {
  if (child.pid === undefined) return false;
  try {
    return process.kill(-child.pid, signal);
  } catch {
    return false;
  }
}

/** How long `explain` waits for the command to end by itself, ms. */
const explainGraceMs = 500;
const termGraceMs = 1000;
/** How long after the end of the command its stderr is still read, ms. */
const stderrGraceMs = 200;

/** Starts the command. A failure to start shows in `exited` and `explain`, not as a throw. */
export function openTransport(command: TransportCommand, options: TransportOptions): Transport {
  const child = spawn(command.file, [...command.args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
    env: options.env,
  });
  if (!exitHook) {
    exitHook = true;
    process.on('exit', killAll);
  }
  live.add(child);
  const stderr = collectStderr(child.stderr, options.onStderrLine);
  // The link reports what happens to these streams; before there is one, nobody has to.
  child.stdin.on('error', () => {});
  child.stdout.on('error', () => {});
  const exited = whenExited(child, stderr, options.timers);
  const state = { exit: null as TransportExit | null };
  void exited.then((exit) => {
    state.exit = exit;
  });
  const waitExit = (ms: number) => within(exited, ms, options.timers);

  async function close(graceMs = 2000): Promise<TransportExit> {
    if (state.exit === null && graceMs > 0) await waitExit(graceMs);
    if (state.exit === null) {
      signalGroup(child, 'SIGTERM');
      await waitExit(termGraceMs);
    }
    if (state.exit === null) signalGroup(child, 'SIGKILL');
    return exited;
  }

  const onAbort = () => void close(0);
  if (options.signal?.aborted) onAbort();
  options.signal?.addEventListener('abort', onAbort, { once: true });
  void exited.then(() => options.signal?.removeEventListener('abort', onAbort));

  return {
    command,
    input: child.stdout,
    output: child.stdin,
    pid: child.pid,
    exited,
    async explain(seen) {
      const exit = (await waitExit(explainGraceMs)) ?? running(stderr);
      return explainTransport(command, exit, seen);
    },
    close,
  };
}

/** The promise's value, or null when it took longer. */
async function within<T>(promise: Promise<T>, ms: number, timers: Timers): Promise<T | null> {
  let cancel = () => {};
  const timeout = new Promise<null>((resolve) => {
    cancel = timers.after(ms, () => resolve(null));
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    cancel();
  }
}

/** It has said something, and goes on. */
function running(stderr: StderrTail): TransportExit {
  return { code: null, signal: null, spawnError: null, stderr: stderr.text() };
}

interface StderrTail {
  text(): string;
  ended(): boolean;
}

function collectStderr(stream: Readable, onLine?: (line: string) => void): StderrTail {
  let tail = '';
  let partial = '';
  stream.setEncoding('utf8');
  stream.on('error', () => {});
  stream.on('data', (text: string) => {
    tail = (tail + text).slice(-stderrTailBytes);
    if (onLine === undefined) return;
    const lines = (partial + text).split('\n');
    // A line without end is cut, so that a peer cannot fill our memory.
    partial = (lines.pop() ?? '').slice(-stderrTailBytes);
    for (const line of lines) if (line.trim() !== '') onLine(line.trimEnd());
  });
  return { text: () => tail, ended: () => stream.closed };
}

/**
 * Once the leader has ended, what it left in its group is ended too. Not awaited: the end of stdout
 * (that is the link's, which may not be reading) and of a stderr that something else keeps open.
 */
function whenExited(
  child: ChildProcess,
  stderr: StderrTail,
  timers: Timers,
): Promise<TransportExit> {
  return new Promise((resolve) => {
    let exit: Omit<TransportExit, 'stderr'> | null = null;
    const settle = () => {
      if (exit !== null) resolve({ ...exit, stderr: stderr.text() });
    };
    child.on('error', (error) => {
      if (child.pid !== undefined) return;
      live.delete(child);
      exit = { code: null, signal: null, spawnError: errnoCode(error) ?? error.message };
      settle();
    });
    child.on('exit', (code, signal) => {
      live.delete(child);
      exit = { code, signal, spawnError: null };
      if (signalGroup(child, 'SIGTERM')) {
        timers.after(termGraceMs, () => signalGroup(child, 'SIGKILL'));
      }
      if (stderr.ended()) settle();
      else timers.after(stderrGraceMs, settle);
    });
    child.stderr?.on('close', settle);
  });
}
