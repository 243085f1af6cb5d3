/**
 * The control socket of a session: a unix socket in the run directory, for root alone. A client
 * sends one line of JSON and reads lines of JSON: any number of `progress`, then one `result` or
 * one `error`, then the end. Everything is bounded: the length of a line, the number of clients,
 * the time until the request is complete.
 *
 * An order is for now: whoever gave it is told when it was not begun in time, and acts on that. So
 * a request says until when it may be begun, by the clock since boot, which both ends read; a
 * session that was stopped for longer refuses what it finds then.
 */

import { chmodSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import type { Said } from '../core/permission/tie.ts';
import { adviceLine } from '../core/texts/advice.ts';
import type { Answer } from '../core/vocabulary.ts';
import type { BootClock, Cancel, Timers } from '../host/clock.ts';
import {
  errnoCode,
  errorText,
  isOperationCode,
  type OperationCode,
  OperationError,
  storageError,
} from '../host/errors.ts';
import type { Log } from '../host/log.ts';
import { LineReader } from './line-reader.ts';

const requestBytesMax = 4 * 1024;
const replyBytesMax = 256 * 1024;
const clientsMax = 16;
/** Of replies that a client does not read (its terminal may be stuck), bytes. */
const waitingBytesMax = 64 * 1024;
const requestMsMax = 5_000;
/** Bytes of sun_path that a path may fill (unix(7)), the final zero not counted. */
const socketPathBytesMax = 107;

/** What a session can be asked. A verb that a session does not know is answered `not-built`. */
export type ControlRequest =
  /**
   * End protection in order; `force` vouches that the copy never ran and never will. `once`: the
   * answer is `held` as soon as the backup was asked and a person has to decide; the session goes
   * on asking. Result: `StopResult`.
   */
  | { readonly verb: 'stop'; readonly force: boolean; readonly once?: boolean }
  /**
   * Primary: checkpoint every `interval` ms, or automatically; what is absent stays. Result:
   * `SetResult`; error `command-failed` when it cannot be.
   */
  | {
      readonly verb: 'set';
      readonly interval?: number | 'auto';
      /** Percent. */
      readonly maxOverhead?: number;
    }
  /**
   * Backup: activate now; `vouched`: on a person's word that the guest does not run on the primary.
   * Result: `FailoverResult`; error `split-brain-risk` when refused.
   */
  | { readonly verb: 'failover'; readonly vouched?: boolean }
  /** Backup: what `failover` would do, changing nothing. Result: `FailoverPlan`. */
  | { readonly verb: 'failover-plan' }
  /**
   * The session is over (its status has an outcome) though its process lives on, as after a
   * takeover: the administrator has seen it, its status file goes. Result: `{}`.
   */
  | { readonly verb: 'forget' }
  /**
   * Backup: a fresh run of the transport asks for the promise of session `session`. Result:
   * `PromiseResult`; error `no-such-session` when this process holds another one.
   */
  | { readonly verb: 'ask'; readonly session: string };

/** Until when a request may be begun, in its line: ms since the host's boot. Absent: for ever. */
const untilKey = 'until_ms';

/** True when the time of a request is over by now, both since boot. */
export function isLapsed(untilMs: number | null, nowMs: number): boolean {
  return untilMs !== null && nowMs > untilMs;
}

/** What a session that begins with a request too late says, to whoever still hears it. */
export function lapsedError({ verb }: ControlRequest): OperationError {
  const text = `the order ${verb} came too late, and is not carried out: its time was over`;
  return new OperationError('no-answer', text, { op: 'answer-control' });
}

/** Answer to `ask`. */
export interface PromiseResult {
  /** Null: the record says active, and whoever asks has to look what has become of the guest. */
  readonly answer: Answer | null;
}

/** Answer to `set`: what holds now, in words. */
export interface SetResult {
  readonly text: string;
}

/** Answer to `failover`. */
export interface FailoverResult {
  readonly text: string;
}

/** Answer to `failover-plan`. */
export interface FailoverPlan {
  /** Why it would be refused; null when it would be done. */
  readonly refused: string | null;
  /** What a person has to say for it. */
  readonly needs: Said;
  /** What is known of the primary, sentences without final stop. */
  readonly primary: readonly string[];
}

/**
 * Carries out a request. What it returns becomes the `result`; an OperationError that it throws
 * becomes the `error`. `progress` may be called any number of times before that.
 */
export type ControlHandler = (
  request: ControlRequest,
  progress: (text: string) => void,
) => Promise<object>;

export interface ControlServer {
  /** Closes the socket and removes its file; requests under way still get their answer. */
  close(): void;
}

type Reply =
  | { readonly kind: 'progress'; readonly text: string }
  | { readonly kind: 'result'; readonly result: object }
  | {
      readonly kind: 'error';
      readonly code: OperationCode;
      readonly message: string;
      readonly hint: string | null;
    };

function checkPath(path: string): void {
  if (Buffer.byteLength(path) <= socketPathBytesMax) return;
  throw new OperationError('storage', `the path of the control socket is too long: ${path}`, {
    op: 'open-control-socket',
    hint: adviceLine({
      kind: 'read-page',
      page: 'tsremus',
      why: `ENVIRONMENT: TSREMUS_RUN_DIR, ${socketPathBytesMax} bytes with the name of the socket`,
    }),
  });
}

/** The request in `line`, or null if it is none. */
export function parseRequest(line: string): ControlRequest | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const { verb, force, once, session, interval, maxOverhead, vouched } = value as Record<
    string,
    unknown
  >;
  switch (verb) {
    case 'stop':
      if (typeof force !== 'boolean') return null;
      return once === true ? { verb, force, once } : { verb, force };
    case 'set':
      return setRequest(interval, maxOverhead);
    case 'ask':
      return typeof session === 'string' ? { verb, session } : null;
    case 'failover':
      return vouched === undefined
        ? { verb }
        : typeof vouched === 'boolean'
          ? { verb, vouched }
          : null;
    case 'failover-plan':
    case 'forget':
      return { verb };
    default:
      return null;
  }
}

/** Until when the request in `line`, which is one, may be begun. */
function untilIn(line: string): number | null {
  const until = (JSON.parse(line) as Record<string, unknown>)[untilKey];
  return typeof until === 'number' ? until : null;
}

/** Ranges are the session's to judge. */
function setRequest(interval: unknown, maxOverhead: unknown): ControlRequest | null {
  const isNumber = (value: unknown) => typeof value === 'number' && Number.isFinite(value);
  if (interval !== undefined && interval !== 'auto' && !isNumber(interval)) return null;
  if (maxOverhead !== undefined && !isNumber(maxOverhead)) return null;
  return {
    verb: 'set',
    ...(interval === undefined ? {} : { interval: interval as number | 'auto' }),
    ...(maxOverhead === undefined ? {} : { maxOverhead: maxOverhead as number }),
  };
}

function errorReply(error: unknown): Reply {
  if (error instanceof OperationError) {
    const { code, message, detail } = error;
    return { kind: 'error', code, message, hint: detail.hint ?? null };
  }
  return { kind: 'error', code: 'command-failed', message: errorText(error), hint: null };
}

/** How a session knows what is too late, and where it says so. */
export interface LateOrders {
  readonly bootClock: BootClock;
  readonly log: Pick<Log, 'warning'>;
}

/** Hands the request in `line` on, in its time. */
async function begin(
  line: string | undefined,
  handler: ControlHandler,
  progress: (text: string) => void,
  late: LateOrders | null,
): Promise<object> {
  const request = line === undefined ? null : parseRequest(line);
  if (line === undefined || request === null) {
    throw new OperationError('not-built', 'the session does not know this request', {
      op: 'answer-control',
      hint: adviceLine({ kind: 'show-all' }),
    });
  }
  if (late !== null && isLapsed(untilIn(line), late.bootClock.sinceBootMs())) {
    const error = lapsedError(request);
    late.log.warning(error.message);
    throw error;
  }
  return handler(request, progress);
}

function serveClient(
  socket: Socket,
  handler: ControlHandler,
  timers: Timers,
  late: LateOrders | null,
): void {
  // A client that goes away is no reason to stop what it asked for.
  socket.on('error', () => socket.destroy());
  const send = (reply: Reply) => {
    if (reply.kind === 'progress' && socket.writableLength > waitingBytesMax) return;
    if (socket.writable) socket.write(`${JSON.stringify(reply)}\n`);
  };
  const cancelSlow = timers.after(requestMsMax, () => socket.destroy());
  let asked = false;
  const lines = new LineReader(requestBytesMax);
  socket.on('data', (chunk: Buffer) => {
    if (asked) return;
    const line = lines.push(chunk)[0];
    if (line === undefined && !lines.overlong) return;
    asked = true;
    cancelSlow();
    begin(line, handler, (text) => send({ kind: 'progress', text }), late)
      .then(
        (result) => send({ kind: 'result', result }),
        (error: unknown) => send(errorReply(error)),
      )
      .finally(() => socket.end());
  });
  socket.on('close', () => cancelSlow());
}

/** Listens on `path` (mode 0600; whatever was there is replaced: the claim is ours). */
export async function serveControl(
  path: string,
  handler: ControlHandler,
  timers: Timers,
  late: LateOrders | null = null,
): Promise<ControlServer> {
  checkPath(path);
  removeIfThere(path);
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    serveClient(socket, handler, timers, late);
  });
  server.maxConnections = clientsMax;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    // The socket must be closed to others from its first moment, not from the chmod on.
    const mask = process.umask(0o177);
    try {
      server.listen(path, resolve);
    } finally {
      process.umask(mask);
    }
  }).catch((error: unknown) => {
    throw storageError(error, 'listen-on', path);
  });
  chmodSync(path, 0o600);
  server.on('error', () => {});
  return {
    close() {
      server.close();
      removeIfThere(path);
    },
  };
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

export interface RequestOptions {
  /** Called for each line of progress. */
  readonly onProgress?: (text: string) => void;
  /** Longest silence of the session before the client gives up, ms. */
  readonly silenceMsMax?: number;
  /** The longest that the client waits, whatever it hears, ms; absent: as long as it hears. */
  readonly totalMsMax?: number;
}

export const silenceMsDefault = 60_000;

/** What was asked has said nothing, or what is none of ours. */
export type NoAnswer = 'await-answer' | 'read-answer';

function noAnswer(op: NoAnswer, why: string, cause?: unknown) {
  return new OperationError('command-failed', `the session does not answer: ${why}`, {
    op,
    hint: adviceLine({ kind: 'show-all' }),
    cause,
  });
}

/** The order has lapsed, or it was begun, and nobody knows how far it is. */
function silentError(why: string, isHeard: boolean): OperationError {
  const { detail, message } = noAnswer('await-answer', why);
  const what = isHeard ? 'it goes on with what was asked' : 'the order has lapsed';
  return new OperationError('no-answer', `${message}; ${what}`, detail);
}

/** Its socket is for root alone. */
function unreachable(path: string, error: Error): OperationError {
  const errno = errnoCode(error);
  if (errno !== 'EACCES' && errno !== 'EPERM')
    return noAnswer('await-answer', error.message, error);
  const detail = { op: 'ask-session', subject: path, cause: error };
  return new OperationError('not-root', `only root may speak to the session at ${path}`, detail);
}

function parseReply(line: string): Reply {
  const value = JSON.parse(line) as Reply;
  if (value.kind === 'progress' && typeof value.text === 'string') return value;
  if (value.kind === 'result' && typeof value.result === 'object') return value;
  if (value.kind === 'error' && isOperationCode(value.code)) return value;
  throw new Error('neither progress, result nor error');
}

/** Sends `request` to the session at `path`; resolves with the result it gives. */
export function requestControl<Result extends object>(
  path: string,
  request: ControlRequest,
  timers: Timers,
  options: RequestOptions & { readonly untilMs?: number } = {},
): Promise<Result> {
  const { silenceMsMax: silenceMs = silenceMsDefault, totalMsMax, untilMs } = options;
  return new Promise<Result>((resolve, reject) => {
    checkPath(path);
    const lines = new LineReader(replyBytesMax);
    const socket = connect(path);
    let cancelSilence: Cancel = () => {};
    let cancelTotal: Cancel = () => {};
    let isHeard = false;
    const end = () => {
      cancelSilence();
      cancelTotal();
      socket.destroy();
    };
    const fail = (error: OperationError) => {
      reject(error);
      end();
    };
    const take = (reply: Reply) => {
      if (reply.kind === 'progress') return options.onProgress?.(reply.text);
      if (reply.kind === 'result') resolve(reply.result as Result);
      else {
        const detail = { op: 'ask-session', ...(reply.hint ? { hint: reply.hint } : {}) };
        reject(new OperationError(reply.code, reply.message, detail));
      }
      end();
    };
    const listen = () => {
      cancelSilence();
      cancelSilence = timers.after(silenceMs, () => {
        fail(silentError(`silent for ${silenceMs} ms`, isHeard));
      });
    };
    listen();
    if (totalMsMax !== undefined) {
      const late = () => fail(silentError(`no result within ${totalMsMax} ms`, isHeard));
      cancelTotal = timers.after(totalMsMax, late);
    }
    const line = untilMs === undefined ? request : { ...request, [untilKey]: untilMs };
    socket.on('connect', () => socket.write(`${JSON.stringify(line)}\n`));
    socket.on('error', (error) => fail(unreachable(path, error)));
    socket.on('close', () => {
      cancelSilence();
      cancelTotal();
      reject(noAnswer('await-answer', 'it closed the connection'));
    });
    socket.on('data', (chunk: Buffer) => {
      isHeard = true;
      listen();
      try {
        for (const line of lines.push(chunk)) take(parseReply(line));
        if (lines.overlong)
          fail(noAnswer('read-answer', `a line of more than ${replyBytesMax} bytes`));
      } catch (error) {
        fail(noAnswer('read-answer', `it sent something else (${errorText(error)})`, error));
      }
    });
  });
}
