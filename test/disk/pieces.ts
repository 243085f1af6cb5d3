/**
 * What the tests of disks have in common: the records of an epoch (struct tsr_disk_record of
 * native/disk/disk.h), and the way of the pieces from one end to the other, as a session moves
 * them: in order, a few under way, until the link is cut.
 */
import type { BackupDisk, DiskPiece, PrimaryDisk } from '../../src/disk/port.ts';

export const recordBytes = 16;
export const recordFlags = { fua: 1, flush: 2, trim: 4, zeroes: 8 } as const;

export interface DiskRecord {
  readonly at: number;
  readonly length: number;
  readonly flags: number;
}

export function encodeRecord({ at, length, flags }: DiskRecord, data?: Buffer): Buffer {
  const bytes = Buffer.alloc(recordBytes + (data?.length ?? 0));
  bytes.writeBigUInt64LE(BigInt(at), 0);
  bytes.writeUInt32LE(length, 8);
  bytes.writeUInt32LE(flags, 12);
  data?.copy(bytes, recordBytes);
  return bytes;
}

/** The first record of `bytes`, if all of it is there, and how long it is with its data. */
export function decodeRecord(
  bytes: Buffer,
): { readonly record: DiskRecord; readonly data: Buffer; readonly used: number } | null {
  if (bytes.length < recordBytes) return null;
  const record = {
    at: Number(bytes.readBigUInt64LE(0)),
    length: bytes.readUInt32LE(8),
    flags: bytes.readUInt32LE(12),
  };
  const isPlain = (record.flags & ~recordFlags.fua) === 0;
  const used = recordBytes + (isPlain ? record.length : 0);
  if (bytes.length < used) return null;
  return { record, data: bytes.subarray(recordBytes, used), used };
}

/** So many pieces are under way before one has to arrive. */
const underWayMax = 3;

export interface PieceEnds {
  readonly primary: Pick<PrimaryDisk, 'read'>;
  readonly backup: Pick<BackupDisk, 'take' | 'end'>;
  /** Pieces are cut here; no multiple of anything, so that they end within records. */
  readonly pieceBytes: number;
  readonly isAlive: (end: 'primary' | 'backup') => boolean;
}

export class PieceLink {
  readonly #ends: PieceEnds;
  readonly #buffer: Buffer;
  #underWay: { readonly piece: DiskPiece; readonly bytes: Buffer }[] = [];
  #isCut = false;

  constructor(ends: PieceEnds) {
    this.#ends = ends;
    this.#buffer = Buffer.alloc(ends.pieceBytes);
  }

  cut(): void {
    this.#isCut = true;
    this.#underWay = [];
  }

  /** Takes up one piece, or lets one arrive; false: there is none. */
  async step(): Promise<boolean> {
    if (this.#isCut) return false;
    if (this.#underWay.length < underWayMax && this.#takeUp()) return true;
    const next = this.#underWay.shift();
    if (next === undefined) return false;
    const { backup, isAlive } = this.#ends;
    if (!isAlive('backup')) return true;
    const { epoch, bytes, isEnd } = next.piece;
    if (bytes > 0) await backup.take(epoch, next.bytes);
    if (isEnd) backup.end(epoch);
    return true;
  }

  #takeUp(): boolean {
    const { primary, isAlive } = this.#ends;
    if (!isAlive('primary')) return false;
    let piece: DiskPiece | null;
    try {
      piece = primary.read(this.#buffer);
    } catch {
      return false;
    }
    if (piece === null) return false;
    const bytes = Buffer.from(this.#buffer.subarray(0, piece.bytes));
    this.#underWay.push({ piece, bytes });
    return true;
  }
}
