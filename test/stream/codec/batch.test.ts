import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BatchCutter, batchHeaderBytes, encodedBytesMax } from '../../../src/stream/codec/batch.ts';
import { batchBytesMax, batchWireBytesMax } from '../../../src/stream/codec/codec.ts';
import { cut } from './streams.ts';

/** A batch whose header keeps the limits; its check is not looked at here. */
function batch(payloadBytes: number, changed: Readonly<Record<number, number>> = {}): Buffer {
  const bytes = Buffer.alloc(batchHeaderBytes + payloadBytes, payloadBytes);
  bytes.writeUInt32LE(0x62725354, 0);
  bytes.writeUInt32LE(0x0101, 4);
  bytes.writeUInt32LE(payloadBytes + 1, 8);
  bytes.writeUInt32LE(payloadBytes, 12);
  bytes.writeUInt32LE(payloadBytes, 16);
  for (const [at, value] of Object.entries(changed)) bytes.writeUInt32LE(value, Number(at));
  return bytes;
}

describe('batches in a byte stream', () => {
  it('are found whatever the cuts', () => {
    const lengths = fc.array(fc.nat(300), { minLength: 1, maxLength: 20 });
    const cuts = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(lengths, cuts, (sizes, pieces) => {
        const batches = sizes.map((size) => batch(size));
        const cutter = new BatchCutter();
        const found = cut(Buffer.concat(batches), pieces).flatMap((piece) => cutter.push(piece));
        expect(found.map((one) => one.toString('hex'))).toEqual(
          batches.map((one) => one.toString('hex')),
        );
        expect(cutter.pendingBytes).toBe(0);
      }),
    );
  });

  it('do not change when the bytes that brought a torn one are used again', () => {
    const whole = batch(200);
    const cutter = new BatchCutter();
    const piece = Buffer.from(whole.subarray(0, 100));
    expect(cutter.push(piece)).toEqual([]);
    expect(cutter.pendingBytes).toBe(100);
    piece.fill(0);
    expect(cutter.push(whole.subarray(100))).toEqual([whole]);
  });

  it.each([
    ['magic', 'protocol', { 0: 1 }],
    ['version', 'protocol', { 4: 0x0102 }],
    ['kind', 'protocol', { 4: 0x0301 }],
    ['raw_size', 'protocol', { 8: 0 }],
    ['raw_size', 'limit', { 8: batchBytesMax + 1 }],
    ['encoded_size', 'limit', { 8: 4096, 12: encodedBytesMax(4096) + 1 }],
    ['payload_size', 'limit', { 16: 0xffff_ffff }],
  ] as const)('with a wrong %s are refused with %s, whole or torn', (field, code, changed) => {
    const wrong = batch(100, changed);
    const expected = expect.objectContaining({ code, message: expect.stringContaining(field) });
    expect(() => new BatchCutter().push(wrong)).toThrow(expected);
    const cutter = new BatchCutter();
    cutter.push(wrong.subarray(0, 31));
    expect(() => cutter.push(wrong.subarray(31, 32))).toThrow(expected);
  });

  it('are never larger than the largest is said to be', () => {
    expect(batchWireBytesMax).toBe(batchHeaderBytes + encodedBytesMax(batchBytesMax));
  });
});
