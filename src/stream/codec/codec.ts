/**
 * The page encoding of a session's checkpoint stream: what a session sees of it. Opened by
 * openStreamEncoder (encoder.ts) and openStreamDecoder (decoder.ts).
 *
 * The encoder turns the raw stream into batches, a byte stream of its own that may be cut anywhere
 * on its way; the decoder finds the batches again and gives back the raw stream, byte for byte.
 * The format of a batch is described in native/codec/codec.h.
 *
 *   C1  what was decoded is what was encoded: length and checksum of the raw stream prove it
 *   C2  both caches went through the same: `cacheState` proves it at the end of each epoch
 *   C3  every length is compared with its limit before anything is allocated for it
 *   C4  at most `callsMax` batches are being worked on at a time, the rest waits its turn
 */
import { availableParallelism } from 'node:os';

/** Raw bytes in one batch, at most (TSR_BATCH_RAW_MAX). */
export const batchBytesMax = 1 << 20;

/** The most that `batchBytesMax` raw bytes can be on the wire: 32 of header, then the bound. */
export const batchWireBytesMax = 32 + batchBytesMax + batchBytesMax / 512 + 64;

/** The largest page cache: TSR_CACHE_BYTES_MAX. */
export const cacheBytesMax = 2 ** 40;

/** `none`: the raw bytes with checksums (`-u`). `zstd`: pages against a cache, then zstd. */
export const codecNames = ['zstd', 'none'] as const;

export type CodecName = (typeof codecNames)[number];

/** Pages of an epoch by what became of them. */
export interface PageCounts {
  /** Unchanged since last sent: one byte. */
  readonly same: number;
  readonly zero: number;
  /** As the difference to the copy last sent. */
  readonly delta: number;
  /** As they are. */
  readonly copy: number;
}

/** What both sides must find at the end of an epoch. */
export interface EpochDigest {
  readonly rawBytes: number;
  /** Of the raw bytes of the epoch; 64 bits. */
  readonly checksum: bigint;
  /** Of everything that happened to the page cache in the session; 64 bits; 0 with `none`. */
  readonly cacheState: bigint;
}

export interface EncodedEpoch extends EpochDigest {
  /** All zero with `none`, which does not look. */
  readonly pages: PageCounts;
  /** Bytes after the page encoding, before zstd. */
  readonly encodedBytes: number;
  readonly wireBytes: number;
  /** Pages in the cache now, and pages that had to leave it in the whole session. */
  readonly cachedPages: number;
  readonly evictions: number;
}

/** Encodes the raw checkpoint stream of one session, in order, off the main thread. */
export interface StreamEncoder {
  /**
   * Raw bytes of the stream (any cut, 1 to `batchBytesMax`) -> wire bytes of one batch, at most
   * `batchWireBytesMax`. Batches of a whole MiB compress best. Calls may overlap; results resolve
   * in call order. The caller keeps `raw` untouched until then. Rejects with an OperationError
   * `protocol` (not a checkpoint stream) or `limit`; all later calls do then as well.
   */
  encode(raw: Buffer): Promise<Buffer>;
  /** Closes the epoch: waits for all its encode(). */
  endEpoch(): Promise<EncodedEpoch>;
  /** Frees everything; calls under way reject with `aborted`. */
  close(): void;
}

export interface StreamDecoder {
  /**
   * Wire bytes as they come (any cut: batches may be torn across calls). `onRaw` gets the raw
   * bytes, in order, a batch at a time; the next one waits until it is done, so that a few bytes
   * that decode to gigabytes take no more memory than `onRaw` keeps. The caller keeps `wire`
   * untouched until the promise settles. Calls may overlap. Rejects with an OperationError
   * `protocol` or `limit`, or what `onRaw` threw; all later calls do then as well.
   */
  decode(wire: Buffer, onRaw: (raw: Buffer) => void | Promise<void>): Promise<void>;
  /** Rejects with an OperationError `protocol` that names what differs. */
  endEpoch(expected: EpochDigest): Promise<void>;
  close(): void;
}

export interface StreamCodecOptions {
  readonly codec: CodecName;
  /** Bytes of the page cache, the same on both sides; 0: none. Taken as pages fill it. */
  readonly cacheBytes: number;
  /** What has no pages to be found, as the writes to a disk; absent: a checkpoint stream. */
  readonly form?: 'bytes' | undefined;
  /** Which zstd: libzstd where it is, else zstd-codec's WebAssembly. They make the same format. */
  readonly zstd?: 'libzstd' | 'wasm' | undefined;
  /** Of libtsremus, where it is not beside us. */
  readonly nativePath?: string | undefined;
}

export interface StreamDecoderOptions extends StreamCodecOptions {
  /** A buffer of `bytes` bytes for `onRaw`, say from a pool; by default a new one each time. */
  readonly allocate?: (bytes: number) => Buffer;
}

/**
 * Calls under way at a time: two keep two cores busy, three more of them where there are; one of
 * libuv's four threads stays free for everything else.
 */
export const callsMax = Math.min(3, Math.max(2, availableParallelism()));
