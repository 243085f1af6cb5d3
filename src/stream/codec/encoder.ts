/**
 * The primary's side of the page encoding. One foreign call per batch: it takes its turn for the
 * part that must be in order and compresses while the next one has its turn.
 */
import { OperationError } from '../../host/errors.ts';
import { batchHeaderBytes, batchKinds, encodedBytesMax, withPayload } from './batch.ts';
import {
  batchBytesMax,
  callsMax,
  type EncodedEpoch,
  type StreamCodecOptions,
  type StreamEncoder,
} from './codec.ts';
import { InOrder } from './in-order.ts';
import { codecError, NativeCodec, zstdLevel } from './native-codec.ts';

const outBytes = batchHeaderBytes + encodedBytesMax(batchBytesMax);

class NativeEncoder implements StreamEncoder {
  readonly #codec: NativeCodec;
  readonly #lane = new InOrder(callsMax);
  /** Buffers for native code to write into; results are copied out of them, being much smaller. */
  readonly #spare: Buffer[] = [];
  /** What zstd-codec made of the epoch's batches differs from what the native side counts. */
  #savedBytes = 0;

  constructor(codec: NativeCodec) {
    this.#codec = codec;
  }

  encode(raw: Buffer): Promise<Buffer> {
    if (raw.length === 0 || raw.length > batchBytesMax) {
      const message = `a batch of ${raw.length} bytes is not between 1 and ${batchBytesMax}`;
      return Promise.reject(new OperationError('limit', message, { op: 'encode-batch' }));
    }
    return this.#lane.run(() => this.#encode(raw));
  }

  async #encode(raw: Buffer): Promise<Buffer> {
    const out = this.#spare.pop() ?? Buffer.allocUnsafeSlow(outBytes);
    try {
      const length = await this.#codec.run(raw, out);
      const batch = Buffer.from(out.subarray(0, length));
      return await this.#compressed(batch);
    } catch (error) {
      throw codecError(error, 'encode-batch');
    } finally {
      this.#spare.push(out);
    }
  }

  /** The batch with zstd-codec's frame in it, where that is needed and smaller. */
  async #compressed(batch: Buffer): Promise<Buffer> {
    const { fallback } = this.#codec;
    if (fallback === null) return batch;
    const payload = batch.subarray(batchHeaderBytes);
    const frame = await fallback.compress(payload, zstdLevel);
    if (frame === null || frame.length >= payload.length) return batch;
    const sealed = withPayload(batch, batchKinds.zstd, frame);
    this.#codec.sealBatch(sealed);
    this.#savedBytes += batch.length - sealed.length;
    return sealed;
  }

  async endEpoch(): Promise<EncodedEpoch> {
    await this.#lane.idle();
    try {
      const epoch = this.#codec.endEpoch();
      const wireBytes = epoch.wireBytes - this.#savedBytes;
      this.#savedBytes = 0;
      return { ...epoch, wireBytes };
    } catch (error) {
      throw codecError(error, 'end-epoch');
    }
  }

  close(): void {
    this.#codec.close();
  }
}

/**
 * Opens an encoder. Rejects with an OperationError: `limit` (cacheBytes), `not-built` (the native
 * library is missing, or neither libzstd nor zstd-codec is there).
 */
export async function openStreamEncoder(options: StreamCodecOptions): Promise<StreamEncoder> {
  return new NativeEncoder(await NativeCodec.open(false, options));
}
