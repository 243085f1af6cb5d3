/**
 * What no correct primary sends ends in an OperationError that says what is wrong: never in a
 * crash, never in wrong bytes handed over.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { OperationError } from '../../../src/host/errors.ts';
import { NativeLibrary } from '../../../src/native/library.ts';
import { batchHeaderBytes, batchKinds, withPayload } from '../../../src/stream/codec/batch.ts';
import type { StreamCodecOptions, StreamDecoder } from '../../../src/stream/codec/codec.ts';
import { openStreamDecoder } from '../../../src/stream/codec/decoder.ts';
import { openStreamEncoder } from '../../../src/stream/codec/encoder.ts';
import { epochOf, type Page, pageBytes, streamStart } from './streams.ts';

const options: StreamCodecOptions = { codec: 'zstd', cacheBytes: 1 << 20 };
const pages = (count: number, word: string): Page[] =>
  Array.from({ length: count }, (_, pfn) => ({
    pfn,
    body: Buffer.alloc(pageBytes, `${word}${pfn}`),
  }));
const stream = () => Buffer.concat([streamStart(), epochOf(pages(20, 'page'))]);

const opened: { close(): void }[] = [];
afterEach(() => {
  for (const one of opened.splice(0)) one.close();
});

async function decoderOf(extra: Partial<StreamCodecOptions> = {}): Promise<StreamDecoder> {
  const decoder = await openStreamDecoder({ ...options, ...extra });
  opened.push(decoder);
  return decoder;
}

/** An epoch on the wire, a batch per piece, and its digest. */
async function encoded(pieces: readonly Buffer[], extra: Partial<StreamCodecOptions> = {}) {
  const encoder = await openStreamEncoder({ ...options, ...extra });
  opened.push(encoder);
  const batches: Buffer[] = [];
  for (const piece of pieces) batches.push(await encoder.encode(piece));
  return { batches, digest: await encoder.endEpoch() };
}

/** The error of what must fail, as an OperationError; the raw bytes that were handed over. */
async function refusal(work: Promise<unknown>): Promise<OperationError> {
  const error = await work.then(
    () => new Error('it was taken'),
    (cause: unknown) => cause,
  );
  if (!(error instanceof OperationError)) throw error;
  return error;
}

const ignore = () => {};

describe('a flipped bit anywhere in a batch', () => {
  it.each([
    ['zstd', 'libzstd'],
    ['zstd', 'wasm'],
    ['none', 'libzstd'],
  ] as const)(
    '%s by %s is refused',
    async (codec, zstd) => {
      const { batches, digest } = await encoded([stream()], { codec });
      const whole = Buffer.concat(batches);
      const step = Math.max(1, Math.floor(whole.length / 60));
      const bits = [...Array(batchHeaderBytes * 8).keys()];
      for (let byte = batchHeaderBytes; byte < whole.length; byte += step) bits.push(byte * 8 + 3);
      for (const bit of bits.filter((_, i) => zstd === 'libzstd' || i % 16 === 0)) {
        const damaged = Buffer.from(whole);
        damaged.writeUInt8(damaged.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        const decoder = await decoderOf({ codec, zstd });
        const seen: Buffer[] = [];
        const work = decoder
          .decode(damaged, (raw) => void seen.push(raw))
          .then(() => decoder.endEpoch(digest));
        const { code } = await refusal(work);
        expect(['protocol', 'limit'], `bit ${bit}`).toContain(code);
        expect(seen, `bit ${bit}`).toEqual([]);
        decoder.close();
      }
    },
    120_000,
  );
});

describe('a batch is refused', () => {
  /** A valid one, changed by `change` and sealed again, as a faulty primary would send it. */
  async function changed(change: (batch: Buffer) => Buffer): Promise<OperationError> {
    const { batches } = await encoded([stream()]);
    const batch = change(batches[0] ?? Buffer.alloc(0));
    new NativeLibrary().batchSeal(batch);
    const decoder = await decoderOf();
    return refusal(decoder.decode(batch, ignore));
  }
  const with32 = (at: number, value: number) => (batch: Buffer) => {
    batch.writeUInt32LE(value, at);
    return batch;
  };

  it('that says it holds more than a MiB, before room is made for it', async () => {
    const { code, message } = await changed(with32(8, 1 << 30));
    expect(code).toBe('limit');
    expect(message).toContain('raw_size');
  });

  it('that decompresses to more than it says', async () => {
    const fewer = await changed((batch) => with32(12, batch.readUInt32LE(12) - 1)(batch));
    expect(fewer.message).toContain('does not decompress to what it says');
    const more = await changed((batch) => with32(12, batch.readUInt32LE(12) + 1)(batch));
    expect(more.message).toContain('does not decompress to what it says');
  });

  it('whose pages make more or less than it says', async () => {
    const { message: more } = await changed((b) => with32(8, b.readUInt32LE(8) - 8)(b));
    expect(more).toContain('more than it says');
    const { message: less } = await changed((b) => with32(8, b.readUInt32LE(8) + 8)(b));
    expect(less).toContain('less than it says');
  });

  it('of a kind that was not agreed upon', async () => {
    const { batches } = await encoded([stream()], { codec: 'none' });
    const decoder = await decoderOf();
    const { message } = await refusal(decoder.decode(Buffer.concat(batches), ignore));
    expect(message).toContain('not agreed upon');
  });

  it('that comes twice, or not at all', async () => {
    const raw = stream();
    const { batches } = await encoded([raw.subarray(0, 30_000), raw.subarray(30_000)]);
    const [first = raw, second = raw] = batches;
    const twice = await decoderOf();
    await twice.decode(first, ignore);
    expect((await refusal(twice.decode(first, ignore))).message).toContain('out of order');
    const lost = await decoderOf();
    expect((await refusal(lost.decode(second, ignore))).message).toContain('out of order');
  });

  it('with a delta that leaves its page', async () => {
    // One page that is known, then a delta of it: 255 + 255 words passed over, 9 that follow.
    const first = Buffer.concat([streamStart(), epochOf(pages(1, 'known'))]);
    const { batches } = await encoded([first]);
    const decoder = await decoderOf();
    await decoder.decode(Buffer.concat(batches), ignore);
    const head = epochOf(pages(1, 'known')).subarray(0, 24);
    const bytes = Buffer.concat([Buffer.from([1]), Buffer.from([24, 0, 0, 0])]);
    const ops = Buffer.concat([bytes, Buffer.from([4, 3, 255, 0, 255, 0, 0, 9])]);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(ops.length);
    const payload = Buffer.concat([head, Buffer.alloc(72, 1), ops, length]);
    const batch = withPayload(batches[0] ?? first, batchKinds.pages, payload);
    batch.writeUInt32LE(24 + pageBytes, 8);
    batch.writeUInt32LE(payload.length, 12);
    batch.writeUInt32LE(1, 20);
    new NativeLibrary().batchSeal(batch);
    const { code, message } = await refusal(decoder.decode(batch, ignore));
    expect(code).toBe('protocol');
    expect(message).toContain('outside its page');
  });
});

describe('the end of an epoch is refused', () => {
  it.each([
    ['raw length', { rawBytes: 1 }],
    ['checksum', { checksum: 1n }],
    ['cache state', { cacheState: 1n }],
  ])('where the %s differs', async (what, other) => {
    const { batches, digest } = await encoded([stream()]);
    const decoder = await decoderOf();
    await decoder.decode(Buffer.concat(batches), ignore);
    const { code, message } = await refusal(decoder.endEpoch({ ...digest, ...other }));
    expect(code).toBe('protocol');
    expect(message).toContain(`the ${what} is`);
  });

  it('where the caches differ in size', async () => {
    const { batches, digest } = await encoded([stream()], { cacheBytes: 5 * 4200 });
    const decoder = await decoderOf();
    const work = decoder
      .decode(Buffer.concat(batches), ignore)
      .then(() => decoder.endEpoch(digest));
    expect((await refusal(work)).message).toContain('cache state');
  });

  it('within a batch', async () => {
    const { batches, digest } = await encoded([stream()]);
    const decoder = await decoderOf();
    await decoder.decode(Buffer.concat(batches).subarray(0, -1), ignore);
    expect((await refusal(decoder.endEpoch(digest))).message).toContain('torn');
  });
});

describe('after a failure', () => {
  it('nothing is taken any more, and the reason stays', async () => {
    const decoder = await decoderOf();
    const first = await refusal(decoder.decode(Buffer.alloc(64, 1), ignore));
    const again = await refusal(decoder.decode(Buffer.alloc(1), ignore));
    expect(again).toBe(first);
  });

  it('of whoever takes the bytes, that failure is the reason', async () => {
    const { batches } = await encoded([stream()]);
    const decoder = await decoderOf();
    const reason = new OperationError('limit', 'no room', { op: 'test' });
    const work = decoder.decode(Buffer.concat(batches), () => Promise.reject(reason));
    expect(await refusal(work)).toBe(reason);
  });
});

describe('the encoder refuses', () => {
  it('what is no checkpoint stream', async () => {
    const encoder = await openStreamEncoder(options);
    opened.push(encoder);
    const { code, message } = await refusal(encoder.encode(Buffer.alloc(100, 'x')));
    expect(code).toBe('protocol');
    expect(message).toContain("libxl's header");
    expect((await refusal(encoder.encode(stream()))).code).toBe('protocol');
  });

  it('a batch beyond its limit, and a cache beyond its', async () => {
    const encoder = await openStreamEncoder(options);
    opened.push(encoder);
    expect((await refusal(encoder.encode(Buffer.alloc((1 << 20) + 1)))).code).toBe('limit');
    expect((await refusal(openStreamEncoder({ ...options, cacheBytes: 2 ** 41 }))).code).toBe(
      'limit',
    );
  });

  it('to go on after its end', async () => {
    const encoder = await openStreamEncoder(options);
    encoder.close();
    expect((await refusal(encoder.encode(stream()))).code).toBe('aborted');
  });
});
