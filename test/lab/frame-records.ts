/**
 * What guest/frames.c keeps of a frame, read back: `struct frame_record` of guest/traffic.h, 48
 * bytes, little-endian. Pure.
 */

/** In the order of `enum frame_kind`. */
const kinds = [
  'other',
  'flow',
  'ping4-ask',
  'ping4',
  'ping6-ask',
  'ping6',
  'arp-ask',
  'arp',
  'tcp',
  'beacon',
  'announce',
] as const;
export type FrameKind = (typeof kinds)[number];

export interface FrameRecord {
  /** The capturing host's wall clock, ms with a fraction of a microsecond. */
  readonly timeMs: number;
  /** By its MAC; else it goes to a guest. */
  readonly fromGuest: boolean;
  /** It went out at the interface; else it came in. */
  readonly leaves: boolean;
  readonly kind: FrameKind;
  /** The 802.1Q tag; 0: none. */
  readonly vlan: number;
  readonly bytes: number;
  /** The last four bytes of the guest's MAC: its interface is in the third, its number last. */
  readonly guest: number;
  /** What an answer has in common with its request. */
  readonly key: number;
  /** Only of kind `flow`. */
  readonly flow: number;
  readonly suspends: number;
  readonly sequence: number;
  readonly flowSequence: number;
}

export const recordBytes = 48;

/** All records of a file; throws when it ends within one or holds a kind that is not known. */
export function decodeFrames(data: Buffer): FrameRecord[] {
  if (data.length % recordBytes !== 0) {
    throw new RangeError(`${data.length} bytes are no whole number of records`);
  }
  const records: FrameRecord[] = [];
  for (let at = 0; at < data.length; at += recordBytes) records.push(decode(data, at));
  return records;
}

function decode(data: Buffer, at: number): FrameRecord {
  const kind = kinds[data.readUInt8(at + 9)];
  if (kind === undefined) throw new RangeError(`kind ${data.readUInt8(at + 9)} at byte ${at}`);
  const timeNs = data.readBigUInt64LE(at);
  return {
    timeMs: Number(timeNs / 1000n) / 1000,
    fromGuest: (data.readUInt8(at + 8) & 1) !== 0,
    leaves: (data.readUInt8(at + 8) & 2) !== 0,
    kind,
    vlan: data.readUInt16LE(at + 10),
    bytes: data.readUInt16LE(at + 12),
    flow: data.readUInt16LE(at + 14),
    guest: data.readUInt32LE(at + 16),
    suspends: data.readUInt32LE(at + 20),
    key: Number(data.readBigUInt64LE(at + 24)),
    sequence: Number(data.readBigUInt64LE(at + 32)),
    flowSequence: Number(data.readBigUInt64LE(at + 40)),
  };
}
