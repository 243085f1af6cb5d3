import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EpochEnd } from '../../src/link/messages.ts';
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
