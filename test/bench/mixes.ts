/**
 * Page mixes: the checkpoint streams of a few epochs under one kind of load. Recorded ones are of
 * real guests in the lab (test/lab/record-mixes.ts makes them); made ones say so. A mix is a seed,
 * which fills the caches and is not measured, and the epochs after it.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliDecompressSync, constants } from 'node:zlib';
import {
  pageBodies,
  readRecords,
  recordName,
  type StreamRecord,
} from '../native/stream-records.ts';
import { epochOf, type Page, pageBytes, streamStart } from '../stream/codec/streams.ts';

export interface Mix {
  readonly name: string;
  readonly origin: 'recorded' | 'made';
  readonly stream: Buffer;
}

export const mixesDir = join(import.meta.dirname, '../fixtures/mixes');

/** What a page is called by in a PAGE_DATA record: its number and, in the top bits, its type. */
export type PageName = bigint;
const typeShift = 60n;
/** Broken, only allocated, absent (xg_sr_stream_format.h): numbers without a body. */
const withoutBody = new Set([0xdn, 0xen, 0xfn]);

/** The pages of a PAGE_DATA record, each with its body where it has one. */
export function pagesOf(
  stream: Buffer,
  record: StreamRecord,
): { name: PageName; body: Buffer | null }[] {
  const count = stream.readUInt32LE(record.offset + 8);
  let at = pageBodies(stream, record).from;
  return Array.from({ length: count }, (_, i) => {
    const name = stream.readBigUInt64LE(record.offset + 16 + 8 * i);
    if (withoutBody.has(name >> typeShift)) return { name, body: null };
    const body = stream.subarray(at, at + pageBytes);
    at += pageBytes;
    return { name, body };
  });
}

function pageRecord(pages: readonly { name: PageName; body: Buffer | null }[]): Buffer {
  const bodies = pages.flatMap(({ body }) => (body === null ? [] : [body]));
  const head = Buffer.alloc(16 + 8 * pages.length);
  head.writeUInt32LE(1, 0);
  head.writeUInt32LE(8 + 8 * pages.length + pageBytes * bodies.length, 4);
  head.writeUInt32LE(pages.length, 8);
  for (const [i, { name }] of pages.entries()) head.writeBigUInt64LE(name, 16 + 8 * i);
  return Buffer.concat([head, ...bodies]);
}

/** The same stream with those pages only that `keep` wants; all else stays as it is. */
export function filterPages(
  stream: Buffer,
  keep: (page: { name: PageName; body: Buffer | null }, epoch: number) => boolean,
): Buffer {
  const pieces: Buffer[] = [];
  let copied = 0;
  for (const record of readRecords(stream)) {
    if (recordName(record) !== 'libxc PAGE_DATA') continue;
    pieces.push(stream.subarray(copied, record.offset));
    copied = record.offset + 8 + record.length;
    const kept = pagesOf(stream, record).filter((page) => keep(page, record.epoch));
    if (kept.length > 0) pieces.push(pageRecord(kept));
  }
  pieces.push(stream.subarray(copied));
  return Buffer.concat(pieces);
}

/** The stream cut at the ends of its epochs; the first piece is the seed. */
export function epochsOf(stream: Buffer): Buffer[] {
  const epochs: Buffer[] = [];
  let from = 0;
  for (const record of readRecords(stream)) {
    if (recordName(record) !== 'libxl CHECKPOINT_END') continue;
    epochs.push(stream.subarray(from, record.offset + 8));
    from = record.offset + 8;
  }
  return epochs;
}

const zeroPage = Buffer.alloc(pageBytes);
export const isZero = (body: Buffer | null) => body?.equals(zeroPage) ?? false;

/** Deterministic, so that two runs see the same bytes. */
function randomOf(seed: number): () => number {
  let x = seed;
  return () => {
    x = (Math.imul(x ^ (x >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0;
    return (x ^ (x >>> 13)) >>> 0;
  };
}

function randomPage(random: () => number): Buffer {
  const page = Buffer.alloc(pageBytes);
  for (let at = 0; at < pageBytes; at += 4) page.writeUInt32LE(random(), at);
  return page;
}

const madeEpochs = 8;
const madePages = 1000;

/** `change` makes what a page becomes in the next epoch of what it was; epoch 0 is the seed. */
function made(name: string, first: () => Buffer, change: (page: Buffer) => Buffer): Mix {
  let pages: Page[] = Array.from({ length: madePages }, (_, pfn) => ({ pfn, body: first() }));
  const epochs = [streamStart(), epochOf(pages)];
  for (let n = 0; n < madeEpochs; n++) {
    pages = pages.map(({ pfn, body }) => ({ pfn, body: change(body) }));
    epochs.push(epochOf(pages));
  }
  return { name, origin: 'made', stream: Buffer.concat(epochs) };
}

/** Pages of which each epoch changes 8 of 512 words, here and there. */
function fewWords(): Mix {
  const random = randomOf(1);
  return made(
    'few words',
    () => randomPage(random),
    (page) => {
      const next = Buffer.from(page);
      for (let n = 0; n < 8; n++) next.writeUInt32LE(random(), (random() % 512) * 8);
      return next;
    },
  );
}

/** Pages that are new all over: nothing can be made of them, and that must cost little. */
function noise(): Mix {
  const random = randomOf(2);
  return made(
    'noise',
    () => randomPage(random),
    () => randomPage(random),
  );
}

function recorded(file: string): Mix {
  const params = { [constants.BROTLI_DECODER_PARAM_LARGE_WINDOW]: 1 };
  const stream = brotliDecompressSync(readFileSync(join(mixesDir, file)), { params });
  return { name: file.replace(/\.br$/, ''), origin: 'recorded', stream };
}

export function loadMixes(): Mix[] {
  const files = existsSync(mixesDir) ? readdirSync(mixesDir).sort() : [];
  return [...files.filter((name) => name.endsWith('.br')).map(recorded), fewWords(), noise()];
}
