/**
 * The backup's way from the link to one disk: what the memory's intake does, for what the disk has
 * in each epoch (I1 to I4 of intake.ts). The bytes are the driver's own; it checks them itself.
 */
import type { BackupDisk } from '../disk/port.ts';
import type { Timers } from '../host/clock.ts';
import type { OperationError } from '../host/errors.ts';
import type { Digests, DiskEnd } from '../link/messages.ts';
import { type DiskAssembly, diskLimits, wireLimits } from './assembler.ts';
import type { StreamDecoder } from './codec/codec.ts';
import { DiskQuestions } from './disk-questions.ts';
import { type RawBuffers, StreamIntake } from './intake.ts';

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
  #isBehind = false;
  /** Of the primary's, about what the disk holds. */
  readonly questions: DiskQuestions;
  /** Where the session's assembler hands over what is this disk's. */
  readonly assembly: DiskAssembly;

  constructor({ disk, buffers, ...options }: DiskIntakeOptions) {
    this.#decoder = options.decoder;
    this.questions = new DiskQuestions({ disk, ...options });
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
    this.questions.close();
    this.#intake.stop();
    this.#decoder.close();
  }
}
