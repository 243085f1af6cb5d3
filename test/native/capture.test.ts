/**
 * What crosses to the native capture. Proves: settings and figures are where the C structures have
 * them (their sizes are asserted there), and the library is asked as it is built.
 */
import { describe, expect, it } from 'vitest';
import {
  CaptureLibrary,
  type CaptureSettings,
  decodeFigures,
  encodeSettings,
} from '../../src/native/capture.ts';

const settings: CaptureSettings = {
  sizeBytes: 2 ** 40,
  roomBytes: 64,
  askBytes: 32,
  copyBytesPerSecond: 99,
  waitMs: 1_500,
  leg: { major: 43, minor: 7 },
  name: 'vol',
  under: 'tsremus-vol',
  plain: '/dev/dm-3',
  lock: '/run/vol.lock',
  vgLock: '',
};

describe('the capture', () => {
  it('gets its settings', () => {
    const bytes = encodeSettings(settings);
    expect(bytes.length).toBe(1072);
    const numbers = [0, 8, 16, 24].map((at) => Number(bytes.readBigUInt64LE(at)));
    expect(numbers).toEqual([2 ** 40, 64, 32, 99]);
    expect([32, 36, 40, 44].map((at) => bytes.readUInt32LE(at))).toEqual([1_500, 43, 7, 2]);
    const text = (at: number) => bytes.toString('utf8', at, bytes.indexOf(0, at));
    expect([48, 176, 304, 560, 816].map(text)).toEqual([
      ...['vol', 'tsremus-vol', '/dev/dm-3', '/run/vol.lock', ''],
    ]);
  });

  it('leaves no NUL where a text is too long, which the library refuses', () => {
    const bytes = encodeSettings({ ...settings, name: 'x'.repeat(500) });
    expect(bytes.subarray(48, 176).indexOf(0)).toBe(-1);
    expect(bytes.toString('utf8', 176, 187)).toBe('tsremus-vol');
  });

  it('tells its figures', () => {
    const bytes = Buffer.alloc(168);
    for (let at = 0; at < 21; at++) bytes.writeBigUInt64LE(BigInt(100 + at), 8 * at);
    bytes.writeBigUInt64LE(1n, 8 * 18);
    expect(decodeFigures(bytes)).toEqual({
      ...{ writes: 100, writtenBytes: 101, waitingBytes: 109 + 110, mostBytes: 111 },
      ...{ pacedMs: 113e-6, isLocked: false, toCopyBytes: 116, copiedBytes: 117, hasCopied: true },
      equalBytes: 120,
    });
  });

  it('is refused by the library as it is built, with its sentence', async () => {
    const library = new CaptureLibrary();
    await expect(library.lookAtVolume('x'.repeat(300), 'y')).rejects.toThrow('too long');
    await expect(library.checkCapture(4711)).rejects.toThrow('4711');
    expect(() => library.startCopy(4711)).toThrow('4711');
    expect(() => library.giveDigests(4711, 0, Buffer.alloc(32))).toThrow('4711');
    await expect(library.openCapture({ ...settings, name: '' }, () => {})).rejects.toThrow(
      'needs the names',
    );
  });
});
