/**
 * The backup's way from the link to the copy: pieces are decoded in order and off this thread, what
 * they hold is checked and stored; an epoch is whole when its end agrees with all of that.
 *
 *   I1  what waits to be decoded is at most `wireBytesMax` and what the link lets through without
 *       credit: its window
 *   I2  beyond that credit is given when what a piece holds is stored, and that waits for room: so
 *       the primary slows down to the pace of the builder, when that is behind, and only then
 *   I3  no epoch grows beyond its stated maximum when decoded
 *   I4  after an error nothing more is taken
 */

import { pendingMaxMax } from '../core/limits.ts';
import { nextTurn, type Timers } from '../host/clock.ts';
import { OperationError } from '../host/errors.ts';
import type { EpochEnd } from '../link/messages.ts';
import type { EpochLimits } from './assembler.ts';
import { batchBytesMax, type StreamDecoder } from './codec/codec.ts';

/** Where raw bytes go: a Copy. */
export interface IntakeSink {
  /**
   * Takes a copy of the bytes. Throws OperationError('protocol') when they do not continue the
   * stream.
   */
  feed(raw: Buffer, epoch: number): void;
  /** Resolves when more may be taken. */
  room(): Promise<void>;
  /**
   * All of the epoch was taken; false: by a copy that is ending and keeps nothing, so that the
   * epoch does not count. Throws OperationError('protocol') when it is torn.
   */
  whole(epoch: number): boolean;
}

export interface IntakeOptions {
  readonly timers: Timers;
  readonly limits: EpochLimits;
  readonly decoder: StreamDecoder;
  readonly sink: IntakeSink;
  /** Absent: as much as is good for the memory. */
  readonly wireBytesMax?: number;
  /** So many bytes of pieces are used up. */
  readonly onConsumed: (bytes: number) => void;
  readonly onWhole: (epoch: number) => void;
  /** The stream is broken; nothing more is taken. Called once. */
  readonly onError: (error: OperationError) => void;
}

type Item =
  | { readonly kind: 'piece'; readonly epoch: number; readonly wire: Buffer }
  | { readonly kind: 'end'; readonly end: EpochEnd };

/**
 * Pieces that are given credit before they are decoded, bytes: some batches of the worst kind, so
 * that the decoder always has work although credit has a way to go.
 */
export const wireBytesMax = 4 * 1024 * 1024;

/** Pieces being decoded at a time: some batches, so that every core has one. */
const piecesMax = 8;

/** Buffers that batches are decoded into, used again: what is taken is copied. */
export class RawBuffers {
  readonly #free: Buffer[] = [];

  readonly allocate = (bytes: number): Buffer => {
    return (this.#free.pop() ?? Buffer.allocUnsafeSlow(batchBytesMax)).subarray(0, bytes);
  };

  release(raw: Buffer): void {
    this.#free.push(Buffer.from(raw.buffer));
  }
}

export class StreamIntake {
  readonly #options: IntakeOptions;
  readonly #buffers: RawBuffers;
  readonly #items: Item[] = [];
  readonly #decoding = new Set<Promise<void>>();
  /** All that was taken up to now. */
  #stored: Promise<void> = Promise.resolve();
  #cameBytes = 0;
  #storedBytes = 0;
  #creditedBytes = 0;
  #ends = 0;
  #busy = false;
  #stopped = false;
  #epochBytes = 0;
  #rawBytes = 0;

  /** `buffers` are those that the decoder was opened with. */
  constructor(options: IntakeOptions, buffers: RawBuffers) {
    this.#options = options;
    this.#buffers = buffers;
  }

  /** Decoded bytes since the session began. */
  get rawBytes(): number {
    return this.#rawBytes;
  }

  /** A piece of the epoch, as it came. */
  piece(epoch: number, wire: Buffer): void {
    if (this.#stopped) return;
    this.#cameBytes += wire.length;
    this.#push({ kind: 'piece', epoch, wire });
    this.#giveCredit();
  }

  #giveCredit(): void {
    const ahead = this.#options.wireBytesMax ?? wireBytesMax;
    const due = Math.min(this.#cameBytes, this.#storedBytes + ahead) - this.#creditedBytes;
    if (due <= 0) return;
    this.#creditedBytes += due;
    this.#options.onConsumed(due);
  }

  /** All pieces of the epoch are here. Throws OperationError('protocol') for more than can be. */
  end(end: EpochEnd): void {
    this.#ends += 1;
    if (this.#ends > pendingMaxMax) {
      const message = `protocol error in epoch-end: more than ${pendingMaxMax} epochs in flight`;
      throw new OperationError('protocol', message, { op: 'read-stream', subject: 'epoch' });
    }
    this.#push({ kind: 'end', end });
  }

  /** Nothing more is taken. */
  stop(): void {
    this.#stopped = true;
    this.#items.length = 0;
  }

  #push(item: Item): void {
    if (this.#stopped) return;
    this.#items.push(item);
    if (!this.#busy) void this.#run();
  }

  async #run(): Promise<void> {
    this.#busy = true;
    for (let item = this.#items.shift(); item !== undefined; item = this.#items.shift()) {
      if (item.kind === 'piece') {
        if (this.#decoding.size >= piecesMax) await Promise.race(this.#decoding);
        if (!this.#stopped) this.#decode(item.epoch, item.wire);
      } else {
        // The decoder must not see the next epoch before this one is closed.
        await Promise.all(this.#decoding);
        await this.#guarded(this.#close(item.end));
      }
    }
    this.#busy = false;
  }

  #decode(epoch: number, wire: Buffer): void {
    const decoded = this.#options.decoder.decode(wire, (raw) => this.#take(epoch, raw));
    // In order: a piece that ends within a batch is decoded while those before it still wait.
    const stored = Promise.all([this.#stored, decoded]).then(() => {
      this.#storedBytes += wire.length;
      this.#giveCredit();
    });
    const done = this.#guarded(stored);
    this.#stored = done;
    this.#decoding.add(done);
    void done.then(() => this.#decoding.delete(done));
  }

  async #take(epoch: number, raw: Buffer): Promise<void> {
    if (this.#stopped) return;
    const { sink, timers } = this.#options;
    this.#count(epoch, raw.length);
    sink.feed(raw, epoch);
    this.#buffers.release(raw);
    await sink.room();
    // Heartbeats are answered between two batches, however many a piece holds.
    await nextTurn(timers);
  }

  #count(epoch: number, bytes: number): void {
    const { seedBytesMax, epochBytesMax } = this.#options.limits;
    const max = epoch === 0 ? seedBytesMax : epochBytesMax;
    this.#rawBytes += bytes;
    this.#epochBytes += bytes;
    if (this.#epochBytes <= max) return;
    const message = `epoch ${epoch} decodes to more than ${max} bytes, the limit for this guest`;
    throw new OperationError('limit', message, { op: 'read-stream', subject: `${epoch}` });
  }

  async #close({ epoch, digest }: EpochEnd): Promise<void> {
    const { decoder, sink, onWhole } = this.#options;
    if (this.#stopped) return;
    await decoder.endEpoch(digest);
    const counts = sink.whole(epoch);
    this.#ends -= 1;
    this.#epochBytes = 0;
    if (counts) onWhole(epoch);
  }

  /** Settles when the work has; a failure of the stream goes to `onError`, others pass through. */
  async #guarded(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      if (this.#stopped) return;
      this.stop();
      if (!(error instanceof OperationError)) throw error;
      this.#options.onError(error);
    }
  }
}
