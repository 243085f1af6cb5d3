import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  encodeFrame,
  type FrameKind,
  frameHeaderBytes,
  frameTypeOfKind,
  frameTypes,
  nextSequence,
} from '../../src/link/frame.ts';

describe('the table of frame types', () => {
  it('has one entry per number and per kind', () => {
    expect(new Set(frameTypes.map((entry) => entry.type)).size).toBe(frameTypes.length);
    expect(new Set(frameTypes.map((entry) => entry.kind)).size).toBe(frameTypes.length);
  });

  it('keeps the numbers and limits of version 1', () => {
    const lines = frameTypes.map(
      ({ type, kind, bodyMin, bodyMax }) => `${type} ${kind} ${bodyMin}..${bodyMax}`,
    );
    expect(lines).toEqual([
      '1 hello 2..65536',
      '2 config 2..1048576',
      '3 data 5..262148',
      '4 epoch-end 44..44',
      '5 ack 4..4',
      '6 heartbeat 16..16',
      '7 echo 8..8',
      '8 credit 8..8',
      '9 ask 4..4',
      '10 answer 5..5',
      '11 copy-lost 0..1024',
      '12 activated 4..4',
      '13 goodbye 0..1024',
      '14 error 2..8192',
      '15 leaving 0..1024',
      '16 degraded 0..1024',
      '17 checked 2..262144',
      '18 disk 6..262149',
      '19 disk-end 29..29',
      '20 compare 13..13',
      '21 digests 9..8201',
    ]);
  });
});

describe('encodeFrame', () => {
  it('lays out the header as the protocol says', () => {
    const frame = encodeFrame('ack', 7, Buffer.from([1, 2, 3, 4]));
    expect(frame.toString('hex')).toBe(
      ['7473726d', '0600', '05', '00', '07000000', '04000000', '89c31d48', '01020304'].join(''),
    );
  });

  it('counts a tail to the body without copying it', () => {
    const body = Buffer.from([1, 0, 0, 0]);
    const tail = Buffer.from('page');
    const head = encodeFrame('data', 0, body, tail);
    expect(head.length).toBe(frameHeaderBytes + body.length);
    const whole = encodeFrame('data', 0, Buffer.concat([body, tail]));
    expect(Buffer.concat([head, tail])).toEqual(whole);
  });

  it.each(frameTypes)('refuses a $kind body outside its limits', ({ kind, bodyMin, bodyMax }) => {
    expect(() => encodeFrame(kind, 0, Buffer.alloc(bodyMax + 1))).toThrow(/allowed/);
    if (bodyMin > 0)
      expect(() => encodeFrame(kind, 0, Buffer.alloc(bodyMin - 1))).toThrow(/allowed/);
  });

  it('wraps the sequence number at 2^32', () => {
    expect(nextSequence(0xffff_ffff)).toBe(0);
    expect(nextSequence(41)).toBe(42);
  });
});

describe('frameTypeOfKind', () => {
  it('knows every kind', () => {
    fc.assert(
      fc.property(fc.constantFrom(...frameTypes), (entry) => {
        expect(frameTypeOfKind(entry.kind satisfies FrameKind)).toBe(entry);
      }),
    );
  });
});
