/**
 * The frame: what every byte on the wire belongs to. Pure, over Buffers.
 *
 *      0       4       6     7     8         12        16        20
 *     +-------+-------+-----+-----+---------+---------+---------+------
 *     | magic |version|type |flags|sequence | length  | crc32   | body
 *     | tsrm  |  u16  | u8  | u8  |  u32    |  u32    |  u32    |
 *     +-------+-------+-----+-----+---------+---------+---------+------
 *
 * Little-endian. `length` counts the body only. `crc32` covers the 16 bytes before it and the
 * body. `sequence` starts at 0 in each direction and rises by one (modulo 2^32), so that a lost,
 * repeated or foreign frame is noticed. `flags` is 0.
 *
 * Magic and version keep their places for ever: that is how two versions recognise each other.
 */
import { digestBlocksMax, digestBytes } from '../core/digests.ts';
import { crc32 } from './crc32.ts';

/** The protocol this build speaks. Raised when an older peer could misunderstand. */
export const protocolVersion = 6;

export const frameMagic = Buffer.from('tsrm', 'latin1');
export const frameHeaderBytes = 20;
const checkedHeaderBytes = 16;

export const dataChunkBytesMax = 256 * 1024;
export const helloBytesMax = 64 * 1024;
export const configBytesMax = 1024 * 1024;
export const textBytesMax = 1024;
/** Lines of 64 requirements, each with what to type. */
export const checkedBytesMax = 256 * 1024;
export const errorBytesMax = 8 * 1024;

/** What is known of a type of frame: its number and how long its body may be. */
export interface FrameType {
  readonly type: number;
  readonly kind: FrameKind;
  readonly bodyMin: number;
  readonly bodyMax: number;
}

export type FrameKind =
  | 'hello'
  | 'config'
  | 'data'
  | 'epoch-end'
  | 'ack'
  | 'heartbeat'
  | 'echo'
  | 'credit'
  | 'ask'
  | 'answer'
  | 'copy-lost'
  | 'activated'
  | 'goodbye'
  | 'error'
  | 'leaving'
  | 'degraded'
  | 'checked'
  | 'disk'
  | 'disk-end'
  | 'compare'
  | 'digests';

/** Length of DATA's prefix: the epoch. */
export const dataPrefixBytes = 4;
/** Length of DISK's: the epoch, and which of the disks in CONFIG. */
export const diskPrefixBytes = 5;
/** Length of DIGESTS's: which of the disks, and the first block. */
export const digestsPrefixBytes = 9;
export const digestsBytesMax = digestBlocksMax * digestBytes;

export const frameTypes: readonly FrameType[] = [
  { type: 1, kind: 'hello', bodyMin: 2, bodyMax: helloBytesMax },
  { type: 2, kind: 'config', bodyMin: 2, bodyMax: configBytesMax },
  {
    type: 3,
    kind: 'data',
    bodyMin: dataPrefixBytes + 1,
    bodyMax: dataPrefixBytes + dataChunkBytesMax,
  },
  { type: 4, kind: 'epoch-end', bodyMin: 44, bodyMax: 44 },
  { type: 5, kind: 'ack', bodyMin: 4, bodyMax: 4 },
  { type: 6, kind: 'heartbeat', bodyMin: 16, bodyMax: 16 },
  { type: 7, kind: 'echo', bodyMin: 8, bodyMax: 8 },
  { type: 8, kind: 'credit', bodyMin: 8, bodyMax: 8 },
  { type: 9, kind: 'ask', bodyMin: 4, bodyMax: 4 },
  { type: 10, kind: 'answer', bodyMin: 5, bodyMax: 5 },
  { type: 11, kind: 'copy-lost', bodyMin: 0, bodyMax: textBytesMax },
  { type: 12, kind: 'activated', bodyMin: 4, bodyMax: 4 },
  { type: 13, kind: 'goodbye', bodyMin: 0, bodyMax: textBytesMax },
  { type: 14, kind: 'error', bodyMin: 2, bodyMax: errorBytesMax },
  { type: 15, kind: 'leaving', bodyMin: 0, bodyMax: textBytesMax },
  { type: 16, kind: 'degraded', bodyMin: 0, bodyMax: textBytesMax },
  { type: 17, kind: 'checked', bodyMin: 2, bodyMax: checkedBytesMax },
  {
    type: 18,
    kind: 'disk',
    bodyMin: diskPrefixBytes + 1,
    bodyMax: diskPrefixBytes + dataChunkBytesMax,
  },
  { type: 19, kind: 'disk-end', bodyMin: 29, bodyMax: 29 },
  { type: 20, kind: 'compare', bodyMin: 13, bodyMax: 13 },
  {
    type: 21,
    kind: 'digests',
    bodyMin: digestsPrefixBytes,
    bodyMax: digestsPrefixBytes + digestsBytesMax,
  },
];

const byType = new Map(frameTypes.map((entry) => [entry.type, entry]));
const byKind = new Map(frameTypes.map((entry) => [entry.kind, entry]));

/** The entry of a type number that came from the wire. */
export function frameTypeOfNumber(type: number): FrameType | undefined {
  return byType.get(type);
}

export function frameTypeOfKind(kind: FrameKind): FrameType {
  const entry = byKind.get(kind);
  if (entry === undefined) throw new Error(`no frame type for ${kind}`);
  return entry;
}

/** A whole, checked frame. `body` may share memory with the bytes it was read from. */
export interface Frame {
  readonly kind: FrameKind;
  readonly sequence: number;
  readonly body: Buffer;
  /** Offset of the frame's first byte in the stream; for error texts. */
  readonly offset: number;
}

/** The sequence number that must follow. */
export function nextSequence(sequence: number): number {
  return (sequence + 1) >>> 0;
}

/**
 * Encodes a frame. `tail` belongs to the body and to the checksum but is not copied: send the
 * returned bytes, then `tail`. Throws a plain Error when the body breaks our own limits, because
 * that is a bug here and no fault of the world's.
 */
export function encodeFrame(
  kind: FrameKind,
  sequence: number,
  body: Uint8Array,
  tail?: Uint8Array,
): Buffer {
  const entry = frameTypeOfKind(kind);
  const length = body.length + (tail?.length ?? 0);
  if (length < entry.bodyMin || length > entry.bodyMax) {
    throw new Error(`${kind} body of ${length} bytes, allowed ${entry.bodyMin}..${entry.bodyMax}`);
  }
  const bytes = Buffer.allocUnsafe(frameHeaderBytes + body.length);
  frameMagic.copy(bytes, 0);
  bytes.writeUInt16LE(protocolVersion, 4);
  bytes.writeUInt8(entry.type, 6);
  bytes.writeUInt8(0, 7);
  bytes.writeUInt32LE(sequence, 8);
  bytes.writeUInt32LE(length, 12);
  bytes.set(body, frameHeaderBytes);
  let crc = crc32(bytes.subarray(0, checkedHeaderBytes));
  crc = crc32(body, crc);
  if (tail !== undefined) crc = crc32(tail, crc);
  bytes.writeUInt32LE(crc, checkedHeaderBytes);
  return bytes;
}

/** The checksum that a received header and body must carry. */
export function frameChecksum(header: Buffer, body: Buffer): number {
  return crc32(body, crc32(header.subarray(0, checkedHeaderBytes)));
}
