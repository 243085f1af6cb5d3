/**
 * From a command to an open link: start the transport, exchange HELLO, and give the best reason
 * when that fails. Also the fresh connection that asks for the promise when the session's link is
 * gone.
 */
import type { Environment } from '../config/settings.ts';
import { isPresent, isTakenOver } from '../core/permission/evidence.ts';
import { lineThere } from '../core/texts/advice.ts';
import type { Answer, Answered } from '../core/vocabulary.ts';
import { type Cancel, type Clock, every, type Timers } from '../host/clock.ts';
import { OperationError } from '../host/errors.ts';
import type { CreditWindowOptions } from './credit-window.ts';
import { greetBackup, type HelloOptions, helloTimeoutMsDefault, nextMessage } from './hello.ts';
import type { Hello, HelloAccepted } from './hello-message.ts';
import { Link } from './link.ts';
import { openTransport, type Transport } from './transport.ts';
import type { TransportCommand } from './transport-command.ts';

export interface ConnectOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  /** From the start of the command to the backup's HELLO, ms. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly window?: CreditWindowOptions | undefined;
  readonly onStderrLine?: ((line: string) => void) | undefined;
  /** What the command finds in its environment. */
  readonly env: Environment;
  /** Started already, with the same command. */
  readonly started?: Started | undefined;
}

/** A transport on its way; nothing was said yet. */
export type Started = Pick<Connection, 'link' | 'transport'>;

/** An open connection to the backup; nothing is read before `link.listen`. */
export interface Connection {
  readonly link: Link;
  readonly transport: Transport;
  readonly reply: HelloAccepted;
  /** A line that the backup offers for its own host, as it is to be typed here. */
  there(line: string): string;
  /**
   * Says goodbye, waits `patienceMs` for the transport's command to end by itself, and ends it.
   * Never rejects.
   */
  close(reason: string, patienceMs?: number): Promise<void>;
}

export type HelloContent = Omit<Hello, 'kind' | 'protocol'>;

/**
 * Connects and exchanges HELLO. Throws an OperationError (see `greetBackup` and
 * `explainTransport`); nothing of the transport is left then. `signal` ends the connecting, and
 * later the transport.
 */
export async function connectBackup(
  command: TransportCommand,
  hello: HelloContent,
  options: ConnectOptions,
): Promise<Connection> {
  const { timers, signal } = options;
  const { transport, link } = options.started ?? startTransport(command, options);
  const there = (line: string) => lineThere(command.remoteShell, line);
  try {
    const timeoutMs = options.timeoutMs ?? helloTimeoutMsDefault;
    const patience = { timers, timeoutMs, signal, there };
    const reply = await greetBackup(link, command.host, hello, patience);
    const close: Connection['close'] = (...how) => closeConnection(link, transport, ...how);
    return { link, transport, reply, there, close };
  } catch (error) {
    const best = error instanceof OperationError ? await bestReason(error, link, transport) : error;
    link.destroy('the connection failed');
    await transport.close(0);
    throw best;
  }
}

/**
 * Starts the command. Its link exists from the start: it keeps what the command says, and that it
 * ended, for whoever listens later.
 */
export function startTransport(command: TransportCommand, options: ConnectOptions): Started {
  const { clock, timers } = options;
  const transport = openTransport(command, options);
  const window = options.window === undefined ? {} : { window: options.window };
  const role = 'primary';
  const link = new Link(transport.input, transport.output, { role, clock, timers, ...window });
  return { transport, link };
}

async function closeConnection(
  link: Link,
  transport: Transport,
  reason: string,
  patienceMs?: number,
): Promise<void> {
  await link.close(reason);
  await transport.close(patienceMs);
}

/** What the transport's command said on stderr is more telling than what the link saw. */
async function bestReason(
  error: OperationError,
  link: Link,
  transport: Transport,
): Promise<OperationError> {
  // What the peer said of itself, in frames, needs no explaining.
  if (error === link.closed?.error) return transport.explain({ reason: error.message, error });
  if (error.code !== 'peer-unreachable') return error;
  const reason = error.message.replace(/^cannot reach [^:]*: /, '');
  return transport.explain({ reason, error: null });
}

/**
 * The same question again while it has no answer, ms: what the backup waits for meanwhile may take
 * its time, and it gives a promise only to one who is still there.
 */
const askAgainMs = 1_000;

/**
 * Asks for the promise on a connection of its own, by question `id`. An answer that is too old to
 * destroy a guest on (E1) is asked for again, by the next number, while there is time: where a host
 * is busy, what the first question had to wait for is there by the second. The whole takes at most
 * `timeoutMs`; the
 * connection is then ended in the background. Throws an OperationError when there was no answer,
 * which is never a promise.
 */
export async function askFresh(
  command: TransportCommand,
  hello: HelloContent & { readonly purpose: 'promise' },
  id: number,
  options: ConnectOptions,
): Promise<Answered> {
  const timeoutMs = options.timeoutMs ?? helloTimeoutMsDefault;
  const endMs = options.clock.nowMs() + timeoutMs;
  const connection = await connectBackup(command, hello, { ...options, timeoutMs });
  let stopAsking: Cancel = () => {};
  try {
    const { link } = connection;
    const { clock, timers, signal } = options;
    for (let question = id; ; question += 1) {
      const askedAtMs = clock.nowMs();
      const ask = () => link.send({ kind: 'ask', id: question });
      ask();
      stopAsking = every(timers, askAgainMs, ask);
      const leftMs = Math.max(1, endMs - askedAtMs);
      const patience = { timers, signal, timeoutMs: leftMs, waitedMs: timeoutMs };
      const answer = await nextAnswer(link, command.host, question, patience);
      stopAsking();
      const nowMs = clock.nowMs();
      const isUsable = isPresent(askedAtMs, nowMs, hello.timing.heartbeatTimeoutMs);
      if (!isTakenOver(answer) || isUsable || nowMs >= endMs) return { answer, askedAtMs };
    }
  } finally {
    stopAsking();
    // Not awaited: the answer is needed now, and the end of a process may take its time.
    void connection.close('asked');
  }
}

async function nextAnswer(
  link: Link,
  host: string,
  id: number,
  options: HelloOptions,
): Promise<Answer> {
  const message = await nextMessage(link, host, options);
  if (message.kind === 'answer' && message.id === id) return message.answer;
  const said = message.kind === 'error' ? message.text : `${message.kind} instead of an answer`;
  throw new OperationError('peer-refused', `${host} gave no answer: ${said}`, {
    op: 'ask',
    subject: host,
  });
}
