import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cleanText, hasControl } from '../../src/host/text.ts';

describe('cleanText', () => {
  it.each([
    ['plain', 'plain'],
    ['two\nlines\r', 'two lines '],
    ['\u001b[2Jclear', ' [2Jclear'],
    ['line\u2028separator', 'line separator'],
    ['lone \ud800 surrogate', 'lone \ufffd surrogate'],
  ])('%j becomes %j', (text, clean) => {
    expect(cleanText(text, 100)).toBe(clean);
  });

  it('never passes a control character or the limit', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 8, max: 60 }), (text, max) => {
        const clean = cleanText(text, max);
        expect(hasControl(clean)).toBe(false);
        expect(Buffer.byteLength(clean)).toBeLessThanOrEqual(max);
        expect(cleanText(clean, max)).toBe(clean);
      }),
    );
  });
});
