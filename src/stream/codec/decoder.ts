/** The backup's side of the page encoding. */
import { OperationError } from '../../host/errors.ts';
import type { ZstdCodec } from '../../native/zstd-codec.ts';
import {
  BatchCutter,
  batchHeaderBytes,
  batchKinds,
  readBatchHeader,
  withPayload,
} from './batch.ts';
import {
  callsMax,
  type EpochDigest,
  type StreamDecoder,
  type StreamDecoderOptions,
} from './codec.ts';
import { InOrder } from './in-order.ts';
import { codecError, NativeCodec } from './native-codec.ts';

type OnRaw = (raw: Buffer) => void | Promise<void>;

class NativeDecoder implements StreamDecoder {
  readonly #codec: NativeCodec;
  readonly #allocate: (bytes: number) => Buffer;
  readonly #cutter = new BatchCutter();
  readonly #lane = new InOrder(callsMax);
  readonly #unpacking = new InOrder(callsMax);
  /** The first failure: what came after it cannot be decoded. */
  #failure: { readonly error: unknown } | null = null;
  /** The raw bytes handed over last. */
  #delivered: Promise<void> = Promise.resolve();

  constructor(codec: NativeCodec, allocate: (bytes: number) => Buffer) {
    this.#codec = codec;
    this.#allocate = allocate;
  }

  async decode(wire: Buffer, onRaw: OnRaw): Promise<void> {
    if (this.#failure !== null) throw this.#failure.error;
    let batches: Buffer[];
    try {
      batches = this.#cutter.push(wire);
    } catch (error) {
      // What came before is still handed over.
      await this.#delivered.catch(() => undefined);
      throw this.#fail(error);
    }
    await Promise.all(batches.map((batch) => this.#take(batch, onRaw)));
  }

  /** Decodes and hands over one batch; the lane is not free again before that. */
  #take(batch: Buffer, onRaw: OnRaw): Promise<void> {
    const before = this.#delivered;
    const taken = this.#lane.run(async () => {
      const decoded = this.#decode(batch);
      // A batch that fails while an earlier one is being handed over is reported in its turn.
      decoded.catch(() => undefined);
      await before;
      if (this.#failure !== null) throw this.#failure.error;
      await onRaw(await decoded);
    });
    this.#delivered = taken.catch((error) => {
      throw this.#fail(error);
    });
    this.#delivered.catch(() => undefined);
    return this.#delivered;
  }

  #fail(error: unknown): unknown {
    this.#failure ??= { error: codecError(error, 'decode-batch') };
    return this.#failure.error;
  }

  async #decode(batch: Buffer): Promise<Buffer> {
    const { rawBytes } = readBatchHeader(batch);
    const raw = this.#allocate(rawBytes);
    const { fallback } = this.#codec;
    const input = fallback === null ? batch : await this.#unpacked(batch, fallback);
    await this.#codec.run(input, raw);
    return raw;
  }

  /** Batches come out of zstd-codec in their order, those that need it not among them. */
  #unpacked(batch: Buffer, fallback: ZstdCodec): Promise<Buffer> {
    return this.#unpacking.run(() => this.#decompressed(batch, fallback));
  }

  async endEpoch(expected: EpochDigest): Promise<void> {
    await this.#delivered.catch(() => undefined);
    if (this.#failure !== null) throw this.#failure.error;
    if (this.#cutter.pendingBytes > 0) {
      throw this.#fail(
        differs('the last batch', `${this.#cutter.pendingBytes} bytes of it came`, 'it is torn'),
      );
    }
    try {
      const found = this.#codec.endEpoch();
      compare('raw length', found.rawBytes, expected.rawBytes);
      compare('checksum', found.checksum, expected.checksum);
      compare('cache state', found.cacheState, expected.cacheState);
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /** The batch with its payload unpacked by zstd-codec, where native code cannot do that. */
  async #decompressed(batch: Buffer, fallback: ZstdCodec): Promise<Buffer> {
    const { encodedBytes, kind } = readBatchHeader(batch);
    if (kind !== batchKinds.zstd) return batch;
    this.#codec.checkBatch(batch);
    const encoded = await fallback.decompress(batch.subarray(batchHeaderBytes), encodedBytes);
    if (encoded === null || encoded.length !== encodedBytes) {
      throw differs('a batch', 'its length', 'it does not decompress to what it says');
    }
    const unpacked = withPayload(batch, batchKinds.pages, encoded);
    this.#codec.sealBatch(unpacked);
    return unpacked;
  }

  close(): void {
    this.#codec.close();
  }
}

function differs(what: string, value: string, rule: string): OperationError {
  return new OperationError('protocol', `protocol error in ${what}: ${value}, ${rule}`, {
    op: 'decode-batch',
  });
}

function compare<T extends number | bigint>(what: string, found: T, expected: T): void {
  if (found === expected) return;
  const message =
    `protocol error at the end of an epoch: the ${what} is ${found} here` +
    ` and ${expected} on the primary`;
  throw new OperationError('protocol', message, { op: 'end-epoch', subject: what });
}

/** Opens a decoder; rejects as openStreamEncoder does. */
export async function openStreamDecoder(options: StreamDecoderOptions): Promise<StreamDecoder> {
  const allocate = options.allocate ?? ((bytes: number) => Buffer.allocUnsafeSlow(bytes));
  return new NativeDecoder(await NativeCodec.open(true, options), allocate);
}
