/**
 * Moves the checkpoint stream from the save operation through the encoder into the link, and closes
 * each epoch with what the backup must find at its end.
 *
 *   U1  at most `slots` batches are between the save operation and the transport, each with a raw
 *       and an encoded megabyte; whatever else waits, waits in the save operation within its limit
 *   U2  the end of an epoch follows its last byte, and `onSent` comes before it can leave
 *   U3  after `stop` nothing is handed to the link, so an unfinished epoch never becomes whole
 *   U4  the end of an epoch follows those of its other parts, the disks
 *
 * While the link takes one batch, others are being encoded and the next one is read: the epoch that
 * the guest is in drains while the one before is encoded and sent. Only at an epoch's end does the
 * encoder run empty for a moment, because its state there goes into the end.
 */

import type { Clock } from '../host/clock.ts';
import type { SaveOperation } from '../hypervisor/port.ts';
import type { EpochDigest } from '../link/messages.ts';
import { batchBytesMax, callsMax, type PageCounts, type StreamEncoder } from './codec/codec.ts';

/** An epoch that the guest has left behind: it runs again, and the stream holds all of it. */
export interface DrainedEpoch {
  readonly epoch: number;
  readonly bytes: number;
  readonly pages: number;
}

/** An epoch whose end was handed to the transport. */
export interface SentEpoch {
  readonly epoch: number;
  readonly rawBytes: number;
  readonly wireBytes: number;
  readonly pages: PageCounts;
  /** From the first batch that went into the encoder until the last came out of it. */
  readonly encodeMs: number;
  /** From the first byte that went into the link until the end was with the transport. */
  readonly transferMs: number;
}

/** Where the stream goes: the data half of a Link. False: the link is closed. */
export interface PumpSink {
  sendData(epoch: number, bytes: Buffer): Promise<boolean>;
  endEpoch(epoch: number, pages: number, digest: EpochDigest): Promise<boolean>;
}

/** What else an epoch has, and sends over the same link: a DiskPump. */
export interface OtherParts {
  /** Resolves when all of the epoch has left; to false when that will never be. */
  left(epoch: number): Promise<boolean>;
  /** The end of the epoch before was handed to the link. */
  begin(epoch: number): void;
}

export interface PumpOptions {
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly save: SaveOperation;
  readonly encoder: StreamEncoder;
  readonly sink: PumpSink;
  readonly parts: OtherParts;
  /** The end of the epoch is about to leave. */
  readonly onSent: (epoch: number) => void;
  /** The end of the epoch left. */
  readonly onFigures: (sent: SentEpoch) => void;
  readonly onError: (error: unknown) => void;
}

/** One more than are being encoded at a time: that one is being sent. */
const slots = callsMax + 1;

interface Batch {
  readonly kind: 'batch';
  readonly buffer: Buffer;
  readonly encoded: Promise<Buffer>;
}

type Job =
  | Batch
  | {
      readonly kind: 'end';
      readonly end: DrainedEpoch;
      readonly closed: ReturnType<StreamEncoder['endEpoch']>;
      readonly encodeMs: number;
    };

export class EpochPump {
  readonly #options: PumpOptions;
  readonly #free: Buffer[] = [];
  #made = 0;
  readonly #jobs: Job[] = [];
  readonly #ends = new Map<number, DrainedEpoch>();
  #epoch = 0;
  #epochBytes = 0;
  #filling: Buffer | null = null;
  #filled = 0;
  #encodeFromMs: number | null = null;
  #rawBytes = 0;
  #wireBytes = 0;
  #reading = false;
  #again = false;
  #sending = false;
  #sendFromMs: number | null = null;
  #sendingEpoch = 0;
  #stopped = false;

  constructor(options: PumpOptions) {
    this.#options = options;
  }

  #now(): number {
    return this.#options.clock.nowMs();
  }

  /** Raw bytes taken from the save operation since the session began. */
  get rawBytes(): number {
    return this.#rawBytes;
  }

  /** Encoded bytes that went into the link since the session began. */
  get wireBytes(): number {
    return this.#wireBytes;
  }

  /** Something may be there to read. */
  wake(): void {
    this.#again = true;
    if (!this.#reading) void this.#guarded(() => this.#read());
  }

  /** The epoch is drained: its end follows its last byte. */
  epochEnd(end: DrainedEpoch): void {
    this.#ends.set(end.epoch, end);
    this.wake();
  }

  /** Nothing more is read or sent. */
  stop(): void {
    this.#stopped = true;
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (this.#stopped) return;
      this.#stopped = true;
      this.#options.onError(error);
    }
  }

  async #read(): Promise<void> {
    this.#reading = true;
    try {
      while (this.#again && !this.#stopped) {
        this.#again = false;
        for (;;) {
          // Before anything is read: its end may have come when no buffer was free, and by the
          // time that one is, the bytes of the next epoch may be there.
          const end = this.#endReached();
          if (end !== null) await this.#close(end);
          else if (!this.#readSome()) break;
          if (this.#stopped) return;
        }
      }
    } finally {
      this.#reading = false;
    }
  }

  /** Fills the buffer at hand; false: nothing to read, or no buffer (a sent one wakes us). */
  #readSome(): boolean {
    const buffer = this.#filling ?? this.#takeBuffer();
    if (buffer === null) return false;
    this.#filling = buffer;
    const count = this.#options.save.read(buffer.subarray(this.#filled));
    this.#filled += count;
    this.#epochBytes += count;
    this.#rawBytes += count;
    if (this.#filled === buffer.length) this.#encode();
    return count > 0;
  }

  #takeBuffer(): Buffer | null {
    const buffer = this.#free.pop();
    if (buffer !== undefined) return buffer;
    if (this.#made === slots) return null;
    this.#made += 1;
    return Buffer.allocUnsafeSlow(batchBytesMax);
  }

  #endReached(): DrainedEpoch | null {
    const end = this.#ends.get(this.#epoch);
    return end?.bytes === this.#epochBytes ? end : null;
  }

  /** Hands the buffer at hand to the encoder. */
  #encode(): void {
    const buffer = this.#filling;
    if (buffer === null || this.#filled === 0) return;
    this.#encodeFromMs ??= this.#now();
    const encoded = this.#options.encoder.encode(buffer.subarray(0, this.#filled));
    // Its failure is met where it is awaited.
    encoded.catch(() => {});
    this.#filling = null;
    this.#filled = 0;
    this.#push({ kind: 'batch', buffer, encoded });
  }

  async #close(end: DrainedEpoch): Promise<void> {
    this.#encode();
    this.#ends.delete(end.epoch);
    this.#epoch = end.epoch + 1;
    this.#epochBytes = 0;
    const closed = this.#options.encoder.endEpoch();
    // The next epoch must not reach the encoder before this one is closed.
    await closed;
    const encodeMs = this.#now() - (this.#encodeFromMs ?? this.#now());
    this.#encodeFromMs = null;
    this.#push({ kind: 'end', end, closed, encodeMs });
  }

  #push(job: Job): void {
    this.#jobs.push(job);
    if (!this.#sending) void this.#guarded(() => this.#send());
  }

  async #send(): Promise<void> {
    this.#sending = true;
    try {
      for (let job = this.#jobs.shift(); job !== undefined; job = this.#jobs.shift()) {
        const open = job.kind === 'batch' ? await this.#sendBatch(job) : await this.#sendEnd(job);
        if (!open) this.stop();
        if (this.#stopped) return;
      }
    } finally {
      this.#sending = false;
    }
  }

  async #sendBatch({ buffer, encoded }: Batch): Promise<boolean> {
    const wire = await encoded;
    if (this.#stopped) return false;
    this.#sendFromMs ??= this.#now();
    const open = await this.#options.sink.sendData(this.#sendingEpoch, wire);
    this.#wireBytes += wire.length;
    this.#free.push(buffer);
    this.wake();
    return open;
  }

  async #sendEnd(job: Extract<Job, { kind: 'end' }>): Promise<boolean> {
    const { end, encodeMs } = job;
    const { sink, parts, onSent, onFigures } = this.#options;
    const { rawBytes, checksum, cacheState, pages, wireBytes } = await job.closed;
    if (!(await parts.left(end.epoch)) || this.#stopped) return false;
    // Before the end goes out: from then on the backup may have the epoch whole.
    onSent(end.epoch);
    // The machine may have ended the session upon that.
    if (this.#stopped) return false;
    const digest = { rawBytes, checksum, cacheState };
    const left = sink.endEpoch(end.epoch, end.pages, digest);
    parts.begin(end.epoch + 1);
    const open = await left;
    const transferMs = this.#now() - (this.#sendFromMs ?? this.#now());
    this.#sendFromMs = null;
    this.#sendingEpoch = end.epoch + 1;
    if (open) onFigures({ epoch: end.epoch, rawBytes, wireBytes, pages, encodeMs, transferMs });
    return open;
  }
}
