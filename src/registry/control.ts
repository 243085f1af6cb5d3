/**
 * The control socket of a session: a unix socket in the run directory, for root alone. A client
 * sends one line of JSON and reads lines of JSON: any number of `progress`, then one `result` or
 * one `error`, then the end. Everything is bounded: the length of a line, the number of clients,
 * the time until the request is complete.
 */

import { chmodSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import type { Said } from '../core/permission/tie.ts';
import { adviceLine } from '../core/texts/advice.ts';
import type { Answer } from '../core/vocabulary.ts';
import type { Cancel, Timers } from '../host/clock.ts';
import {
  errorText,
  isOperationCode,
  type OperationCode,
  OperationError,
  storageError,
} from '../host/errors.ts';
import { LineReader } from './line-reader.ts';

const requestBytesMax = 4 * 1024;
const replyBytesMax = 256 * 1024;
const clientsMax = 16;
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

function serveClient(socket: Socket, handler: ControlHandler, timers: Timers): void {
  // A client that goes away is no reason to stop what it asked for.
  socket.on('error', () => socket.destroy());
  const send = (reply: Reply) => {
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
    const request = line === undefined ? null : parseRequest(line);
    const answered =
      request === null
        ? Promise.reject(
            new OperationError('not-built', 'the session does not know this request', {
              op: 'answer-control',
              hint: adviceLine({ kind: 'show-all' }),
            }),
          )
        : Promise.resolve().then(() =>
            handler(request, (text) => send({ kind: 'progress', text })),
          );
    answered
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
): Promise<ControlServer> {
  checkPath(path);
  removeIfThere(path);
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    serveClient(socket, handler, timers);
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
}

/** What was asked has said nothing, or what is none of ours. */
export type NoAnswer = 'await-answer' | 'read-answer';

function noAnswer(op: NoAnswer, why: string, cause?: unknown, code?: OperationCode) {
  return new OperationError(code ?? 'command-failed', `the session does not answer: ${why}`, {
    op,
    hint: adviceLine({ kind: 'show-all' }),
    cause,
  });
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
  options: RequestOptions = {},
): Promise<Result> {
  const silenceMs = options.silenceMsMax ?? 60_000;
  return new Promise<Result>((resolve, reject) => {
    checkPath(path);
    const lines = new LineReader(replyBytesMax);
    const socket = connect(path);
    let cancelSilence: Cancel = () => {};
    const end = () => {
      cancelSilence();
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
        const silence = `silent for ${silenceMs} ms`;
        fail(noAnswer('await-answer', silence, undefined, 'command-timeout'));
      });
    };
    listen();
    socket.on('connect', () => socket.write(`${JSON.stringify(request)}\n`));
    socket.on('error', (error) => fail(noAnswer('await-answer', error.message, error)));
    socket.on('close', () => {
      cancelSilence();
      reject(noAnswer('await-answer', 'it closed the connection'));
    });
    socket.on('data', (chunk: Buffer) => {
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
