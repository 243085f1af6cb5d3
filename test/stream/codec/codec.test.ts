/**
 * The page encoding from end to end: what comes out is what went in, whatever the cuts, the cache
 * and the codec; and both sides say so by the same digest.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  batchBytesMax,
  callsMax,
  type EncodedEpoch,
  type StreamCodecOptions,
} from '../../../src/stream/codec/codec.ts';
import { openStreamDecoder } from '../../../src/stream/codec/decoder.ts';
import { openStreamEncoder } from '../../../src/stream/codec/encoder.ts';
import {
  cut,
  epochOf,
  type Page,
  pageBytes,
  pageData,
  recordedEpochs,
  streamStart,
} from './streams.ts';

const mib = 1 << 20;

/** Encodes and decodes the epochs; throws unless every byte comes back. */
async function roundTrip(
  epochs: readonly Buffer[],
  options: StreamCodecOptions & {
    readonly decoderZstd?: 'libzstd' | 'wasm';
    readonly rawCuts?: readonly number[];
    readonly wireCuts?: readonly number[];
  },
): Promise<EncodedEpoch[]> {
  const encoder = await openStreamEncoder(options);
  const decoder = await openStreamDecoder({ ...options, zstd: options.decoderZstd });
  const results: EncodedEpoch[] = [];
  try {
    for (const epoch of epochs) {
      const pieces = cut(epoch, options.rawCuts ?? [batchBytesMax]);
      const wire = await Promise.all(pieces.map((piece) => encoder.encode(piece)));
      const back: Buffer[] = [];
      const whole = Buffer.concat(wire);
      await Promise.all(
        cut(whole, options.wireCuts ?? [whole.length]).map((piece) =>
          decoder.decode(piece, (raw) => {
            back.push(raw);
          }),
        ),
      );
      const digest = await encoder.endEpoch();
      await decoder.endEpoch(digest);
      expect(digest.rawBytes).toBe(epoch.length);
      expect(digest.wireBytes).toBe(whole.length);
      if (!Buffer.concat(back).equals(epoch)) throw new Error('the bytes differ');
      results.push(digest);
    }
  } finally {
    encoder.close();
    decoder.close();
  }
  return results;
}

describe.each(['pv', 'pvh'] as const)('a %s stream recorded from real Xen', (kind) => {
  it('comes back byte for byte, its zero pages as a few bytes', async () => {
    const results = await roundTrip(recordedEpochs(kind), {
      codec: 'zstd',
      cacheBytes: 64 * mib,
      wireCuts: [100_003, 17],
    });
    for (const { rawBytes, wireBytes, pages } of results) {
      expect(wireBytes).toBeLessThan(rawBytes / 100);
      expect(pages.zero).toBeGreaterThan(100);
    }
  });

  it('comes back byte for byte without compression', async () => {
    const results = await roundTrip(recordedEpochs(kind).slice(0, 1), {
      codec: 'none',
      cacheBytes: 0,
    });
    for (const { rawBytes, wireBytes } of results) expect(wireBytes).toBeGreaterThan(rawBytes);
  });
});

/** A page from a few numbers: equal numbers, equal pages; near ones differ in a few words. */
const body = fc
  .tuple(fc.constantFrom(0, 0, 1, 2, 3), fc.nat(7), fc.constantFrom(0, 1, 40, 300))
  .map(([seed, at, changed]) => {
    const page = Buffer.alloc(pageBytes);
    if (seed === 0) return page;
    for (let i = 0; i < pageBytes; i += 4)
      page.writeUInt32LE((seed * 2654435761 * (i + 1)) >>> 0, i);
    for (let i = 0; i < changed; i++) page.writeUInt8(at + 1, (at * 64 + i * 24) % pageBytes);
    return page;
  });
const page: fc.Arbitrary<Page> = fc.record({ pfn: fc.nat(11), body });
const epochs = fc.array(
  fc
    .tuple(fc.array(page, { maxLength: 12 }), fc.integer({ min: 1, max: 8 }))
    .map(([pages, perRecord]) => epochOf(pages, perRecord)),
  { minLength: 1, maxLength: 4 },
);
/** Odd, even and whole pages; never only short ones, since every cut is a foreign call. */
const cuts = fc
  .array(fc.oneof(fc.integer({ min: 1, max: 9000 }), fc.constant(4096)), { maxLength: 5 })
  .map((some) => [...some, 8192]);

/** Text-like pages: they compress, and are no zeroes. */
function somePages(count: number, round: number): Page[] {
  return Array.from({ length: count }, (_, pfn) => {
    const text = `page ${pfn} of the guest, written in round ${pfn % 3 ? 0 : round}; `;
    return { pfn, body: Buffer.alloc(pageBytes, text) };
  });
}

const threeEpochs = () => [
  Buffer.concat([streamStart(), epochOf(somePages(700, 0))]),
  epochOf(somePages(700, 1)),
  epochOf(somePages(600, 2)),
];

describe('libzstd and zstd-codec', () => {
  it.each([
    ['libzstd', 'wasm'],
    ['wasm', 'libzstd'],
    ['wasm', 'wasm'],
  ] as const)('understand each other: %s to %s', async (zstd, decoderZstd) => {
    const options = { codec: 'zstd', cacheBytes: 16 * mib, zstd, decoderZstd } as const;
    const results = await roundTrip(threeEpochs(), options);
    for (const { wireBytes, encodedBytes, rawBytes } of results) {
      expect(wireBytes).toBeLessThan(encodedBytes);
      expect(wireBytes).toBeLessThan(rawBytes / 20);
    }
  });
});

describe('pages that come again', () => {
  it('cost a byte if unchanged, and little if little changed', async () => {
    const [first, second, third] = await roundTrip(threeEpochs(), {
      codec: 'zstd',
      cacheBytes: 16 * mib,
    });
    expect(first?.pages).toEqual({ same: 0, zero: 0, delta: 0, copy: 700 });
    // Every third page names its round; the round is in it many times over.
    expect(second?.pages.same).toBe(466);
    expect(third?.pages.same).toBe(400);
    expect(second?.cachedPages).toBe(700);
    expect(second?.evictions).toBe(0);
  });

  it('are copied each time without a cache', async () => {
    const results = await roundTrip(threeEpochs(), { codec: 'zstd', cacheBytes: 0 });
    expect(results.map(({ pages }) => pages.copy)).toEqual([700, 700, 600]);
    expect(results.map(({ cacheState }) => cacheState)).toEqual([0n, 0n, 0n]);
  });
});

describe('a few bytes that decode to much', () => {
  it('are decoded no faster than they are taken', async () => {
    const zeroes = Array.from({ length: 1024 }, (_, pfn) => ({ pfn, body: Buffer.alloc(4096) }));
    const many = Buffer.concat(Array.from({ length: 5 }, () => pageData(zeroes)));
    const encoder = await openStreamEncoder({ codec: 'zstd', cacheBytes: 0 });
    let rooms = 0;
    const decoder = await openStreamDecoder({
      codec: 'zstd',
      cacheBytes: 0,
      allocate: (bytes) => {
        rooms += 1;
        return Buffer.alloc(bytes);
      },
    });
    const wire: Buffer[] = [];
    for (const piece of cut(Buffer.concat([streamStart(), many]), [mib])) {
      wire.push(await encoder.encode(piece));
    }
    expect(wire.length).toBeGreaterThan(20);
    expect(Buffer.concat(wire).length).toBeLessThan(16_384);
    let taken = 0;
    await decoder.decode(Buffer.concat(wire), async () => {
      taken += 1;
      await new Promise((resolve) => setImmediate(resolve));
      expect(rooms).toBeLessThanOrEqual(taken + callsMax);
    });
    expect(taken).toBe(wire.length);
    encoder.close();
    decoder.close();
  });
});

describe('any stream', () => {
  it('comes back byte for byte, with any cuts, cache and codec', async () => {
    await fc.assert(
      fc.asyncProperty(
        epochs,
        cuts,
        cuts,
        fc.constantFrom(0, 1, 3, 5, 64),
        fc.constantFrom('zstd' as const, 'none' as const),
        async (list, rawCuts, wireCuts, cachePages, codec) => {
          const [first = Buffer.alloc(0), ...rest] = list;
          const stream = [Buffer.concat([streamStart(), first]), ...rest];
          const cacheBytes = cachePages * (pageBytes + 200);
          await roundTrip(stream, { codec, cacheBytes, rawCuts, wireCuts });
        },
      ),
      { numRuns: 40 },
    );
  });
});
