/**
 * The sending half of a link: what goes next, and when.
 *
 * Exactly one write is handed to the stream at a time, and the next is chosen when it is through.
 * So a heartbeat overtakes all data that is still here; what is already on its way is bounded by
 * credit. Sequence numbers are given when a frame is written, not when it is queued.
 */
import type { Writable } from 'node:stream';
import type { Clock } from '../host/clock.ts';
import type { GuestConfig } from './config-message.ts';
import { CreditWindow, type CreditWindowOptions } from './credit-window.ts';
import { encodeFrame, nextSequence } from './frame.ts';
import {
  type DiskEnd,
  type EpochDigest,
  encodeBody,
  frameKindOf,
  type Message,
} from './messages.ts';

/** What does not wait behind data. */
export type ControlMessage = Exclude<
  Message,
  { kind: 'data' | 'epoch-end' | 'disk' | 'disk-end' | 'config' }
>;

/** Only the newest of these says anything, so a queued one is replaced. */
const cumulative: ReadonlySet<Message['kind']> = new Set(['heartbeat', 'echo', 'credit']);

/** Control messages that may wait for a stream that takes nothing. */
export const controlQueueMax = 1024;
/** Calls of `sendData`, `sendDisk`, their ends and `sendConfig` that may wait. */
export const dataQueueMax = 64;

type Settle = (sent: boolean) => void;

/** Bytes that go in chunks. */
interface Pieces {
  readonly kind: 'pieces';
  readonly epoch: number;
  /** Of a disk; null: of the checkpoint stream. */
  readonly disk: number | null;
  readonly bytes: Buffer;
  readonly settle: Settle;
}

type DataItem =
  | Pieces
  | {
      readonly kind: 'disk-end';
      readonly epoch: number;
      readonly disk: number;
      readonly digest: DiskEnd['digest'];
      readonly settle: Settle;
    }
  | {
      readonly kind: 'end';
      readonly epoch: number;
      readonly pages: number;
      readonly digest: EpochDigest;
      readonly settle: Settle;
    }
  | { readonly kind: 'config'; readonly message: GuestConfig; readonly settle: Settle };

export interface LinkOutputOptions {
  readonly clock: Clock;
  readonly chunkBytes: number;
  readonly window: CreditWindowOptions;
}

/** The epoch that is being sent; its totals go into EPOCH_END and each DISK_END. */
interface OpenEpoch {
  readonly epoch: number;
  bytes: number;
  readonly diskBytes: Map<number, number>;
}

export class LinkOutput {
  readonly #stream: Writable;
  readonly #clock: Clock;
  readonly #chunkBytes: number;
  readonly window: CreditWindow;
  readonly #control: ControlMessage[] = [];
  readonly #data: DataItem[] = [];
  /** Bytes of the first data item that are already sent. */
  #dataAt = 0;
  #open: OpenEpoch | null = null;
  #sequence = 0;
  #writing = false;
  #closed = false;
  bytesSent = 0;
  framesSent = 0;

  constructor(stream: Writable, options: LinkOutputOptions) {
    this.#stream = stream;
    this.#clock = options.clock;
    this.#chunkBytes = options.chunkBytes;
    this.window = new CreditWindow(options.window);
  }

  get queuedControl(): number {
    return this.#control.length;
  }

  /** Queues a message ahead of all data. False when the link is closed. */
  send(message: ControlMessage): boolean {
    if (this.#closed) return false;
    if (cumulative.has(message.kind)) {
      const at = this.#control.findIndex((queued) => queued.kind === message.kind);
      if (at >= 0) this.#control.splice(at, 1);
    }
    this.#control.push(message);
    this.pump();
    return true;
  }

  sendData(epoch: number, bytes: Buffer): Promise<boolean> {
    if (bytes.length === 0) return Promise.resolve(!this.#closed);
    return this.#queue((settle) => ({ kind: 'pieces', epoch, disk: null, bytes, settle }));
  }

  sendDisk(epoch: number, disk: number, bytes: Buffer): Promise<boolean> {
    if (bytes.length === 0) return Promise.resolve(!this.#closed);
    return this.#queue((settle) => ({ kind: 'pieces', epoch, disk, bytes, settle }));
  }

  endDisk(epoch: number, disk: number, digest: DiskEnd['digest']): Promise<boolean> {
    return this.#queue((settle) => ({ kind: 'disk-end', epoch, disk, digest, settle }));
  }

  endEpoch(epoch: number, pages: number, digest: EpochDigest): Promise<boolean> {
    return this.#queue((settle) => ({ kind: 'end', epoch, pages, digest, settle }));
  }

  sendConfig(message: GuestConfig): Promise<boolean> {
    return this.#queue((settle) => ({ kind: 'config', message, settle }));
  }

  #queue(make: (settle: Settle) => DataItem): Promise<boolean> {
    if (this.#closed) return Promise.resolve(false);
    if (this.#data.length >= dataQueueMax) throw new Error('too much queued: await sendData');
    return new Promise((settle) => {
      this.#data.push(make(settle));
      this.pump();
    });
  }

  /** Drops queued data, writes queued control messages and the last words, ends the stream. */
  end(last: ControlMessage | null): void {
    if (this.#closed) return;
    const words = this.#control.splice(0);
    if (last !== null) words.push(last);
    this.#drop();
    for (const message of words) this.#stream.write(this.#encode(message));
    this.#stream.end();
  }

  /** Drops what is queued; nothing is written any more. */
  stop(): void {
    if (!this.#closed) this.#drop();
  }

  #drop(): void {
    this.#closed = true;
    this.#control.length = 0;
    for (const item of this.#data.splice(0)) item.settle(false);
  }

  /** Writes whatever may go now; called again by itself whenever a write is through. */
  pump(): void {
    while (!this.#closed && !this.#writing) {
      const message = this.#control.shift();
      if (message !== undefined) this.#write(this.#encode(message));
      else if (!this.#writeData()) return;
    }
  }

  #encode(message: Message, tail?: Buffer): Buffer {
    const head = encodeFrame(frameKindOf(message), this.#sequence, encodeBody(message), tail);
    this.#sequence = nextSequence(this.#sequence);
    this.framesSent += 1;
    this.bytesSent += head.length + (tail?.length ?? 0);
    return head;
  }

  #write(head: Buffer, tail?: Buffer, settle?: Settle): void {
    this.#writing = true;
    const written = (error?: Error | null) => {
      this.#writing = false;
      settle?.(!error && !this.#closed);
      if (!error) this.pump();
    };
    if (tail === undefined) {
      this.#stream.write(head, written);
      return;
    }
    this.#stream.cork();
    this.#stream.write(head);
    this.#stream.write(tail, written);
    this.#stream.uncork();
  }

  /** Writes the next piece of data; false when there is none or no credit for it. */
  #writeData(): boolean {
    const item = this.#data[0];
    if (item === undefined) return false;
    if (item.kind === 'pieces') return this.#writeChunk(item);
    this.#data.shift();
    if (item.kind === 'config') {
      this.#write(this.#encode(item.message), undefined, item.settle);
      return true;
    }
    const { bytes, diskBytes } = this.#openEpoch(item.epoch);
    if (item.kind === 'disk-end') {
      const { epoch, disk, digest } = item;
      const sent = { epoch, disk, bytes: diskBytes.get(disk) ?? 0, digest };
      this.#write(this.#encode({ kind: 'disk-end', ...sent }), undefined, item.settle);
      return true;
    }
    this.#open = null;
    const { epoch, pages, digest } = item;
    const end = this.#encode({ kind: 'epoch-end', epoch, bytes, pages, digest });
    this.#write(end, undefined, item.settle);
    return true;
  }

  #writeChunk({ epoch, disk, bytes, settle }: Pieces): boolean {
    const chunk = bytes.subarray(this.#dataAt, this.#dataAt + this.#chunkBytes);
    if (!this.window.canSend(chunk.length)) return false;
    const open = this.#openEpoch(epoch);
    if (disk === null) open.bytes += chunk.length;
    else open.diskBytes.set(disk, (open.diskBytes.get(disk) ?? 0) + chunk.length);
    this.window.onSent(chunk.length, this.#clock.nowMs());
    this.#dataAt += chunk.length;
    const last = this.#dataAt === bytes.length;
    if (last) {
      this.#data.shift();
      this.#dataAt = 0;
    }
    const message: Message =
      disk === null ? { kind: 'data', epoch, chunk } : { kind: 'disk', epoch, disk, chunk };
    const head = this.#encode(message, chunk);
    this.#write(head, chunk, last ? settle : undefined);
    return true;
  }

  #openEpoch(epoch: number): OpenEpoch {
    this.#open ??= { epoch, bytes: 0, diskBytes: new Map() };
    if (this.#open.epoch !== epoch) {
      throw new Error(`epoch ${epoch} is sent before the end of epoch ${this.#open.epoch}`);
    }
    return this.#open;
  }
}
