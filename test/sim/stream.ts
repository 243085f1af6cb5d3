/**
 * The checkpoint stream of the simulator: records of 48 bytes, so many to an epoch, each with the
 * content that the epoch's end has. And the codec: it changes nothing, and checks everything.
 */
import { OperationError } from '../../src/host/errors.ts';
import type { EncodedEpoch, StreamDecoder, StreamEncoder } from '../../src/stream/codec/codec.ts';

export const recordBytes = 48;

export interface StreamRecord {
  readonly epoch: number;
  readonly index: number;
  /** Of the epoch. */
  readonly count: number;
  readonly memory: number;
  readonly disk: number;
}

export function encodeRecord({ epoch, index, count, memory, disk }: StreamRecord): Buffer {
  const bytes = Buffer.alloc(recordBytes);
  bytes.writeUInt32LE(epoch, 0);
  bytes.writeUInt32LE(index, 4);
  bytes.writeUInt32LE(count, 8);
  bytes.writeDoubleLE(memory, 16);
  bytes.writeDoubleLE(disk, 24);
  return bytes;
}

export function decodeRecord(bytes: Buffer): StreamRecord {
  return {
    epoch: bytes.readUInt32LE(0),
    index: bytes.readUInt32LE(4),
    count: bytes.readUInt32LE(8),
    memory: bytes.readDoubleLE(16),
    disk: bytes.readDoubleLE(24),
  };
}

/** Every byte counts, and its place. */
class Sum {
  #sum = 7n;
  #bytes = 0;

  add(bytes: Buffer): void {
    for (const byte of bytes) this.#sum = (this.#sum * 31n + BigInt(byte)) & 0xffff_ffffn;
    this.#bytes += bytes.length;
  }

  take(): { readonly checksum: bigint; readonly rawBytes: number } {
    const taken = { checksum: this.#sum, rawBytes: this.#bytes };
    this.#sum = 7n;
    this.#bytes = 0;
    return taken;
  }
}

const noPages = { same: 0, zero: 0, delta: 0, copy: 0 };

export function simEncoder(): StreamEncoder {
  const sum = new Sum();
  return {
    async encode(raw) {
      sum.add(raw);
      return Buffer.from(raw);
    },
    async endEpoch(): Promise<EncodedEpoch> {
      const { checksum, rawBytes } = sum.take();
      const sizes = { encodedBytes: rawBytes, wireBytes: rawBytes };
      const cache = { cacheState: 0n, cachedPages: 0, evictions: 0 };
      return { checksum, rawBytes, pages: noPages, ...sizes, ...cache };
    },
    close() {},
  };
}

export function simDecoder(allocate: (bytes: number) => Buffer): StreamDecoder {
  const sum = new Sum();
  return {
    async decode(wire, onRaw) {
      sum.add(wire);
      const raw = allocate(wire.length);
      wire.copy(raw);
      await onRaw(raw);
    },
    async endEpoch(expected) {
      const { checksum, rawBytes } = sum.take();
      if (checksum === expected.checksum && rawBytes === expected.rawBytes) return;
      throw new OperationError('protocol', 'the epoch has another checksum', { op: 'decode' });
    },
    close() {},
  };
}
