/**
 * The header of a batch (struct tsr_batch_header of native/include/tsremus.h), as far as it is
 * needed to find batches in a byte stream. Fields are compared with their limits here, before
 * anything is allocated; the checksum is compared in native code.
 */
import { OperationError } from '../../host/errors.ts';
import { batchBytesMax } from './codec.ts';

export const batchHeaderBytes = 32;
const magic = 0x62725354;
const version = 1;

export const batchKinds = { plain: 0, pages: 1, zstd: 2 } as const;

export interface BatchHeader {
  readonly kind: number;
  readonly rawBytes: number;
  readonly encodedBytes: number;
  readonly payloadBytes: number;
}

/** An encoded batch of `rawBytes` has at most so many (TSR_BATCH_ENCODED_MAX). */
export function encodedBytesMax(rawBytes: number): number {
  return rawBytes + Math.floor(rawBytes / 512) + 64;
}

function wrong(field: string, value: number, rule: string): OperationError {
  return new OperationError(
    'protocol',
    `protocol error in a batch: field ${field} is ${value}, ${rule}`,
    { op: 'decode-batch', subject: field },
  );
}

function tooLong(field: string, value: number, max: number): OperationError {
  return new OperationError(
    'limit',
    `protocol error in a batch: field ${field} is ${value}, at most ${max} is allowed`,
    { op: 'decode-batch', subject: field },
  );
}

/** Reads 32 bytes; throws an OperationError `protocol` or `limit`. */
export function readBatchHeader(bytes: Buffer): BatchHeader {
  const found = bytes.readUInt32LE(0);
  if (found !== magic) throw wrong('magic', found, `must be ${magic}`);
  const foundVersion = bytes.readUInt8(4);
  if (foundVersion !== version) throw wrong('version', foundVersion, `must be ${version}`);
  const kind = bytes.readUInt8(5);
  if (kind > batchKinds.zstd) throw wrong('kind', kind, 'which is not known');
  const rawBytes = bytes.readUInt32LE(8);
  const encodedBytes = bytes.readUInt32LE(12);
  const payloadBytes = bytes.readUInt32LE(16);
  if (rawBytes === 0) throw wrong('raw_size', rawBytes, 'a batch is never empty');
  if (rawBytes > batchBytesMax) throw tooLong('raw_size', rawBytes, batchBytesMax);
  const encodedMax = encodedBytesMax(rawBytes);
  if (encodedBytes > encodedMax) throw tooLong('encoded_size', encodedBytes, encodedMax);
  if (payloadBytes > encodedBytes) throw tooLong('payload_size', payloadBytes, encodedBytes);
  return { kind, rawBytes, encodedBytes, payloadBytes };
}

/** The batch with another kind and payload; its check is not valid yet. */
export function withPayload(batch: Buffer, kind: number, payload: Buffer): Buffer {
  const changed = Buffer.allocUnsafe(batchHeaderBytes + payload.length);
  batch.copy(changed, 0, 0, batchHeaderBytes);
  changed.writeUInt8(kind, 5);
  changed.writeUInt32LE(payload.length, 16);
  payload.copy(changed, batchHeaderBytes);
  return changed;
}

/** Finds the batches in a byte stream that is cut anywhere. */
export class BatchCutter {
  readonly #header = Buffer.alloc(batchHeaderBytes);
  /** The batch under way: its header at first, then all of it. */
  #batch: Buffer = this.#header;
  #have = 0;

  /** Bytes of a batch that is not whole yet. */
  get pendingBytes(): number {
    return this.#have;
  }

  /**
   * Takes bytes, returns the batches that are whole now. They may be views of `wire`; what is not
   * whole is copied. Throws an OperationError `protocol` or `limit`.
   */
  push(wire: Buffer): Buffer[] {
    const batches: Buffer[] = [];
    let at = 0;
    while (at < wire.length) {
      const whole = this.#have === 0 ? wholeBatchAt(wire, at) : null;
      if (whole !== null) {
        batches.push(whole);
        at += whole.length;
        continue;
      }
      at += this.#collect(wire, at);
      if (this.#have < this.#batch.length) continue;
      if (this.#batch === this.#header) this.#startBody();
      if (this.#have < this.#batch.length) continue;
      batches.push(this.#batch);
      this.#batch = this.#header;
      this.#have = 0;
    }
    return batches;
  }

  #collect(wire: Buffer, at: number): number {
    const copied = wire.copy(this.#batch, this.#have, at);
    this.#have += copied;
    return copied;
  }

  #startBody(): void {
    const { payloadBytes } = readBatchHeader(this.#header);
    this.#batch = Buffer.allocUnsafe(batchHeaderBytes + payloadBytes);
    this.#header.copy(this.#batch);
  }
}

function wholeBatchAt(wire: Buffer, at: number): Buffer | null {
  if (wire.length - at < batchHeaderBytes) return null;
  const { payloadBytes } = readBatchHeader(wire.subarray(at, at + batchHeaderBytes));
  const end = at + batchHeaderBytes + payloadBytes;
  return end <= wire.length ? wire.subarray(at, end) : null;
}
