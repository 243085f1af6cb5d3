/**
 * The first exchange on a link, for both sides, bounded in time.
 *
 * Version rule: a frame of another protocol version is refused by whichever side reads it first,
 * and the refusal names both versions. The backup decides about everything else in the primary's
 * HELLO (`decide`), answers, and the link is open or ends.
 */

import { notTyped } from '../core/texts/advice.ts';
import type { Timers } from '../host/clock.ts';
import { OperationError } from '../host/errors.ts';
import { protocolVersion } from './frame.ts';
import { versionError } from './frame-decoder.ts';
import type {
  Hello,
  HelloAccepted,
  HelloRefused,
  PulseOffer,
  Speaker,
  StreamChoice,
} from './hello-message.ts';
import type { Link } from './link.ts';
import { type Message, peerError } from './messages.ts';

/**
 * Covers the transport's own connecting, the start of a process there and the answer; and, the
 * other way, what the primary looks at before it speaks, while its transport connects already. An
 * ssh to an emulated host alone takes up to 8 s; on a busy machine all of it took more than 40.
 */
export const helloTimeoutMsDefault = 90_000;

export interface HelloOptions {
  readonly timers: Timers;
  readonly timeoutMs?: number | undefined;
  /** What the error says when that was the rest of a longer wait, ms. */
  readonly waitedMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** A line that the peer offers for its own host, as it is to be typed here; see `lineThere`. */
  readonly there?: ((line: string) => string) | undefined;
}

/** What the backup says to a HELLO that is well formed. */
export type Decision =
  | {
      readonly accept: true;
      readonly pulse: PulseOffer | null;
      readonly stream: StreamChoice | null;
      readonly features?: readonly number[];
      readonly checks?: boolean;
    }
  | {
      readonly accept: false;
      readonly code: string;
      readonly message: string;
      readonly hint: string | null;
    };

/** Everything in `Speaker` but the protocol version, which is ours. */
export type LocalSpeaker = Omit<Speaker, 'protocol'>;

/**
 * The primary's part: sends HELLO, awaits the answer. Afterwards nothing is read from the link
 * until somebody listens. Throws an OperationError: the peer's refusal with the peer's code,
 * `version-mismatch`, `protocol`, or `peer-unreachable` when the link ended or nothing came in
 * time.
 */
export async function greetBackup(
  link: Link,
  host: string,
  hello: Omit<Hello, 'kind' | 'protocol'>,
  options: HelloOptions,
): Promise<HelloAccepted> {
  link.send({ kind: 'hello', protocol: protocolVersion, ...hello });
  const reply = await nextMessage(link, host, options);
  switch (reply.kind) {
    case 'hello-accepted':
      checkProtocol(link, reply);
      return reply;
    case 'hello-refused':
      throw peerError(host, { ...reply, text: reply.message }, options.there);
    case 'error':
      throw peerError(host, reply, options.there);
    default:
      throw new Error(`the link let ${reply.kind} through before HELLO`);
  }
}

/**
 * The backup's part: awaits the primary's HELLO, asks `decide`, answers. Returns the HELLO that was
 * accepted; throws the OperationError that the primary was told.
 */
export async function greetPrimary(
  link: Link,
  speaker: LocalSpeaker,
  decide: (hello: Hello) => Decision | Promise<Decision>,
  options: HelloOptions,
): Promise<Hello> {
  const hello = await nextMessage(link, 'the primary', options).catch((error: unknown) => {
    throw link.counters.bytesReceived === 0 ? nobodySpoke(error) : error;
  });
  if (hello.kind === 'error') throw peerError('the primary', hello);
  if (hello.kind !== 'hello') throw new Error(`the link let ${hello.kind} through before HELLO`);
  checkProtocol(link, hello);
  const decision = await decide(hello);
  const ours = { ...speaker, protocol: protocolVersion };
  if (decision.accept) {
    const { accept: _, features = [], ...rest } = decision;
    link.send({ kind: 'hello-accepted', ...ours, ...rest, features });
    return hello;
  }
  const { code, message, hint } = decision;
  const refused: HelloRefused = { kind: 'hello-refused', ...ours, code, message, hint };
  link.send(refused);
  await link.close('refused');
  throw peerError('this host', { code, text: message, hint }, (line) => line);
}

/** Not a byte came: there may be no primary at all, whatever started this process. */
function nobodySpoke(error: unknown): unknown {
  if (!(error instanceof OperationError) || error.code !== 'peer-unreachable') return error;
  const why = error.message.replace(/^cannot reach [^:]*: /, '');
  const text = `nobody speaks tsremus on standard input: ${why}`;
  return new OperationError('peer-refused', text, { ...error.detail, hint: notTyped });
}

/** The refusal that carries an error of ours. */
export function refuse(error: OperationError): Decision {
  return { accept: false, code: error.code, message: error.message, hint: error.hint ?? null };
}

/** The body names the version once more; a peer whose two places differ is refused as well. */
function checkProtocol(link: Link, speaker: Speaker): void {
  if (speaker.protocol === protocolVersion) return;
  const error = versionError(speaker.protocol);
  link.fail(error);
  throw error;
}

/**
 * The next message of a link that nobody listens to; afterwards nobody listens again, so that what
 * follows waits for the next listener. `host` names the peer in errors.
 */
export function nextMessage(
  link: Pick<Link, 'listen'>,
  host: string,
  options: HelloOptions,
): Promise<Message> {
  const timeoutMs = options.timeoutMs ?? helloTimeoutMsDefault;
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      cancel();
      options.signal?.removeEventListener('abort', onAbort);
      link.listen(null);
      act();
    };
    const unreachable = (why: string) =>
      new OperationError('peer-unreachable', `cannot reach ${host}: ${why}`, {
        op: 'exchange-hello',
        subject: host,
      });
    const onAbort = () =>
      settle(() => {
        const detail = { op: 'exchange-hello', subject: host };
        reject(new OperationError('aborted', `gave up on ${host}`, detail));
      });
    const cancel = options.timers.after(timeoutMs, () =>
      settle(() => reject(unreachable(`no answer within ${options.waitedMs ?? timeoutMs} ms`))),
    );
    if (options.signal?.aborted) return onAbort();
    options.signal?.addEventListener('abort', onAbort, { once: true });
    link.listen({
      message: (message) => settle(() => resolve(message)),
      close: (close) => settle(() => reject(close.error ?? unreachable(close.reason))),
    });
  });
}
