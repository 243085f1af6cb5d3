/**
 * What encoder and decoder share: the native codec behind its handle, tickets, errors, and which
 * zstd does the work.
 */

import { constants } from 'node:os';
import { adviceLine } from '../../core/texts/advice.ts';
import { errorText, type OperationCode, OperationError } from '../../host/errors.ts';
import { CodecLibrary, codecFlags } from '../../native/codec.ts';
import { NativeError } from '../../native/loader.ts';
import { XenLibrary } from '../../native/xen.ts';
import { openZstdCodec, type ZstdCodec } from '../../native/zstd-codec.ts';
import { cacheBytesMax, type EncodedEpoch, type StreamCodecOptions } from './codec.ts';

/** zstd's level. */
export const zstdLevel = 1;
const digestBytes = 88;

const { errno } = constants;
/** ESHUTDOWN, which node:os does not name. */
const eshutdown = 108;

const codeOf: Readonly<Record<number, OperationCode>> = {
  [errno.EPROTO]: 'protocol',
  [errno.EMSGSIZE]: 'limit',
  [errno.ENOMEM]: 'limit',
  [errno.EINVAL]: 'limit',
  [errno.ENOSYS]: 'not-built',
  [errno.ENOENT]: 'not-built',
  [eshutdown]: 'aborted',
};

/** A failure of native code as an OperationError; anything else passes through. */
export function codecError(cause: unknown, op: string): unknown {
  if (!(cause instanceof NativeError) || cause.errno === null) return cause;
  const code = codeOf[cause.errno] ?? 'protocol';
  const text = code === 'protocol' ? `cannot ${op.replace('-', ' ')}: ${cause.message}` : null;
  return new OperationError(code, text ?? cause.message, { op, cause });
}

interface Libraries {
  readonly codec: CodecLibrary;
  /** Knows the format of the streams. */
  readonly xen: XenLibrary;
}

/** By their paths; a process has one. */
const opened = new Map<string | undefined, Libraries>();

/** One for all codecs: every bound function costs milliseconds. */
function nativeLibraries(path?: string): Libraries {
  try {
    const libraries = opened.get(path) ?? {
      codec: new CodecLibrary(path),
      xen: new XenLibrary(path),
    };
    opened.set(path, libraries);
    return libraries;
  } catch (error) {
    throw new OperationError('not-built', `cannot load the native library: ${errorText(error)}`, {
      op: 'open-codec',
      hint: adviceLine({ kind: 'build-native' }),
      cause: error,
    });
  }
}

export class NativeCodec {
  /** Does zstd where the native codec does not; null: it does, or none is wanted. */
  readonly fallback: ZstdCodec | null;
  readonly #library: CodecLibrary;
  readonly #handle: number;
  #ticket = 0;
  #open = true;

  private constructor(library: CodecLibrary, fallback: ZstdCodec | null, handle: number) {
    this.#library = library;
    this.fallback = fallback;
    this.#handle = handle;
  }

  /** See openStreamEncoder for the errors. */
  static async open(decode: boolean, options: StreamCodecOptions): Promise<NativeCodec> {
    const { codec, cacheBytes } = options;
    if (!Number.isSafeInteger(cacheBytes) || cacheBytes < 0 || cacheBytes > cacheBytesMax) {
      const message = `a page cache of ${cacheBytes} bytes is not between 0 and ${cacheBytesMax}`;
      throw new OperationError('limit', message, { op: 'open-codec' });
    }
    const { codec: library, xen } = nativeLibraries(options.nativePath);
    const plain = codec === 'none';
    const byItself = options.zstd !== 'wasm' && library.codecHasZstd();
    if (options.zstd === 'libzstd' && !byItself) {
      throw new OperationError('not-built', 'libzstd.so.1 is not there', {
        op: 'open-codec',
        hint: adviceLine({ kind: 'install-packages', packages: ['libzstd1'], why: null }),
      });
    }
    const fallback = plain || byItself ? null : await openFallback();
    let flags = decode ? codecFlags.decode : 0;
    if (!plain && byItself && !decode) flags |= codecFlags.zstd;
    const pages = plain || options.form === 'bytes' ? null : xen.streamNew();
    const stream = !plain && options.form === 'bytes' ? 'bytes' : pages;
    try {
      const handle = library.codecNew(stream, flags, cacheBytes, zstdLevel);
      return new NativeCodec(library, fallback, handle);
    } catch (error) {
      fallback?.close();
      throw codecError(error, 'open-codec');
    } finally {
      if (pages !== null) xen.streamFree(pages);
    }
  }

  /** One batch, in the order of the calls; how many bytes of `out` were written. */
  run(input: Buffer, out: Buffer): Promise<number> {
    if (!this.#open) return Promise.reject(closedError());
    const ticket = this.#ticket;
    this.#ticket += 1;
    return this.#library.codecRun(this.#handle, ticket, input, out);
  }

  /** Throws NativeError when the batch is not one, or is damaged. */
  checkBatch(batch: Buffer): void {
    this.#library.batchCheck(batch);
  }

  /** Writes the batch's length and checksum into its header. */
  sealBatch(batch: Buffer): void {
    this.#library.batchSeal(batch);
  }

  endEpoch(): EncodedEpoch {
    if (!this.#open) throw closedError();
    const digest = Buffer.alloc(digestBytes);
    this.#library.codecEnd(this.#handle, digest);
    const at = (index: number) => digest.readBigUInt64LE(8 * index);
    const count = (index: number) => Number(at(index));
    return {
      rawBytes: count(0),
      checksum: at(1),
      cacheState: at(2),
      pages: { same: count(3), zero: count(4), delta: count(5), copy: count(6) },
      encodedBytes: count(7),
      wireBytes: count(8),
      cachedPages: count(9),
      evictions: count(10),
    };
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#library.codecFree(this.#handle);
    this.fallback?.close();
  }
}

export function closedError(): OperationError {
  return new OperationError('aborted', 'the encoding has ended', { op: 'codec' });
}

async function openFallback(): Promise<ZstdCodec> {
  try {
    return await openZstdCodec();
  } catch (error) {
    const message = `there is no libzstd.so.1, and zstd-codec does not work: ${errorText(error)}`;
    throw new OperationError('not-built', message, {
      op: 'open-codec',
      hint: adviceLine({ kind: 'install-packages', packages: ['libzstd1'], why: null }),
      cause: error,
    });
  }
}
