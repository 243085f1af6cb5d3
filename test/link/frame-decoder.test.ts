// Goal: whatever happens to the bytes, the decoder delivers what was encoded, or a shorter row of
// it, and never anything else. Method: random rows of frames, cut, flipped and truncated.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OperationError } from '../../src/host/errors.ts';
import {
  encodeFrame,
  type Frame,
  type FrameKind,
  frameTypes,
  protocolVersion,
} from '../../src/link/frame.ts';
import { FrameDecoder } from '../../src/link/frame-decoder.ts';

interface Sent {
  readonly kind: FrameKind;
  readonly body: Buffer;
}

const anyFrame: fc.Arbitrary<Sent> = fc.constantFrom(...frameTypes).chain((entry) =>
  fc
    .uint8Array({
      minLength: entry.bodyMin,
      maxLength: Math.min(entry.bodyMax, entry.bodyMin + 60),
    })
    .map((body) => ({ kind: entry.kind, body: Buffer.from(body) })),
);
const anyRow = fc.array(anyFrame, { minLength: 1, maxLength: 6 });

function encodeRow(row: readonly Sent[]): Buffer {
  return Buffer.concat(row.map(({ kind, body }, index) => encodeFrame(kind, index, body)));
}

/** Cuts `bytes` at the given places (modulo its length). */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set([0, ...places.map((place) => place % bytes.length)])];
  at.sort((left, right) => left - right);
  return at.map((start, index) => bytes.subarray(start, at[index + 1] ?? bytes.length));
}

interface Outcome {
  readonly frames: readonly Frame[];
  readonly error: OperationError | null;
  readonly whole: boolean;
}

function decodeAll(chunks: readonly Buffer[]): Outcome {
  const decoder = new FrameDecoder();
  const frames: Frame[] = [];
  try {
    for (const chunk of chunks) {
      decoder.push(chunk);
      for (let frame = decoder.next(); frame !== null; frame = decoder.next()) frames.push(frame);
    }
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    return { frames, error, whole: false };
  }
  return { frames, error: null, whole: decoder.betweenFrames };
}

function expectPrefix(frames: readonly Frame[], row: readonly Sent[]): void {
  for (const [index, frame] of frames.entries()) {
    expect(frame.kind).toBe(row[index]?.kind);
    expect(frame.sequence).toBe(index);
    expect(Buffer.compare(frame.body, row[index]?.body ?? Buffer.from('none'))).toBe(0);
  }
}

describe('FrameDecoder', () => {
  it('gives back what was encoded, however the bytes are cut', () => {
    fc.assert(
      fc.property(anyRow, fc.array(fc.nat(), { maxLength: 20 }), (row, places) => {
        const { frames, error, whole } = decodeAll(cut(encodeRow(row), places));
        expect(error).toBeNull();
        expect(whole).toBe(true);
        expect(frames.length).toBe(row.length);
        expectPrefix(frames, row);
      }),
    );
  });

  it('gives back what was encoded, byte by byte', () => {
    fc.assert(
      fc.property(anyRow, (row) => {
        const bytes = encodeRow(row);
        const { frames, error } = decodeAll(Array.from(bytes, (byte) => Buffer.from([byte])));
        expect(error).toBeNull();
        expect(frames.length).toBe(row.length);
        expectPrefix(frames, row);
      }),
    );
  });

  it('never lets a flipped bit pass', () => {
    fc.assert(
      fc.property(anyRow, fc.nat(), fc.nat(7), fc.array(fc.nat()), (row, place, bit, places) => {
        const bytes = encodeRow(row);
        const at = place % bytes.length;
        bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
        const { frames, error, whole } = decodeAll(cut(bytes, places));
        // Either an error, or (a length that grew) a frame that is still awaited.
        expect(error !== null || !whole).toBe(true);
        expect(frames.length).toBeLessThan(row.length);
        expectPrefix(frames, row);
      }),
      { numRuns: 1000 },
    );
  });

  it('never takes a truncated row for a whole one', () => {
    fc.assert(
      fc.property(anyRow, fc.nat(), (row, length) => {
        const bytes = encodeRow(row);
        const { frames, error, whole } = decodeAll([bytes.subarray(0, length % bytes.length)]);
        expect(error).toBeNull();
        expect(frames.length).toBeLessThan(row.length);
        expectPrefix(frames, row);
        const used = frames.reduce((sum, frame) => sum + 20 + frame.body.length, 0);
        expect(whole).toBe(used === length % bytes.length);
      }),
    );
  });

  it('never lets repeated, missing or swapped frames pass', () => {
    fc.assert(
      fc.property(fc.array(anyFrame, { minLength: 2, maxLength: 5 }), fc.nat(), (row, pick) => {
        const frames = row.map(({ kind, body }, index) => encodeFrame(kind, index, body));
        const at = pick % (frames.length - 1);
        const repeated = frames.toSpliced(at, 0, frames[at] as Buffer);
        expect(decodeAll([Buffer.concat(repeated)]).error?.message).toMatch(/field sequence/);
        const missing = frames.toSpliced(at, 1);
        expect(decodeAll([Buffer.concat(missing)]).error?.message).toMatch(/field sequence/);
      }),
    );
  });

  it('does not copy a frame that lies within one chunk', () => {
    const bytes = encodeFrame('data', 0, Buffer.from([0, 0, 0, 0, 1, 2, 3]));
    const { frames } = decodeAll([bytes]);
    expect(frames[0]?.body.buffer).toBe(bytes.buffer);
  });

  it('refuses the next bytes while the last ones are not used up', () => {
    const decoder = new FrameDecoder();
    decoder.push(Buffer.from('ts'));
    expect(() => decoder.push(Buffer.from('rm'))).toThrow(/before the last bytes/);
  });
});

describe('what a wrong frame is called', () => {
  const good = encodeFrame('ack', 0, Buffer.from([1, 0, 0, 0]));
  const patched = (at: number, ...bytes: number[]) => {
    const copy = Buffer.from(good);
    copy.set(bytes, at);
    return copy;
  };

  it.each([
    ['type', patched(6, 99), 'field type is 99, unknown'],
    ['flags', patched(7, 1), 'field flags is 1, must be 0'],
    ['sequence', patched(8, 5), 'field sequence is 5, must be 0'],
    ['length', patched(12, 9), 'field length is 9, ack allows 4 to 4'],
    ['length, huge', patched(12, 255, 255, 255, 255), 'field length is 4294967295, ack allows'],
    ['checksum', patched(20, 2), 'field checksum is 0x'],
  ])('%s', (_field, bytes, text) => {
    const { error } = decodeAll([bytes]);
    expect(error?.code).toBe('protocol');
    expect(error?.message).toContain('at byte 0 of the stream');
    expect(error?.message).toContain(text);
  });

  it('names the offset of a later frame', () => {
    const second = encodeFrame('ack', 7, Buffer.from([1, 0, 0, 0]));
    const { error } = decodeAll([good, second]);
    expect(error?.message).toContain('at byte 24 of the stream: field sequence is 7, must be 1');
  });

  it.each([protocolVersion + 1, 0])('names both versions when the peer speaks %i', (version) => {
    const { error } = decodeAll([patched(4, version)]);
    expect(error?.code).toBe('version-mismatch');
    expect(error?.message).toBe(
      `the peer speaks protocol ${version}, this tsremus speaks protocol ${protocolVersion}`,
    );
    expect(error?.hint).toBe('tsremus --version  # install the same version on both hosts');
  });

  it('shows the greeting of a login shell, from its first byte', () => {
    const { error } = decodeAll([Buffer.from('t'), Buffer.from('his is host-b\nWelcome\n')]);
    expect(error?.message).toContain('no frame begins here, found "this is host-b\\nWelcome"');
    expect(error?.hint).toContain('the way to the other host');
  });

  it('shows it also when the first frame follows at once', () => {
    const { error } = decodeAll([Buffer.concat([Buffer.from('Welcome\n'), good])]);
    expect(error?.message).toContain('found "Welcome"');
    expect(error?.hint).toContain('the way to the other host');
  });

  it('shows other garbage in hexadecimal', () => {
    const { error } = decodeAll([Buffer.from([0, 1, 2, 3, 0xff])]);
    expect(error?.message).toContain('no frame begins here, found 00010203ff');
    expect(error?.hint).toBeUndefined();
  });

  it('stays failed', () => {
    const decoder = new FrameDecoder();
    decoder.push(patched(6, 99));
    expect(() => decoder.next()).toThrow(/field type/);
    expect(() => decoder.next()).toThrow(/field type/);
  });
});
