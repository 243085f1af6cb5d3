/**
 * CRC-32 (the one of zlib, gzip and Ethernet: polynomial 0xEDB88320).
 *
 * Node has a fast one since 20.15 and 22.2; a dom0 with an older Node 20 gets the table.
 */
import zlib from 'node:zlib';

type Crc32 = (bytes: Uint8Array, seed?: number) => number;

const table = new Uint32Array(256);
for (let index = 0; index < 256; index++) {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  table[index] = value >>> 0;
}

/** The fallback; exported so that a test can compare both. Same contract as `crc32`. */
export function crc32Table(bytes: Uint8Array, seed = 0): number {
  let crc = ~seed;
  for (let index = 0; index < bytes.length; index++) {
    // biome-ignore lint/style/noNonNullAssertion: both indexes are in range by construction
    crc = table[(crc ^ bytes[index]!) & 0xff]! ^ (crc >>> 8);
  }
  return ~crc >>> 0;
}

const native = (zlib as { readonly crc32?: Crc32 }).crc32;

/** The checksum of `bytes`, or with `seed` (an earlier result) of everything so far. */
export const crc32: Crc32 = native ?? crc32Table;
