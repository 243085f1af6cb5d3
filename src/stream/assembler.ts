/**
 * The backup's side of DATA and EPOCH_END: pieces in, whole and checked epochs out.
 *
 *   A1  epochs come in order, 0, 1, 2, ..., each with one end
 *   A2  an epoch is handed over only when its length is what the primary sent; every piece was
 *       checked with its frame, and what the pieces decode to is checked behind this (intake.ts)
 *   A3  no epoch grows beyond its stated maximum
 *
 * Pieces pass through as they come, so that they can be checked and stored while the rest is on its
 * way; an epoch's end says whether what passed was right, and until then nothing may be made of it.
 */
import { OperationError } from '../host/errors.ts';
import type { EpochEnd, Message } from '../link/messages.ts';

export interface EpochLimits {
  readonly seedBytesMax: number;
  readonly epochBytesMax: number;
}

export interface EpochAssemblerOptions extends EpochLimits {
  /** A piece of an epoch, in order. */
  readonly onChunk: (epoch: number, chunk: Buffer) => void;
  /** All pieces of an epoch are here, and were handed on before. */
  readonly onEpoch: (end: EpochEnd) => void;
}

const mib = 1024 * 1024;

/**
 * What a guest of this size can need. An epoch: every page once, with 1/32 for record headers and
 * page numbers, and 16 MiB for everything that is not memory. The seed: libxc sends at most 5
 * rounds and one more while the guest is suspended (xg_sr_save.c, SPP_MAX_ITERATIONS); doubled.
 */
export function epochLimits(memoryBytes: number): EpochLimits {
  const epochBytesMax = memoryBytes + Math.ceil(memoryBytes / 32) + 16 * mib;
  return { epochBytesMax, seedBytesMax: 12 * epochBytesMax };
}

/** Of the same epochs when they are encoded: what does not shrink grows by less than a 256th. */
export function wireLimits({ seedBytesMax, epochBytesMax }: EpochLimits): EpochLimits {
  const grown = (bytes: number) => bytes + Math.ceil(bytes / 256) + mib;
  return { seedBytesMax: grown(seedBytesMax), epochBytesMax: grown(epochBytesMax) };
}

type DataMessage = Extract<Message, { kind: 'data' }>;

export class EpochAssembler {
  readonly #options: EpochAssemblerOptions;
  #epoch = 0;
  #bytes = 0;

  constructor(options: EpochAssemblerOptions) {
    this.#options = options;
  }

  /** The epoch whose pieces are awaited. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Bytes of that epoch that are here. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a piece; throws an OperationError `protocol` (A1) or `limit` (A3). */
  onData({ epoch, chunk }: DataMessage): void {
    this.#checkEpoch('data', epoch);
    const bytes = this.#bytes + chunk.length;
    const max = epoch === 0 ? this.#options.seedBytesMax : this.#options.epochBytesMax;
    if (bytes > max) {
      const message = `epoch ${epoch} is larger than ${max} bytes, the limit for this guest`;
      throw new OperationError('limit', message, { op: 'assemble-epoch', subject: `${epoch}` });
    }
    this.#bytes = bytes;
    this.#options.onChunk(epoch, chunk);
  }

  /** Checks the epoch and hands it over; throws an OperationError `protocol` (A1, A2). */
  onEpochEnd(end: EpochEnd): void {
    const { epoch, bytes } = end;
    this.#checkEpoch('epoch-end', epoch);
    if (bytes === 0) throw wrong('epoch-end', 'bytes', bytes, 'an epoch is never empty');
    if (bytes !== this.#bytes) throw wrong('epoch-end', 'bytes', bytes, `${this.#bytes} came`);
    this.#epoch += 1;
    this.#bytes = 0;
    this.#options.onEpoch(end);
  }

  #checkEpoch(kind: string, epoch: number): void {
    if (epoch !== this.#epoch) throw wrong(kind, 'epoch', epoch, `must be ${this.#epoch}`);
  }
}

function wrong(kind: string, field: string, value: number, rule: string): OperationError {
  return new OperationError(
    'protocol',
    `protocol error in ${kind}: field ${field} is ${value}, ${rule}`,
    { op: 'assemble-epoch', subject: field },
  );
}
