/**
 * What the two sides say to each other: the typed union and its coding as frames. Pure.
 *
 *     primary                                   backup
 *        | HELLO (purpose, domain, session) ---> |
 *        | <------------ HELLO (accepted, pulse) |      or refused, and the end
 *        | CONFIG -----------------------------> |
 *        | DATA 0 ..., EPOCH_END 0 ------------> |      the seed, streamed through
 *        | <----------------- CREDIT ... , ACK 0 |
 *        | DATA 1 ..., EPOCH_END 1 ------------> |      held until whole and checked
 *        | COMPARE --------> <-------- DIGESTS |      what a disk there holds already
 *        | DISK 1 ..., DISK_END 1 -------------> |      before EPOCH_END 1, for each disk
 *        | <------------------------------ ACK 1 |
 *        | HEARTBEAT n <-> ECHO n                |      both ways, between chunks of data
 *        | ASK id ------------> <-- ANSWER id    |      "may I open the buffer?"
 *        | <---- COPY_LOST, ACTIVATED, ERROR     |
 *        | <------------------ LEAVING, DEGRADED |
 *        | CONFIG ------> <------------ CHECKED |      or, of purpose `check`: a look
 *        | GOODBYE ----------------------------> |      an orderly end
 *
 * Numbers are little-endian; u64 values above 2^53 - 1 are refused.
 */

import { lineThere } from '../core/texts/advice.ts';
import type { Answer } from '../core/vocabulary.ts';
import { isOperationCode, OperationError } from '../host/errors.ts';
import { cleanText } from '../host/text.ts';
import { type Checked, encodeChecked, parseChecked } from './checked-message.ts';
import { Fields, parseJson } from './checks.ts';
import { encodeConfig, type GuestConfig, parseConfig } from './config-message.ts';
import {
  dataPrefixBytes,
  digestsPrefixBytes,
  diskPrefixBytes,
  type Frame,
  type FrameKind,
  textBytesMax,
} from './frame.ts';
import { encodeHello, type Hello, type HelloReply, parseHello } from './hello-message.ts';

export type Message =
  | Hello
  | HelloReply
  | GuestConfig
  /** A piece of the encoded checkpoint stream, cut anywhere. */
  | { readonly kind: 'data'; readonly epoch: number; readonly chunk: Buffer }
  | EpochEnd
  /** A piece of what a disk has in the epoch, encoded, cut anywhere; `disk`: as CONFIG counts. */
  | {
      readonly kind: 'disk';
      readonly epoch: number;
      readonly disk: number;
      readonly chunk: Buffer;
    }
  | DiskEnd
  | Compare
  | Digests
  | { readonly kind: 'ack'; readonly epoch: number }
  | { readonly kind: 'heartbeat'; readonly seq: number; readonly heldMs: number }
  | { readonly kind: 'echo'; readonly seq: number }
  /** Bytes of DATA and DISK chunks that the receiver has used up since the session began. */
  | { readonly kind: 'credit'; readonly bytes: number }
  | { readonly kind: 'ask'; readonly id: number }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: Answer }
  | { readonly kind: 'copy-lost'; readonly reason: string }
  | { readonly kind: 'activated'; readonly epoch: number }
  | { readonly kind: 'goodbye'; readonly reason: string }
  /** The backup was told to end: it gives its copy up for a primary that asks. */
  | { readonly kind: 'leaving'; readonly reason: string }
  /** Why the backup could not record a takeover now; empty: it could again. */
  | { readonly kind: 'degraded'; readonly reason: string }
  | Checked
  /** Why the sender ends the session. */
  | {
      readonly kind: 'error';
      readonly code: string;
      readonly text: string;
      readonly hint: string | null;
    };

/** What both sides must find at the end of an epoch, see src/stream/codec. */
export interface EpochDigest {
  readonly rawBytes: number;
  /** Of the raw bytes of the epoch. */
  readonly checksum: bigint;
  /** Of all that happened to the page cache in the session. */
  readonly cacheState: bigint;
}

/**
 * All of the epoch is sent: `bytes` in DATA, made from `pages` pages. What they decode to, and what
 * that leaves in the page cache, must be the same on both sides.
 */
export interface EpochEnd {
  readonly kind: 'epoch-end';
  readonly epoch: number;
  readonly bytes: number;
  readonly pages: number;
  readonly digest: EpochDigest;
}

/** All that the disk has in the epoch is sent: `bytes` in DISK, which may be none. */
export interface DiskEnd {
  readonly kind: 'disk-end';
  readonly epoch: number;
  readonly disk: number;
  readonly bytes: number;
  readonly digest: Omit<EpochDigest, 'cacheState'>;
}

/** What do `count` blocks of that disk hold on the backup's host, from `first` on? */
export interface Compare {
  readonly kind: 'compare';
  readonly disk: number;
  readonly first: number;
  readonly count: number;
}

/** The answer, bytes of the disk driver's own; empty: nothing that is worth a look. */
export interface Digests {
  readonly kind: 'digests';
  readonly disk: number;
  readonly first: number;
  readonly digests: Buffer;
}

export type MessageKind = Message['kind'];

const answerKinds = [
  'promised',
  'activating',
  'running',
  'ended',
  'absent',
  'unknown',
] as const satisfies readonly Answer['kind'][];

/** Which frame carries a message. */
export function frameKindOf(message: Message): FrameKind {
  switch (message.kind) {
    case 'hello-accepted':
    case 'hello-refused':
      return 'hello';
    default:
      return message.kind;
  }
}

/** The body of a frame. DATA and DISK give their prefix only: the chunk itself is not copied. */
export function encodeBody(message: Message): Buffer {
  switch (message.kind) {
    case 'hello':
    case 'hello-accepted':
    case 'hello-refused':
      return encodeHello(message);
    case 'config':
      return encodeConfig(message);
    case 'data':
    case 'ack':
    case 'activated':
      return u32(message.epoch);
    case 'disk':
      return Buffer.concat([u32(message.epoch), Buffer.from([message.disk])]);
    case 'disk-end':
      return encodeDiskEnd(message);
    case 'compare':
      return Buffer.concat([Buffer.from([message.disk]), u64(message.first), u32(message.count)]);
    case 'digests':
      return Buffer.concat([Buffer.from([message.disk]), u64(message.first), message.digests]);
    case 'epoch-end':
      return encodeEpochEnd(message);
    case 'heartbeat':
      return Buffer.concat([u64(message.seq), u64(message.heldMs)]);
    case 'echo':
      return u64(message.seq);
    case 'credit':
      return u64(message.bytes);
    case 'ask':
      return u32(message.id);
    case 'answer':
      return Buffer.concat([
        u32(message.id),
        Buffer.from([answerKinds.indexOf(message.answer.kind)]),
      ]);
    case 'copy-lost':
    case 'goodbye':
    case 'leaving':
    case 'degraded':
      return Buffer.from(cleanText(message.reason, textBytesMax));
    case 'checked':
      return encodeChecked(message);
    case 'error':
      return encodeError(message.code, message.text, message.hint);
  }
}

function encodeDiskEnd({ epoch, disk, bytes, digest }: DiskEnd): Buffer {
  const { rawBytes, checksum } = digest;
  const sizes = [u64(bytes), u64(rawBytes), hash(checksum)];
  return Buffer.concat([u32(epoch), Buffer.from([disk]), ...sizes]);
}

function encodeEpochEnd({ epoch, bytes, pages, digest }: EpochEnd): Buffer {
  const { rawBytes, checksum, cacheState } = digest;
  const sizes = [u64(bytes), u64(pages), u64(rawBytes)];
  return Buffer.concat([u32(epoch), ...sizes, hash(checksum), hash(cacheState)]);
}

/** The message of a whole frame; throws an OperationError `protocol` that names the wrong field. */
export function decodeMessage(frame: Frame): Message {
  const body = frame.body;
  switch (frame.kind) {
    case 'hello':
      return parseHello(body);
    case 'config':
      return parseConfig(body);
    case 'data':
      return { kind: 'data', epoch: body.readUInt32LE(0), chunk: body.subarray(dataPrefixBytes) };
    case 'disk':
      return {
        kind: 'disk',
        epoch: body.readUInt32LE(0),
        disk: body.readUInt8(4),
        chunk: body.subarray(diskPrefixBytes),
      };
    case 'disk-end':
      return parseDiskEnd(frame);
    case 'compare':
      return {
        kind: 'compare',
        disk: body.readUInt8(0),
        first: readU64(frame, 1, 'first'),
        count: body.readUInt32LE(9),
      };
    case 'digests':
      return {
        kind: 'digests',
        disk: body.readUInt8(0),
        first: readU64(frame, 1, 'first'),
        digests: body.subarray(digestsPrefixBytes),
      };
    case 'epoch-end':
      return parseEpochEnd(frame);
    case 'ack':
    case 'activated':
      return { kind: frame.kind, epoch: body.readUInt32LE(0) };
    case 'heartbeat':
      return {
        kind: 'heartbeat',
        seq: readU64(frame, 0, 'seq'),
        heldMs: readU64(frame, 8, 'heldMs'),
      };
    case 'echo':
      return { kind: 'echo', seq: readU64(frame, 0, 'seq') };
    case 'credit':
      return { kind: 'credit', bytes: readU64(frame, 0, 'bytes') };
    case 'ask':
      return { kind: 'ask', id: body.readUInt32LE(0) };
    case 'answer':
      return { kind: 'answer', id: body.readUInt32LE(0), answer: parseAnswer(frame) };
    case 'copy-lost':
    case 'goodbye':
    case 'leaving':
    case 'degraded':
      return { kind: frame.kind, reason: parseText(frame) };
    case 'checked':
      return parseChecked(body);
    case 'error':
      return parseError(body);
  }
}

function parseDiskEnd(frame: Frame): DiskEnd {
  const { body } = frame;
  return {
    kind: 'disk-end',
    epoch: body.readUInt32LE(0),
    disk: body.readUInt8(4),
    bytes: readU64(frame, 5, 'bytes'),
    digest: { rawBytes: readU64(frame, 13, 'rawBytes'), checksum: body.readBigUInt64LE(21) },
  };
}

function parseEpochEnd(frame: Frame): EpochEnd {
  const { body } = frame;
  return {
    kind: 'epoch-end',
    epoch: body.readUInt32LE(0),
    bytes: readU64(frame, 4, 'bytes'),
    pages: readU64(frame, 12, 'pages'),
    digest: {
      rawBytes: readU64(frame, 20, 'rawBytes'),
      checksum: body.readBigUInt64LE(28),
      cacheState: body.readBigUInt64LE(36),
    },
  };
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${value} is no u64`);
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function hash(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}

function bodyError(frame: Frame, field: string, value: unknown, rule: string): OperationError {
  return new OperationError(
    'protocol',
    `protocol error in ${frame.kind} at byte ${frame.offset} of the stream: ` +
      `field ${field} is ${value}, ${rule}`,
    { op: 'read-message', subject: field },
  );
}

function readU64(frame: Frame, at: number, field: string): number {
  const value = frame.body.readBigUInt64LE(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw bodyError(frame, field, value, `limit ${Number.MAX_SAFE_INTEGER}`);
  }
  return Number(value);
}

function parseAnswer(frame: Frame): Answer {
  const number = frame.body.readUInt8(4);
  const kind = answerKinds[number];
  if (kind === undefined) throw bodyError(frame, 'kind', number, 'unknown');
  return { kind };
}

function parseText(frame: Frame): string {
  return cleanText(frame.body.toString('utf8'), 3 * textBytesMax);
}

function encodeError(code: string, text: string, hint: string | null): Buffer {
  return Buffer.from(
    JSON.stringify({
      code,
      text: cleanText(text, textBytesMax),
      hint: hint === null ? null : cleanText(hint, textBytesMax),
    }),
  );
}

function parseError(body: Buffer): Message {
  const fields = new Fields('ERROR', parseJson('ERROR', body));
  return {
    kind: 'error',
    code: fields.matching('code', /^[a-z][a-z-]{0,63}$/, 'must be a code in kebab-case'),
    text: fields.text('text', textBytesMax),
    hint: fields.textOrNull('hint', textBytesMax),
  };
}

/**
 * What the peer refused or failed with, as an error of ours; an unknown code is `peer-refused`.
 * `there`: makes of a line that the peer offers for its own host what is typed here.
 */
export function peerError(
  host: string,
  said: { readonly code: string; readonly text: string; readonly hint: string | null },
  there = (line: string) => lineThere(null, line),
): OperationError {
  const code = isOperationCode(said.code) ? said.code : 'peer-refused';
  return new OperationError(code, `${host} says: ${said.text}`, {
    op: 'hear-peer',
    subject: host,
    hint: said.hint === null ? undefined : there(said.hint),
  });
}
