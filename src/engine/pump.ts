/**
 * Moves the checkpoint stream from the save operation into the link, one chunk at a time, and
 * closes each epoch with its length and checksum. The link's credit sets the pace.
 */
import type { SaveOperation } from '../xen/hypervisor.ts';

/** One foreign call per megabyte; the link cuts it into frames between which heartbeats fit. */
export const chunkBytes = 1024 * 1024;

export interface EpochEnd {
  readonly epoch: number;
  readonly bytes: number;
  readonly pages: number;
}

/** Where the stream goes: the data half of a Link. False: the link is closed. */
export interface PumpSink {
  sendData(epoch: number, bytes: Buffer): Promise<boolean>;
  endEpoch(epoch: number, pages: number): Promise<boolean>;
}

export class EpochPump {
  readonly #save: SaveOperation;
  readonly #sink: PumpSink;
  readonly #onSent: (epoch: number, bytes: number) => void;
  readonly #onError: (error: unknown) => void;
  readonly #buffer = Buffer.allocUnsafe(chunkBytes);
  readonly #ends = new Map<number, EpochEnd>();
  #epoch = 0;
  #epochBytes = 0;
  #totalBytes = 0;
  #busy = false;
  #again = false;
  #stopped = false;

  constructor(
    save: SaveOperation,
    sink: PumpSink,
    onSent: (epoch: number, bytes: number) => void,
    onError: (error: unknown) => void,
  ) {
    this.#save = save;
    this.#sink = sink;
    this.#onSent = onSent;
    this.#onError = onError;
  }

  /** Bytes moved since the session began. */
  get totalBytes(): number {
    return this.#totalBytes;
  }

  /** Something may be there to read. */
  wake(): void {
    this.#again = true;
    if (!this.#busy) void this.#run();
  }

  /** The epoch is drained: its end follows its last byte. */
  epochEnd(end: EpochEnd): void {
    this.#ends.set(end.epoch, end);
    this.wake();
  }

  /** Nothing more is read or sent. */
  stop(): void {
    this.#stopped = true;
  }

  async #run(): Promise<void> {
    this.#busy = true;
    try {
      while (this.#again && !this.#stopped) {
        this.#again = false;
        await this.#drain();
      }
    } catch (error) {
      this.#stopped = true;
      this.#onError(error);
    } finally {
      this.#busy = false;
    }
  }

  async #drain(): Promise<void> {
    while (!this.#stopped) {
      const count = this.#save.read(this.#buffer);
      if (count > 0) {
        this.#epochBytes += count;
        this.#totalBytes += count;
        // One buffer is enough: it is free again when the link has handed it on.
        const open = await this.#sink.sendData(this.#epoch, this.#buffer.subarray(0, count));
        if (!open) return this.stop();
      }
      const end = this.#ends.get(this.#epoch);
      if (end !== undefined && end.bytes === this.#epochBytes) await this.#close(end);
      else if (count === 0) return;
    }
  }

  async #close(end: EpochEnd): Promise<void> {
    this.#ends.delete(end.epoch);
    this.#epoch = end.epoch + 1;
    this.#epochBytes = 0;
    // Before the end goes out: from then on the backup may have the epoch whole.
    this.#onSent(end.epoch, end.bytes);
    if (this.#stopped) return;
    if (!(await this.#sink.endEpoch(end.epoch, end.pages))) this.stop();
  }
}
