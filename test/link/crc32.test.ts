import fc from 'fast-check';
import { expect, it } from 'vitest';
import { crc32, crc32Table } from '../../src/link/crc32.ts';

it.each([
  ['', 0],
  ['123456789', 0xcbf43926],
  ['a', 0xe8b7be43],
])('crc32 of %j is the published value', (text, value) => {
  expect(crc32(Buffer.from(text))).toBe(value);
  expect(crc32Table(Buffer.from(text))).toBe(value);
});

it('the fallback agrees with the fast one, also when it goes on from a seed', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array({ maxLength: 300 }),
      (one, two) => {
        const seed = crc32(one);
        expect(crc32Table(two, seed)).toBe(crc32(two, seed));
        expect(crc32(two, seed)).toBe(crc32(Buffer.concat([one, two])));
      },
    ),
  );
});
