/**
 * The backup's way from the link to one disk: what the memory's intake does, for what the disk has
 * in each epoch (I1 to I4 of intake.ts). The bytes are the driver's own; it checks them itself.
 */
import type { BackupDisk } from '../disk/port.ts';
import type { Timers } from '../host/clock.ts';
import { OperationError } from '../host/errors.ts';
import type { Compare, Digests, DiskEnd } from '../link/messages.ts';
import { type DiskAssembly, diskLimits, wireLimits } from './assembler.ts';
import type { StreamDecoder } from './codec/codec.ts';
import { type RawBuffers, StreamIntake } from './intake.ts';

/** Questions about one disk that wait at most; its end on the primary asks for four ahead. */
const comparesMax = 8;

/** Pieces of one disk that are given credit before they are decoded, bytes. */
export const diskWireBytesMax = 512 * 1024;

export interface DiskIntakeOptions {
  readonly timers: Timers;
  readonly disk: BackupDisk;
  readonly decoder: StreamDecoder;
  /** Those of the decoder. */
  readonly buffers: RawBuffers;
  /** So many bytes of pieces are used up. */
  readonly onConsumed: (bytes: number) => void;
  /** To a question of the primary's. */
  readonly onDigests: (answer: Pick<Digests, 'first' | 'digests'>) => void;
  /** What came is broken; nothing more is taken. Called once. */
  readonly onError: (error: OperationError) => void;
}

export class DiskIntake {
  readonly #intake: StreamIntake;
  readonly #decoder: StreamDecoder;
  readonly #disk: BackupDisk;
  readonly #options: Pick<DiskIntakeOptions, 'onDigests' | 'onError'>;
  #isBehind = false;
  #isClosed = false;
  /** Questions that have no answer, and the last of the answers. */
  #questions = 0;
  #answered: Promise<void> = Promise.resolve();
  /** Where the session's assembler hands over what is this disk's. */
  readonly assembly: DiskAssembly;

  constructor({ disk, buffers, ...options }: DiskIntakeOptions) {
    this.#decoder = options.decoder;
    this.#options = options;
    this.#disk = disk;
    let taken: Promise<void> = Promise.resolve();
    const sink = {
      feed(raw: Buffer, epoch: number) {
        taken = disk.take(epoch, raw);
        // Met where it is awaited.
        taken.catch(() => {});
      },
      room: () => {
        this.#isBehind = true;
        return taken.finally(() => {
          this.#isBehind = false;
        });
      },
      whole(epoch: number) {
        disk.end(epoch);
        return true;
      },
    };
    const limits = diskLimits;
    // The disk itself tells its session what is whole.
    const onWhole = () => {};
    const wireBytesMax = diskWireBytesMax;
    this.#intake = new StreamIntake({ ...options, limits, sink, onWhole, wireBytesMax }, buffers);
    this.assembly = {
      ...wireLimits(diskLimits),
      onChunk: (epoch, chunk) => this.#intake.piece(epoch, chunk),
      onEnd: (end) => this.#end(end),
    };
  }

  #end({ epoch, bytes, digest }: DiskEnd): void {
    const whole = { ...digest, cacheState: 0n };
    this.#intake.end({ kind: 'epoch-end', epoch, bytes, pages: 0, digest: whole });
  }

  /**
   * A question of the primary's: what these blocks hold. Answered in order, one at a time. Throws
   * OperationError('protocol') for more of them than a primary asks ahead.
   */
  compare({ first, count }: Pick<Compare, 'first' | 'count'>): void {
    if (this.#questions === comparesMax) {
      const text = `protocol error in compare: more than ${comparesMax} of ${this.#disk.name} wait`;
      throw new OperationError('protocol', text, { op: 'compare-disk', subject: 'count' });
    }
    this.#questions += 1;
    this.#answered = this.#answered.then(() => this.#answer(first, count));
  }

  /** Never rejects. */
  async #answer(first: number, count: number): Promise<void> {
    const { onDigests, onError } = this.#options;
    try {
      const digests = this.#isClosed ? null : await this.#disk.digests(first, count);
      this.#questions -= 1;
      if (digests !== null && !this.#isClosed) onDigests({ first, digests });
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      if (!this.#isClosed) onError(error);
    }
  }

  /** The disk that the primary waits for, by its name; null: it keeps up. */
  get behind(): string | null {
    return this.#isBehind ? this.#disk.name : null;
  }

  /** Decoded bytes since the session began. */
  get rawBytes(): number {
    return this.#intake.rawBytes;
  }

  /** Nothing more is taken. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#intake.stop();
    this.#decoder.close();
  }
}
