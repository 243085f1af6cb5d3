/**
 * A link: messages over one ordered pair of byte streams (a child's stdin and stdout, or our own).
 *
 * It guarantees: messages arrive whole, checked, in order, and only those that this side may
 * receive; a heartbeat is never behind more than one chunk of data of ours plus the credit window;
 * and `close` is called exactly once, after the last message, whatever happened to the streams.
 * It sets no timers but the one that bounds its own ending and the turn that reports credit.
 */
import type { Readable, Writable } from 'node:stream';
import type { Cancel, Clock, Timers } from '../host/clock.ts';
import { errnoCode, errorText, OperationError } from '../host/errors.ts';
import type { GuestConfig } from './config-message.ts';
import { type CreditWindowOptions, creditWindowDefaults } from './credit-window.ts';
import { FrameDecoder, terminalError } from './frame-decoder.ts';
import { type ControlMessage, controlQueueMax, LinkOutput } from './link-output.ts';
import {
  type DiskEnd,
  decodeMessage,
  type EpochDigest,
  type Message,
  type MessageKind,
} from './messages.ts';

export type { ControlMessage } from './link-output.ts';

export type LinkRole = 'primary' | 'backup';

/** How a link ended; `error` is there when the peer (or its bytes) broke the rules. */
export interface LinkClose {
  readonly kind: 'eof' | 'reset' | 'protocol' | 'local';
  /** A sentence without final stop. */
  readonly reason: string;
  readonly error: OperationError | null;
}

export interface LinkHandlers {
  /**
   * A message, in order. An OperationError thrown here ends the link as if the peer's bytes had
   * been wrong; anything else thrown is a bug and passes through.
   */
  message(message: Message): void;
  /** Bytes arrived: a sign of life, before they are looked at. */
  bytes?(count: number): void;
  /** The peer took bytes of ours: CREDIT came. */
  progress?(): void;
  /** The end; called once, and nothing after it. */
  close(close: LinkClose): void;
}

export interface LinkOptions {
  readonly role: LinkRole;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Largest DATA chunk sent, bytes. */
  readonly chunkBytes?: number;
  readonly window?: CreditWindowOptions;
  /** DATA and DISK not yet `consumed`, at most; more than any honest sender's window. */
  readonly unconsumedBytesMax?: number;
  /** Time for the peer to end its half after ours ended, ms. */
  readonly endGraceMs?: number;
}

export interface LinkCounters {
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly framesSent: number;
  readonly framesReceived: number;
  readonly dataBytesReceived: number;
  readonly inFlightBytes: number;
  readonly windowBytes: number;
}

/** Small, because a heartbeat may have to wait for one chunk; large enough for GB/s. */
const chunkBytesDefault = 128 * 1024;
const unconsumedBytesMaxDefault = 16 * 1024 * 1024;
const endGraceMsDefault = 1000;
/**
 * Credit is reported at the end of a turn of the event loop, or at once when it comes to this much:
 * a frame of its own for every chunk would cost more than the chunk. Far below any window.
 */
const creditStepBytes = 128 * 1024;

const fromPrimary: ReadonlySet<MessageKind> = new Set([
  ...(['hello', 'config', 'data', 'epoch-end', 'disk', 'disk-end'] as const),
  ...(['compare', 'heartbeat', 'ask', 'goodbye', 'error'] as const),
]);
const fromBackup: ReadonlySet<MessageKind> = new Set([
  ...(['hello-accepted', 'hello-refused', 'ack', 'echo', 'credit', 'answer', 'digests'] as const),
  ...(['copy-lost', 'activated', 'goodbye', 'error', 'leaving', 'degraded', 'checked'] as const),
]);
const greetings: ReadonlySet<MessageKind> = new Set(['hello', 'hello-accepted', 'hello-refused']);

export class Link {
  readonly #input: Readable;
  readonly #stream: Writable;
  readonly #output: LinkOutput;
  readonly #options: LinkOptions;
  readonly #decoder = new FrameDecoder();
  #handlers: LinkHandlers | null = null;
  #close: LinkClose | null = null;
  #farewell: string | null = null;
  #closeDelivered = false;
  #draining = false;
  #cancelGrace: Cancel | null = null;
  readonly #ended: Promise<void>;
  #resolveEnded: () => void = () => {};
  #bytesReceived = 0;
  #framesReceived = 0;
  #dataBytesReceived = 0;
  #consumedBytes = 0;
  #creditedBytes = 0;
  #cancelCredit: Cancel | null = null;

  constructor(input: Readable, output: Writable, options: LinkOptions) {
    this.#input = input;
    this.#stream = output;
    this.#options = options;
    this.#output = new LinkOutput(output, {
      clock: options.clock,
      chunkBytes: options.chunkBytes ?? chunkBytesDefault,
      window: options.window ?? creditWindowDefaults,
    });
    this.#ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    input.on('data', (chunk: Buffer) => this.#onData(chunk));
    input.on('end', () => this.#onEnd());
    input.on('error', (error) => this.#onReset(error));
    input.on('close', () => this.#onReset(null));
    output.on('error', (error) => this.#onOutputError(error));
    // Nothing is read before somebody listens: messages cannot be lost between two listeners.
    input.pause();
  }

  /** Null while the link is open. */
  get closed(): LinkClose | null {
    return this.#close;
  }

  /** What the peer said last, if that came after we had closed the link; null: nothing. */
  get farewell(): string | null {
    return this.#farewell;
  }

  get counters(): LinkCounters {
    return {
      bytesSent: this.#output.bytesSent,
      bytesReceived: this.#bytesReceived,
      framesSent: this.#output.framesSent,
      framesReceived: this.#framesReceived,
      dataBytesReceived: this.#dataBytesReceived,
      inFlightBytes: this.#output.window.inFlightBytes,
      windowBytes: this.#output.window.windowBytes,
    };
  }

  /**
   * Who gets the events from now on; null holds everything back until somebody listens again. A
   * close that came in between is delivered then.
   */
  listen(handlers: LinkHandlers | null): void {
    this.#handlers = handlers;
    if (handlers === null) {
      this.#input.pause();
      return;
    }
    this.#drain();
    // A handler may have handed over, or stopped listening, while it was called.
    if (this.#close !== null) this.#deliverClose();
    else if (this.#handlers !== null && !this.#decoder.hasBytes) this.#input.resume();
  }

  /**
   * Sends a message ahead of all data. False when the link is closed (the close event says why).
   * A transport that takes nothing for `controlQueueMax` messages ends the link.
   */
  send(message: ControlMessage): boolean {
    if (this.#close !== null) return false;
    if (this.#output.queuedControl >= controlQueueMax) {
      this.#finish({ kind: 'reset', reason: 'the transport takes no bytes', error: null });
      return false;
    }
    return this.#output.send(message);
  }

  /** Sends the guest's configuration; behind data that was sent before it. */
  sendConfig(message: GuestConfig): Promise<boolean> {
    return this.#output.sendConfig(message);
  }

  /**
   * Sends bytes of the epoch's encoded stream, in pieces, as credit allows. Resolves to true
   * when all of them are with the transport (only then may the buffer be used again), to false when
   * the link closed before that.
   */
  sendData(epoch: number, bytes: Buffer): Promise<boolean> {
    return this.#output.sendData(epoch, bytes);
  }

  /** Sends bytes of what that disk has in the epoch, encoded. Resolves like `sendData`. */
  sendDisk(epoch: number, disk: number, bytes: Buffer): Promise<boolean> {
    return this.#output.sendDisk(epoch, disk, bytes);
  }

  /** Ends that disk's part of the epoch. Resolves like `sendData`. */
  endDisk(epoch: number, disk: number, digest: DiskEnd['digest']): Promise<boolean> {
    return this.#output.endDisk(epoch, disk, digest);
  }

  /** Ends the epoch: how much was sent of it is known here. Resolves like `sendData`. */
  endEpoch(epoch: number, pages: number, digest: EpochDigest): Promise<boolean> {
    return this.#output.endEpoch(epoch, pages, digest);
  }

  /**
   * Says that this many more bytes of DATA and DISK chunks are used up (written on, or stored
   * within a bound of their own); the peer may send as much again. Never calling it stops the
   * peer's data but not its heartbeats.
   */
  consumed(bytes: number): void {
    this.#consumedBytes += bytes;
    if (this.#consumedBytes > this.#dataBytesReceived) throw new Error('more consumed than came');
    const due = this.#consumedBytes - this.#creditedBytes;
    if (due >= creditStepBytes) this.#sendCredit();
    else this.#cancelCredit ??= this.#options.timers.soon(() => this.#sendCredit());
  }

  /** Ends the session because of an error; the peer is told. */
  fail(error: OperationError): void {
    if (this.#close !== null) return;
    const last: ControlMessage = {
      kind: 'error',
      code: error.code,
      text: error.message,
      hint: error.hint ?? null,
    };
    this.#finish({ kind: 'protocol', reason: error.message, error }, last);
  }

  /**
   * Says goodbye and ends. Messages sent before it go out, data that still waits does not. Resolves
   * when both halves are closed.
   */
  async close(reason: string): Promise<void> {
    if (this.#close === null) {
      this.#finish({ kind: 'local', reason, error: null }, { kind: 'goodbye', reason });
    }
    await this.#ended;
  }

  /** Ends at once and without a word. */
  destroy(reason: string): void {
    this.#finish({ kind: 'local', reason, error: null });
    this.#destroyStreams();
  }

  #onData(chunk: Buffer): void {
    // Node resumes the output of a process that has exited, whoever has paused it.
    if (this.#close === null && this.#handlers === null) {
      this.#input.pause();
      this.#input.unshift(chunk);
      return;
    }
    this.#bytesReceived += chunk.length;
    if (this.#close !== null) return this.#hearFarewell(chunk);
    this.#handlers?.bytes?.(chunk.length);
    this.#decoder.push(chunk);
    this.#drain();
  }

  /** We have ended; the peer's own last frame may still come, and says why it ends. */
  #hearFarewell(chunk: Buffer | null): void {
    if (this.#close?.kind !== 'local' || this.#farewell !== null) return;
    try {
      if (chunk !== null) this.#decoder.push(chunk);
      for (let frame = this.#decoder.next(); frame !== null; frame = this.#decoder.next()) {
        const message = decodeMessage(frame);
        if (message.kind === 'goodbye') this.#farewell = message.reason;
        if (message.kind === 'error') this.#farewell = message.text;
      }
    } catch (error) {
      // What is wrong there is nobody's affair any more.
      if (!(error instanceof OperationError)) throw error;
      this.#farewell = '';
    }
  }

  /** Delivers every whole frame that is here, while somebody listens. */
  #drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    try {
      while (this.#handlers !== null && this.#close === null) {
        const frame = this.#decoder.next();
        if (frame === null) break;
        const message = decodeMessage(frame);
        this.#check(message, frame.offset);
        this.#framesReceived += 1;
        this.#take(message);
      }
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      this.fail(error);
    } finally {
      this.#draining = false;
    }
  }

  #take(message: Message): void {
    if (message.kind === 'credit') {
      this.#output.window.onCredit(message.bytes, this.#options.clock.nowMs());
      this.#output.pump();
      this.#handlers?.progress?.();
      return;
    }
    if (message.kind === 'data' || message.kind === 'disk') this.#countData(message.chunk.length);
    this.#handlers?.message(message);
  }

  #check(message: Message, offset: number): void {
    const { role } = this.#options;
    const allowed = role === 'primary' ? fromBackup : fromPrimary;
    const first = this.#framesReceived === 0;
    let why: string | null = null;
    // Nobody but us says what we say: it comes back to us.
    if (first && role === 'primary' && message.kind === 'hello') throw terminalError(offset);
    if (!allowed.has(message.kind)) why = `not for the ${role}`;
    else if (first && !greetings.has(message.kind) && message.kind !== 'error') {
      why = 'the first frame must be HELLO';
    } else if (!first && greetings.has(message.kind)) why = 'only the first frame may be HELLO';
    if (why === null) return;
    throw new OperationError(
      'protocol',
      `protocol error at byte ${offset} of the stream: field type is ${message.kind}, ${why}`,
      { op: 'read-message', subject: 'type' },
    );
  }

  #countData(bytes: number): void {
    this.#dataBytesReceived += bytes;
    const unconsumed = this.#dataBytesReceived - this.#consumedBytes;
    const max = this.#options.unconsumedBytesMax ?? unconsumedBytesMaxDefault;
    if (unconsumed <= max) return;
    throw new OperationError(
      'protocol',
      `protocol error: ${unconsumed} bytes of data without credit, limit ${max}`,
      { op: 'read-message', subject: 'credit' },
    );
  }

  #sendCredit(): void {
    this.#cancelCredit?.();
    this.#cancelCredit = null;
    if (this.#consumedBytes === this.#creditedBytes || this.#close !== null) return;
    this.#creditedBytes = this.#consumedBytes;
    this.send({ kind: 'credit', bytes: this.#creditedBytes });
  }

  #onEnd(): void {
    const whole = this.#decoder.betweenFrames && !this.#decoder.hasBytes;
    const reason = whole ? 'the other side ended the link' : 'the link ended within a frame';
    this.#finish({ kind: 'eof', reason, error: null });
    this.#destroyStreams();
  }

  #onReset(error: Error | null): void {
    const reason = error === null ? 'the link was closed' : `the link was lost: ${why(error)}`;
    this.#finish({ kind: 'reset', reason, error: null });
    this.#destroyStreams();
  }

  /**
   * Our half is gone. The peer's last words (why it ended) may still be on their way, so its end is
   * awaited for a while.
   */
  #onOutputError(error: Error): void {
    this.#output.stop();
    if (this.#close === null) this.#startGrace(() => this.#onReset(error));
    else this.#destroyStreams();
  }

  #finish(close: LinkClose, last: ControlMessage | null = null): void {
    if (this.#close !== null) return;
    this.#close = close;
    // It may be here already, behind what this was decided by.
    this.#hearFarewell(null);
    this.#output.end(last);
    this.#startGrace(() => this.#destroyStreams());
    // From here on bytes are read only to find the end.
    this.#input.resume();
    this.#deliverClose();
  }

  #startGrace(run: () => void): void {
    this.#cancelGrace?.();
    const graceMs = this.#options.endGraceMs ?? endGraceMsDefault;
    this.#cancelGrace = this.#options.timers.after(graceMs, run);
  }

  #deliverClose(): void {
    if (this.#close === null || this.#handlers === null || this.#closeDelivered) return;
    this.#closeDelivered = true;
    this.#handlers.close(this.#close);
  }

  #destroyStreams(): void {
    this.#cancelGrace?.();
    this.#cancelGrace = null;
    this.#output.stop();
    this.#input.destroy();
    // What is still in the stream's buffer (the last words) goes out if the transport takes it.
    if (!this.#stream.writableEnded || this.#stream.writableFinished) this.#stream.destroy();
    else this.#startGrace(() => this.#stream.destroy());
    this.#resolveEnded();
  }
}

function why(error: Error): string {
  switch (errnoCode(error)) {
    case 'EPIPE':
      return 'the other side does not read any more';
    case 'ECONNRESET':
      return 'connection reset';
    default:
      return errorText(error);
  }
}
