/**
 * The backup's side of DATA, DISK and their ends: pieces in, whole and checked epochs out.
 *
 *   A1  epochs come in order, 0, 1, 2, ..., each with one end, before it one of each disk
 *   A2  an epoch is handed over only when its length is what the primary sent; every piece was
 *       checked with its frame, and what the pieces decode to is checked behind this (intake.ts)
 *   A3  no epoch grows beyond its stated maximum
 *
 * Pieces pass through as they come, so that they can be checked and stored while the rest is on its
 * way; an epoch's end says whether what passed was right, and until then nothing may be made of it.
 */
import { diskEpochBytesMax } from '../core/limits.ts';
import { OperationError } from '../host/errors.ts';
import type { DiskEnd, EpochEnd, Message } from '../link/messages.ts';

export interface EpochLimits {
  readonly seedBytesMax: number;
  readonly epochBytesMax: number;
}

export interface EpochAssemblerOptions extends EpochLimits {
  /** A piece of an epoch, in order. */
  readonly onChunk: (epoch: number, chunk: Buffer) => void;
  /** All pieces of an epoch are here, and were handed on before. */
  readonly onEpoch: (end: EpochEnd) => void;
  readonly disks?: readonly DiskAssembly[];
}

/** The same for one disk. */
export interface DiskAssembly extends EpochLimits {
  readonly onChunk: (epoch: number, chunk: Buffer) => void;
  readonly onEnd: (end: DiskEnd) => void;
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

/**
 * Of a disk. Its first copy has no bound: nothing of it is kept, and how long it takes is for the
 * guest to say, which writes meanwhile.
 */
export const diskLimits: EpochLimits = {
  seedBytesMax: Number.MAX_SAFE_INTEGER,
  epochBytesMax: diskEpochBytesMax,
};

type DataMessage = Extract<Message, { kind: 'data' }>;
type DiskMessage = Extract<Message, { kind: 'disk' }>;

interface OpenDisk {
  readonly disk: DiskAssembly;
  /** Of the epoch that is awaited. */
  bytes: number;
  isEnded: boolean;
}

export class EpochAssembler {
  readonly #options: EpochAssemblerOptions;
  readonly #disks: OpenDisk[];
  #epoch = 0;
  #bytes = 0;

  constructor(options: EpochAssemblerOptions) {
    this.#options = options;
    this.#disks = (options.disks ?? []).map((disk) => ({ disk, bytes: 0, isEnded: false }));
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
    checkSize('', epoch, bytes, this.#options);
    this.#bytes = bytes;
    this.#options.onChunk(epoch, chunk);
  }

  /** The same of a disk's. */
  onDisk({ epoch, disk, chunk }: DiskMessage): void {
    const open = this.#openDisk('disk', epoch, disk);
    const bytes = open.bytes + chunk.length;
    checkSize(`disk ${disk} in `, epoch, bytes, open.disk);
    open.bytes = bytes;
    open.disk.onChunk(epoch, chunk);
  }

  onDiskEnd(end: DiskEnd): void {
    const open = this.#openDisk('disk-end', end.epoch, end.disk);
    if (end.bytes !== open.bytes) throw wrong('disk-end', 'bytes', end.bytes, `${open.bytes} came`);
    open.isEnded = true;
    open.disk.onEnd(end);
  }

  #openDisk(kind: string, epoch: number, number: number): OpenDisk {
    this.#checkEpoch(kind, epoch);
    const open = this.#disks[number];
    if (open === undefined) throw wrong(kind, 'disk', number, `there are ${this.#disks.length}`);
    if (open.isEnded) throw wrong(kind, 'disk', number, `it has ended epoch ${epoch}`);
    return open;
  }

  /** Checks the epoch and hands it over; throws an OperationError `protocol` (A1, A2). */
  onEpochEnd(end: EpochEnd): void {
    const { epoch, bytes } = end;
    this.#checkEpoch('epoch-end', epoch);
    if (bytes === 0) throw wrong('epoch-end', 'bytes', bytes, 'an epoch is never empty');
    if (bytes !== this.#bytes) throw wrong('epoch-end', 'bytes', bytes, `${this.#bytes} came`);
    const late = this.#disks.findIndex(({ isEnded }) => !isEnded);
    if (late >= 0) throw wrong('epoch-end', 'epoch', epoch, `disk ${late} has not ended it`);
    this.#epoch += 1;
    this.#bytes = 0;
    for (const open of this.#disks) Object.assign(open, { bytes: 0, isEnded: false });
    this.#options.onEpoch(end);
  }

  #checkEpoch(kind: string, epoch: number): void {
    if (epoch !== this.#epoch) throw wrong(kind, 'epoch', epoch, `must be ${this.#epoch}`);
  }
}

function checkSize(what: string, epoch: number, bytes: number, limits: EpochLimits): void {
  const max = epoch === 0 ? limits.seedBytesMax : limits.epochBytesMax;
  if (bytes <= max) return;
  const message = `${what}epoch ${epoch} is larger than ${max} bytes, the limit for this guest`;
  throw new OperationError('limit', message, { op: 'assemble-epoch', subject: `${epoch}` });
}

function wrong(kind: string, field: string, value: number, rule: string): OperationError {
  return new OperationError(
    'protocol',
    `protocol error in ${kind}: field ${field} is ${value}, ${rule}`,
    { op: 'assemble-epoch', subject: field },
  );
}
