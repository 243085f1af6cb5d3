import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DiskEnd, EpochEnd } from '../../src/link/messages.ts';
import { EpochAssembler, epochLimits, wireLimits } from '../../src/stream/assembler.ts';
import { batchWireBytesMax } from '../../src/stream/codec/codec.ts';
import { operationError, sampleDigest } from '../link/support.ts';

function assembler(limits = { seedBytesMax: 1000, epochBytesMax: 100 }) {
  const passed: { epoch: number; text: string }[] = [];
  const whole: EpochEnd[] = [];
  const assemble = new EpochAssembler({
    ...limits,
    onChunk: (epoch, chunk) => passed.push({ epoch, text: chunk.toString() }),
    onEpoch: (epoch) => whole.push(epoch),
  });
  const textOf = (epoch: number) =>
    passed
      .filter((piece) => piece.epoch === epoch)
      .map(({ text }) => text)
      .join('');
  return { assemble, passed, whole, textOf };
}

const data = (epoch: number, text: string) => ({
  kind: 'data' as const,
  epoch,
  chunk: Buffer.from(text),
});
const end = (epoch: number, text: string, changes: object = {}) => ({
  kind: 'epoch-end' as const,
  epoch,
  bytes: text.length,
  pages: 3,
  digest: sampleDigest,
  ...changes,
});

describe('EpochAssembler', () => {
  it('passes pieces on as they come and says when an epoch is whole', () => {
    const { assemble, passed, whole, textOf } = assembler();
    assemble.onData(data(0, 'se'));
    expect(passed).toEqual([{ epoch: 0, text: 'se' }]);
    assemble.onData(data(0, 'ed'));
    assemble.onEpochEnd(end(0, 'seed'));
    expect(whole).toEqual([end(0, 'seed')]);
    assemble.onData(data(1, 'fir'));
    assemble.onData(data(1, 'st'));
    expect(whole.length).toBe(1);
    assemble.onEpochEnd(end(1, 'first'));
    expect(whole[1]).toMatchObject({ epoch: 1, bytes: 5 });
    expect(textOf(1)).toBe('first');
  });

  it.each<[string, (assemble: EpochAssembler) => void, string]>([
    ['an epoch too early', (a) => a.onData(data(1, 'x')), 'data: field epoch is 1, must be 0'],
    [
      'an end too early',
      (a) => a.onEpochEnd(end(1, 'x')),
      'epoch-end: field epoch is 1, must be 0',
    ],
    [
      'an empty epoch',
      (a) => a.onEpochEnd(end(0, '')),
      'field bytes is 0, an epoch is never empty',
    ],
    [
      'a missing piece',
      (a) => {
        a.onData(data(0, 'se'));
        a.onEpochEnd(end(0, 'seed'));
      },
      'field bytes is 4, 2 came',
    ],
  ])('refuses %s', async (_what, run, text) => {
    const { assemble, whole } = assembler();
    const error = await operationError(() => run(assemble));
    expect(error.code).toBe('protocol');
    expect(error.message).toContain(text);
    expect(whole).toEqual([]);
  });

  it('keeps to the limits, the seed to its own', async () => {
    const { assemble } = assembler();
    for (let piece = 0; piece < 10; piece++) assemble.onData(data(0, 'x'.repeat(100)));
    const seedError = await operationError(() => assemble.onData(data(0, 'x')));
    expect(seedError.code).toBe('limit');
    expect(seedError.message).toBe('epoch 0 is larger than 1000 bytes, the limit for this guest');
    assemble.onEpochEnd(end(0, 'x'.repeat(1000)));
    assemble.onData(data(1, 'x'.repeat(100)));
    expect((await operationError(() => assemble.onData(data(1, 'x')))).code).toBe('limit');
  });

  it('hands over what was sent, however it was cut', () => {
    const pieces = fc.array(
      fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 5 }),
      {
        minLength: 1,
        maxLength: 6,
      },
    );
    fc.assert(
      fc.property(fc.array(pieces, { minLength: 1, maxLength: 5 }), (epochs) => {
        const { assemble, whole, textOf } = assembler();
        for (const [epoch, texts] of epochs.entries()) {
          for (const text of texts) assemble.onData(data(epoch, text));
          assemble.onEpochEnd(end(epoch, texts.join('')));
        }
        expect(whole.map(({ epoch }) => textOf(epoch))).toEqual(
          epochs.map((texts) => texts.join('')),
        );
      }),
    );
  });
});

describe('disks in an epoch', () => {
  const piece = (epoch: number, disk: number, text: string) => ({
    kind: 'disk' as const,
    ...{ epoch, disk, chunk: Buffer.from(text) },
  });
  const diskEnd = (epoch: number, disk: number, bytes: number) => ({
    kind: 'disk-end' as const,
    ...{ epoch, disk, bytes, digest: { rawBytes: bytes, checksum: 1n } },
  });

  function withDisks() {
    const did: string[] = [];
    const disks = [0, 1].map((disk) => ({
      ...{ seedBytesMax: 100, epochBytesMax: 10 },
      onChunk: (epoch: number, chunk: Buffer) => did.push(`${disk}: ${chunk} in ${epoch}`),
      onEnd: ({ epoch }: DiskEnd) => did.push(`${disk}: end ${epoch}`),
    }));
    const assemble = new EpochAssembler({
      ...{ seedBytesMax: 1000, epochBytesMax: 100, disks },
      onChunk: () => {},
      onEpoch: ({ epoch }) => did.push(`end ${epoch}`),
    });
    return { assemble, did };
  }

  it('pass on as they come, in any order beside the memory', () => {
    const { assemble, did } = withDisks();
    assemble.onDisk(piece(0, 1, 'ab'));
    assemble.onData(data(0, 'seed'));
    assemble.onDisk(piece(0, 0, 'c'));
    assemble.onDisk(piece(0, 1, 'd'));
    assemble.onDiskEnd(diskEnd(0, 1, 3));
    assemble.onDiskEnd(diskEnd(0, 0, 1));
    assemble.onEpochEnd(end(0, 'seed'));
    // One that has nothing in an epoch says so.
    assemble.onDiskEnd(diskEnd(1, 0, 0));
    assemble.onDisk(piece(1, 1, 'e'));
    assemble.onDiskEnd(diskEnd(1, 1, 1));
    assemble.onData(data(1, 'x'));
    assemble.onEpochEnd(end(1, 'x'));
    const first = ['1: ab in 0', '0: c in 0', '1: d in 0', '1: end 0', '0: end 0', 'end 0'];
    expect(did).toEqual([...first, '0: end 1', '1: e in 1', '1: end 1', 'end 1']);
  });

  it.each<[string, (assemble: EpochAssembler) => void, string]>([
    ['an epoch too early', (a) => a.onDisk(piece(1, 0, 'x')), 'disk: field epoch is 1, must be 0'],
    ['no such disk', (a) => a.onDisk(piece(0, 2, 'x')), 'field disk is 2, there are 2'],
    ['the end of no such disk', (a) => a.onDiskEnd(diskEnd(0, 255, 0)), 'field disk is 255'],
    ['a missing piece', (a) => a.onDiskEnd(diskEnd(0, 0, 1)), 'field bytes is 1, 0 came'],
    [
      'more after the end',
      (a) => {
        a.onDiskEnd(diskEnd(0, 0, 0));
        a.onDisk(piece(0, 0, 'x'));
      },
      'disk: field disk is 0, it has ended epoch 0',
    ],
    [
      'an epoch that ends before its disks',
      (a) => {
        a.onData(data(0, 'seed'));
        a.onDiskEnd(diskEnd(0, 0, 0));
        a.onEpochEnd(end(0, 'seed'));
      },
      'epoch-end: field epoch is 0, disk 1 has not ended it',
    ],
  ])('are refused: %s', async (_what, run, text) => {
    const { assemble, did } = withDisks();
    const error = await operationError(() => run(assemble));
    expect(error.code).toBe('protocol');
    expect(error.message).toContain(text);
    expect(did).not.toContain('end 0');
  });

  it('keep to their limits, the first copy to its own', async () => {
    const { assemble } = withDisks();
    assemble.onDisk(piece(0, 0, 'x'.repeat(100)));
    const limit = await operationError(() => assemble.onDisk(piece(0, 0, 'x')));
    expect(limit.code).toBe('limit');
    for (const [disk, bytes] of [
      [0, 100],
      [1, 0],
    ] as const) {
      assemble.onDiskEnd(diskEnd(0, disk, bytes));
    }
    assemble.onData(data(0, 'x'));
    assemble.onEpochEnd(end(0, 'x'));
    assemble.onDisk(piece(1, 1, 'x'.repeat(10)));
    const later = await operationError(() => assemble.onDisk(piece(1, 1, 'x')));
    expect(later.message).toContain('disk 1 in epoch 1 is larger than 10 bytes');
  });
});

it('epochLimits leaves room for every page of the guest and for the rounds of the seed', () => {
  const gib = 1024 ** 3;
  const { epochBytesMax, seedBytesMax } = epochLimits(gib);
  // A page on the wire: 4096 bytes and 8 of page number; a record header per 1024 pages.
  expect(epochBytesMax).toBeGreaterThan((gib / 4096) * (4096 + 8 + 1));
  expect(seedBytesMax).toBeGreaterThan(6 * epochBytesMax);
});

it('wireLimits leaves room for batches that do not shrink', () => {
  const limits = { seedBytesMax: 2 ** 30, epochBytesMax: 2 ** 20 };
  const batches = 2 ** 10;
  expect(wireLimits(limits).seedBytesMax).toBeGreaterThanOrEqual(batches * batchWireBytesMax);
  expect(wireLimits(limits).epochBytesMax).toBeGreaterThanOrEqual(batchWireBytesMax);
});
