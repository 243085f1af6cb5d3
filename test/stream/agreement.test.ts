import { expect, it } from 'vitest';
import { agreedStream, chooseStream, codecsOf } from '../../src/stream/agreement.ts';
import { helloMessage } from '../link/support.ts';

const mib = 1024 ** 2;
const hello = (codecs: readonly string[], cacheBytes = 64 * mib) => ({
  ...helloMessage,
  cacheBytes,
  capabilities: { codecs, disks: [] },
});

it('is the first codec that both have, with the smaller cache', () => {
  const choose = (codecs: readonly string[]) => chooseStream(hello(codecs), 32 * mib);
  expect(choose(codecsOf(true))).toEqual({ codec: 'zstd', cacheBytes: 32 * mib });
  expect(choose(['future', 'zstd', 'none'])).toEqual({ codec: 'zstd', cacheBytes: 32 * mib });
  expect(choose(codecsOf(false))).toEqual({ codec: 'none', cacheBytes: 0 });
  expect(chooseStream(hello(['zstd'], mib), 32 * mib).cacheBytes).toBe(mib);
  expect(() => choose(['future'])).toThrow(/encodes by future, which is not known here/);
});

it('is nothing that the primary did not offer', () => {
  const offered = { codecs: codecsOf(true), cacheBytes: 64 * mib };
  const choice = { codec: 'zstd', cacheBytes: 32 * mib };
  expect(agreedStream(choice, offered)).toEqual(choice);
  expect(() => agreedStream(null, offered)).toThrow(/field stream is none/);
  expect(() => agreedStream({ ...choice, codec: 'gzip' }, offered)).toThrow(/stream is gzip/);
  expect(() => agreedStream({ ...choice, cacheBytes: 65 * mib }, offered)).toThrow(
    /stream is zstd/,
  );
  expect(() => agreedStream(choice, { codecs: codecsOf(false), cacheBytes: 0 })).toThrow(/offered/);
});
