/**
 * Typed wrapper of native/codec/codec.h: the page encoding. Nothing here decides; failures are
 * NativeErrors (loader.ts).
 */
import type { CType } from './ffi.ts';
import { NativeRoom } from './loader.ts';

const signatures = {
  tsr_codec_has_zstd: [],
  tsr_codec_new: ['int', 'uint32', 'uint64', 'int'],
  tsr_codec_run: ['int', 'uint64', 'pointer', 'size_t', 'pointer', 'size_t'],
  tsr_codec_end: ['int', 'pointer'],
  tsr_codec_free: ['int'],
  tsr_batch_seal: ['pointer', 'size_t'],
  tsr_batch_check: ['pointer', 'size_t'],
} as const satisfies Record<string, readonly CType[]>;

/** TSR_CODEC_BYTES */
const anyBytes = -2;

/** enum tsr_codec_flags */
export const codecFlags = { decode: 1, zstd: 2 } as const;

export class CodecLibrary {
  readonly #room: NativeRoom<keyof typeof signatures>;

  /** `path`: of libtsremus, where it is not beside us. */
  constructor(path?: string) {
    this.#room = new NativeRoom(signatures, path);
  }

  /** True: libzstd is there, and encoders and decoders use it by themselves. */
  codecHasZstd(): boolean {
    return this.#room.fn('tsr_codec_has_zstd').call() === 1;
  }

  /**
   * `stream`: a handle of any stream of the format (XenLibrary.streamNew), which may be freed at
   * once; 'bytes': what has no pages; null: no pages are looked for. `flags` as in `codecFlags`.
   */
  codecNew(
    stream: number | 'bytes' | null,
    flags: number,
    cacheBytes: number,
    level: number,
  ): number {
    const fn = this.#room.fn('tsr_codec_new');
    const format = stream === 'bytes' ? anyBytes : (stream ?? -1);
    return this.#room.checked('codec', fn.call(format, flags, cacheBytes, level));
  }

  /** Off this thread; how many bytes of `out` were written. See tsr_codec_run for `ticket`. */
  async codecRun(handle: number, ticket: number, input: Buffer, out: Buffer): Promise<number> {
    const fn = this.#room.fn('tsr_codec_run');
    const code = await fn.callAsync(handle, ticket, input, input.length, out, out.length);
    return this.#room.checked('codec', code, handle);
  }

  /** struct tsr_codec_digest into `digest` (88 bytes). */
  codecEnd(handle: number, digest: Buffer): void {
    this.#room.checked('codec', this.#room.fn('tsr_codec_end').call(handle, digest), handle);
  }

  codecFree(handle: number): void {
    this.#room.fn('tsr_codec_free').call(handle);
  }

  batchSeal(batch: Buffer): void {
    this.#room.checked('batch', this.#room.fn('tsr_batch_seal').call(batch, batch.length));
  }

  /** Throws NativeError if a batch's header or checksum is wrong. */
  batchCheck(batch: Buffer): void {
    this.#room.checked('batch', this.#room.fn('tsr_batch_check').call(batch, batch.length));
  }
}
