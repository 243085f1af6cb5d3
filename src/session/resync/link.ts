/**
 * The primary's end of a link that carries disks alone. Either side says every second that it is
 * there; whoever says nothing for long is given up. Nobody goes on by that: no copy of the guest
 * is at the other end, and the guest here does not depend on this.
 */
import { resyncBeatMs, resyncSilenceMsMax } from '../../core/limits.ts';
import { type Cancel, every, type Time } from '../../host/clock.ts';
import { OperationError } from '../../host/errors.ts';
import { type Message, peerError } from '../../link/messages.ts';
import type { BackupConnection } from '../primary/protection.ts';

export interface DisksLinkOptions {
  readonly host: string;
  readonly connection: BackupConnection;
  /** A line to type when the link is lost. */
  readonly hint: string;
  /** DIGESTS, and ACK. */
  readonly onMessage: (message: Message) => void;
}

export class DisksLink {
  readonly #time: Time;
  readonly #options: DisksLinkOptions;
  readonly #stopBeating: Cancel;
  #heardMs: number;
  #seq = 0;
  #fail: (error: unknown) => void = () => {};
  /** Rejects when nothing more will come. */
  readonly failed: Promise<never>;

  /** Listens from now on. */
  constructor(time: Time, options: DisksLinkOptions) {
    this.#time = time;
    this.#options = options;
    this.#heardMs = time.clock.nowMs();
    this.failed = new Promise((_resolve, reject) => {
      this.#fail = reject;
    });
    // Met where it is awaited.
    this.failed.catch(() => {});
    this.#stopBeating = every(time.timers, resyncBeatMs, () => this.#beat());
    options.connection.link.listen({
      bytes: () => {
        this.#heardMs = time.clock.nowMs();
      },
      message: (message) => this.#onMessage(message),
      close: ({ reason, error }) => this.fail(error ?? this.#lost(reason)),
    });
  }

  /** Ends it: `failed` rejects with this. */
  fail(error: unknown): void {
    this.#fail(error);
  }

  /** Nothing more is said. */
  stop(): void {
    this.#stopBeating();
  }

  #lost(reason: string): OperationError {
    const { host, hint } = this.#options;
    const text = `the link to ${host} was lost: ${reason}`;
    return new OperationError('peer-unreachable', text, { op: 'copy-disks', subject: host, hint });
  }

  #beat(): void {
    this.#seq += 1;
    this.#options.connection.link.send({ kind: 'heartbeat', seq: this.#seq, heldMs: 0 });
    const silentMs = this.#time.clock.nowMs() - this.#heardMs;
    if (silentMs < resyncSilenceMsMax) return;
    // What came while this process stood still is read first.
    this.#time.timers.soon(() => {
      if (this.#time.clock.nowMs() - this.#heardMs < resyncSilenceMsMax) return;
      this.fail(this.#lost(`it has said nothing for ${Math.round(silentMs / 1_000)} s`));
    });
  }

  #onMessage(message: Message): void {
    const { host, connection, onMessage } = this.#options;
    switch (message.kind) {
      case 'echo':
        return;
      case 'digests':
      case 'ack':
        return onMessage(message);
      case 'error':
        return this.fail(peerError(host, message, (line) => connection.there(line)));
      case 'goodbye':
        return this.fail(this.#lost(message.reason));
      default:
        throw new OperationError('protocol', `${message.kind} while disks are copied`, {
          op: 'read-message',
        });
    }
  }
}
