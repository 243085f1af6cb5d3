/**
 * Streams for the tests of the page encoding: built here from pages that a test chooses, in the
 * format of libxl-migration-stream and libxc-migration-stream.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { readRecords, recordName } from '../../native/stream-records.ts';

export const pageBytes = 4096;

/** A page and its number. */
export interface Page {
  readonly pfn: number;
  readonly body: Buffer;
}

function record(type: number, body: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(type, 0);
  head.writeUInt32LE(body.length, 4);
  return Buffer.concat([head, body, Buffer.alloc((8 - (body.length % 8)) % 8)]);
}

/** libxl header to STATIC_DATA_END of an HVM guest, version 3. */
export function streamStart(): Buffer {
  const libxl = Buffer.from('4c6962786c466d740000000200000000', 'hex');
  const image = Buffer.alloc(24);
  image.fill(0xff, 0, 8);
  image.writeUInt32BE(0x58454e46, 8);
  image.writeUInt32BE(3, 12);
  const domain = Buffer.alloc(16);
  domain.writeUInt32LE(2, 0);
  domain.writeUInt16LE(12, 4);
  return Buffer.concat([libxl, record(1, Buffer.alloc(0)), image, domain, record(0x10, empty)]);
}

const empty = Buffer.alloc(0);

/** PAGE_DATA records with at most 1024 pages each, as libxc makes them. */
export function pageData(pages: readonly Page[], perRecord = 1024): Buffer {
  const records: Buffer[] = [];
  for (let at = 0; at < pages.length; at += perRecord) {
    const some = pages.slice(at, at + perRecord);
    const head = Buffer.alloc(8 + 8 * some.length);
    head.writeUInt32LE(some.length, 0);
    for (const [i, { pfn }] of some.entries()) head.writeBigUInt64LE(BigInt(pfn), 8 + 8 * i);
    records.push(record(1, Buffer.concat([head, ...some.map(({ body }) => body)])));
  }
  return Buffer.concat(records);
}

/** An epoch of these pages: X86_TSC_INFO, HVM_CONTEXT, CHECKPOINT, CHECKPOINT_END behind them. */
export function epochOf(pages: readonly Page[], perRecord = 1024): Buffer {
  const state = Buffer.alloc(1000, 7);
  return Buffer.concat([
    pageData(pages, perRecord),
    record(0x8, Buffer.alloc(24)),
    record(0x9, state),
    record(0xe, empty),
    record(4, empty),
  ]);
}

const folder = join(import.meta.dirname, '../../fixtures/streams');

/** A stream recorded from real Xen, cut into its epochs. Its pages hold zeroes. */
export function recordedEpochs(kind: 'pv' | 'pvh'): Buffer[] {
  const stream = brotliDecompressSync(readFileSync(join(folder, `${kind}.br`)));
  const epochs: Buffer[] = [];
  let from = 0;
  for (const one of readRecords(stream)) {
    if (recordName(one) !== 'libxl CHECKPOINT_END') continue;
    epochs.push(stream.subarray(from, one.offset + 8));
    from = one.offset + 8;
  }
  return epochs;
}

/** `bytes` in pieces of these lengths, again and again. */
export function cut(bytes: Buffer, lengths: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const length = lengths[i % lengths.length] ?? bytes.length;
    pieces.push(bytes.subarray(at, at + length));
    at += length;
  }
  return pieces;
}
