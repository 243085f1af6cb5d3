/**
 * Typed wrapper of native/disk/apply.h: a guest's disk on the backup. Nothing here decides;
 * failures are NativeErrors (loader.ts).
 */
import { type NativeEvent, readEvents } from './events.ts';
import type { CType } from './ffi.ts';
import { NativeRoom } from './loader.ts';

const signatures = {
  tsr_apply_open: ['pointer', 'pointer', 'pointer'],
  tsr_apply_feed: ['int', 'pointer', 'size_t'],
  tsr_apply_end: ['int', 'uint64'],
  tsr_apply_commit: ['int', 'uint64'],
  tsr_apply_settle: ['int'],
  tsr_apply_roll_back: ['int'],
  tsr_apply_look: ['int', 'pointer'],
  tsr_apply_close: ['int'],
} as const satisfies Record<string, readonly CType[]>;

const settingsBytes = 296;
const pathAt = 40;
const foundBytes = 24;
const statsBytes = 64;

/** struct tsr_apply_settings. */
export interface ApplySettings {
  readonly path: string;
  readonly sizeBytes: number;
  readonly sectorBytes: number;
  /** So many bytes may be here, applied or not. */
  readonly limitBytes: number;
  /** With no more than so many that wait for the disk there is room. */
  readonly roomBytes: number;
  /** For tests: a plain file will do, too. */
  readonly isAnyFile: boolean;
}

/** struct tsr_apply_found: the disk as it was found. */
export interface FoundDisk {
  readonly sizeBytes: number;
  readonly sectorBytes: number;
  /** Its first and its last MiB are zeroes. */
  readonly isBlank: boolean;
  readonly major: number;
  readonly minor: number;
}

/** Of struct tsr_apply_stats. */
export interface ApplyStats {
  /** Bytes that count and are not written yet. */
  readonly waitingBytes: number;
  /** Bytes that do not count yet. */
  readonly keptBytes: number;
}

function settingsOf(settings: ApplySettings): Buffer {
  const bytes = Buffer.alloc(settingsBytes);
  const path = Buffer.from(settings.path);
  if (path.length >= settingsBytes - pathAt) throw new Error('a path that is too long');
  bytes.writeBigUInt64LE(BigInt(settings.sizeBytes), 0);
  bytes.writeBigUInt64LE(BigInt(settings.limitBytes), 8);
  bytes.writeBigUInt64LE(BigInt(settings.roomBytes), 16);
  bytes.writeUInt32LE(settings.sectorBytes, 24);
  bytes.writeUInt32LE(settings.isAnyFile ? 1 : 0, 28);
  path.copy(bytes, pathAt);
  return bytes;
}

export class ApplyLibrary {
  readonly #room: NativeRoom<keyof typeof signatures>;

  /** `path`: of libtsremus, where it is not beside us. */
  constructor(path?: string) {
    this.#room = new NativeRoom(signatures, path);
  }

  /** Opens the disk for itself alone, and looks at it; nothing of it is changed. */
  async applyOpen(
    settings: ApplySettings,
    onEvent: (event: NativeEvent) => void,
  ): Promise<{ readonly handle: number; readonly found: FoundDisk }> {
    const found = Buffer.alloc(foundBytes);
    const fd = Buffer.alloc(4);
    const fn = this.#room.fn('tsr_apply_open');
    const code = await fn.callAsync(settingsOf(settings), found, fd);
    const handle = this.#room.checked('open a disk', code);
    readEvents(fd.readInt32LE(0), onEvent);
    return {
      handle,
      found: {
        sizeBytes: Number(found.readBigUInt64LE(0)),
        sectorBytes: found.readUInt32LE(8),
        isBlank: found.readUInt32LE(12) === 1,
        major: found.readUInt32LE(16),
        minor: found.readUInt32LE(20),
      },
    };
  }

  /** Takes a copy; true: there is no room for more now, and an event will say when there is. */
  applyFeed(handle: number, data: Buffer): boolean {
    const code = this.#room.fn('tsr_apply_feed').call(handle, data, data.length);
    return this.#room.checked('take what a disk has', code, handle) === 1;
  }

  applyEnd(handle: number, epoch: number): void {
    const code = this.#room.fn('tsr_apply_end').call(handle, epoch);
    this.#room.checked('end an epoch of a disk', code, handle);
  }

  applyCommit(handle: number, epoch: number): void {
    const code = this.#room.fn('tsr_apply_commit').call(handle, epoch);
    this.#room.checked('commit an epoch of a disk', code, handle);
  }

  applySettle(handle: number): void {
    this.#room.checked('settle a disk', this.#room.fn('tsr_apply_settle').call(handle), handle);
  }

  applyRollBack(handle: number): void {
    const code = this.#room.fn('tsr_apply_roll_back').call(handle);
    this.#room.checked('roll a disk back', code, handle);
  }

  applyLook(handle: number): ApplyStats {
    const stats = Buffer.alloc(statsBytes);
    const code = this.#room.fn('tsr_apply_look').call(handle, stats);
    this.#room.checked('look at a disk', code, handle);
    return {
      waitingBytes: Number(stats.readBigUInt64LE(0)),
      keptBytes: Number(stats.readBigUInt64LE(8)),
    };
  }

  async applyClose(handle: number): Promise<void> {
    const code = await this.#room.fn('tsr_apply_close').callAsync(handle);
    this.#room.checked('close a disk', code);
  }
}
