/**
 * Typed wrapper of native/disk/disk.h and volume.h: a guest's volume, and the capture of what the
 * guest writes to it. Nothing here decides; failures are NativeErrors (loader.ts).
 */
import { constants } from 'node:os';
import { digestBytes } from '../core/digests.ts';
import { type NativeEvent, readEvents } from './events.ts';
import { type CType, cString } from './ffi.ts';
import { NativeRoom } from './loader.ts';

const signatures = {
  tsr_volume_look: ['pointer', 'pointer', 'pointer'],
  tsr_volume_make_under: ['pointer', 'pointer', 'pointer'],
  tsr_volume_repair: ['pointer', 'pointer', 'pointer', 'pointer'],
  tsr_capture_open: ['pointer', 'pointer', 'pointer', 'pointer'],
  tsr_capture_insert: ['int'],
  tsr_capture_copy: ['int'],
  tsr_capture_digests: ['int', 'uint64', 'uint32', 'pointer'],
  tsr_capture_seal: ['int', 'uint64'],
  tsr_capture_read: ['int', 'pointer', 'size_t', 'pointer'],
  tsr_capture_check: ['int'],
  tsr_capture_look: ['int', 'pointer'],
  tsr_capture_close: ['int'],
} as const satisfies Record<string, readonly CType[]>;

/** enum tsr_volume_state. */
const volumeStates = ['plain', 'other', 'mirrored'] as const;

/** As the kernel has it. */
export interface DeviceNumber {
  readonly major: number;
  readonly minor: number;
}

/** struct tsr_volume. */
export interface FoundVolume {
  readonly sizeBytes: number;
  /** `mirrored`: a mirror of ours is live, or loaded. */
  readonly state: (typeof volumeStates)[number];
  /** The device over its plain table is there. */
  readonly hasUnder: boolean;
  /** Of `mirrored`: the NBD device. */
  readonly leg: DeviceNumber;
  /** Of `other`: a target that is neither linear nor striped. */
  readonly target: string;
}

/** TSR_COPY_COMPARED of enum tsr_first_copy. */
const copyCompared = 2;
const volumeBytes = 40;
const nameBytes = 128;
const pathBytes = 256;

/** struct tsr_capture_settings. */
export interface CaptureSettings {
  readonly sizeBytes: number;
  readonly roomBytes: number;
  /** So many bytes that wait ask for a checkpoint. */
  readonly askBytes: number;
  /** What the first copy reads in a second at most; 0: as much as goes. */
  readonly copyBytesPerSecond: number;
  /** A write waits for room, and nobody reads for so long: then the leg is given up. */
  readonly waitMs: number;
  readonly leg: DeviceNumber;
  readonly name: string;
  readonly under: string;
  /** The path of `under`. */
  readonly plain: string;
  readonly lock: string;
  /** Of LVM's on the volume group; empty: the volume is not LVM's. */
  readonly vgLock: string;
}

function putText(into: Buffer, at: number, bytes: number, text: string): number {
  const size = Buffer.byteLength(text);
  // The library refuses what has no NUL at its end.
  into.write(text, at, Math.min(size, bytes), 'utf8');
  return at + bytes;
}

/** struct tsr_capture_settings, with a first copy that is compared with the other disk. */
export function encodeSettings(settings: CaptureSettings): Buffer {
  const bytes = Buffer.alloc(48 + 2 * nameBytes + 3 * pathBytes);
  bytes.writeBigUInt64LE(BigInt(settings.sizeBytes), 0);
  bytes.writeBigUInt64LE(BigInt(settings.roomBytes), 8);
  bytes.writeBigUInt64LE(BigInt(settings.askBytes), 16);
  bytes.writeBigUInt64LE(BigInt(settings.copyBytesPerSecond), 24);
  bytes.writeUInt32LE(settings.waitMs, 32);
  bytes.writeUInt32LE(settings.leg.major, 36);
  bytes.writeUInt32LE(settings.leg.minor, 40);
  bytes.writeUInt32LE(copyCompared, 44);
  let at = putText(bytes, 48, nameBytes, settings.name);
  at = putText(bytes, at, nameBytes, settings.under);
  at = putText(bytes, at, pathBytes, settings.plain);
  at = putText(bytes, at, pathBytes, settings.lock);
  putText(bytes, at, pathBytes, settings.vgLock);
  return bytes;
}

/** struct tsr_capture_stats, as far as somebody asks. */
export interface CaptureFigures {
  readonly writes: number;
  readonly writtenBytes: number;
  readonly waitingBytes: number;
  readonly mostBytes: number;
  readonly pacedMs: number;
  readonly toCopyBytes: number;
  readonly copiedBytes: number;
  readonly hasCopied: boolean;
  /** Of what was copied: the other disk had it. */
  readonly equalBytes: number;
  readonly isLocked: boolean;
}

const statsBytes = 168;

export function decodeFigures(bytes: Buffer): CaptureFigures {
  const number = (index: number) => Number(bytes.readBigUInt64LE(8 * index));
  return {
    writes: number(0),
    writtenBytes: number(1),
    waitingBytes: number(9) + number(10),
    mostBytes: number(11),
    pacedMs: number(13) / 1e6,
    isLocked: number(15) === 1,
    toCopyBytes: number(16),
    copiedBytes: number(17),
    hasCopied: number(18) === 1,
    equalBytes: number(20),
  };
}

/** Bytes of an epoch that were put into a buffer. */
export interface CapturePiece {
  readonly epoch: number;
  readonly bytes: number;
  /** With them the epoch is complete. */
  readonly isEnd: boolean;
}

/** What the guard gets of a capture, descriptors that the caller closes. */
export interface GuardDescriptors {
  /** The kernel's end of the capture's socket. */
  readonly leg: number;
  /** What the capture says of itself. */
  readonly pace: number;
}

export interface OpenCapture {
  /** A barrier of the save's, too. */
  readonly handle: number;
  readonly guards: GuardDescriptors;
  stopEvents(): void;
}

const { EAGAIN, EBUSY, ENXIO, EPROTO } = constants.errno;

export class CaptureLibrary {
  readonly #room: NativeRoom<keyof typeof signatures>;
  readonly #piece = Buffer.alloc(16);
  readonly #stats = Buffer.alloc(statsBytes);

  /** `path`: of libtsremus, where it is not beside us. */
  constructor(path?: string) {
    this.#room = new NativeRoom(signatures, path);
  }

  /** The volume as the device mapper calls it; null: there is none of that name. */
  async lookAtVolume(name: string, under: string): Promise<FoundVolume | null> {
    const out = Buffer.alloc(volumeBytes);
    const look = this.#room.fn('tsr_volume_look');
    const code = await look.callAsync(cString(name), cString(under), out);
    if (code === -ENXIO) return null;
    this.#room.checked('look at a volume', code);
    const target = out.toString('latin1', 24, volumeBytes);
    return {
      sizeBytes: Number(out.readBigUInt64LE(0)),
      state: volumeStates[out.readUInt32LE(8)] ?? 'other',
      hasUnder: out.readUInt32LE(12) === 1,
      leg: { major: out.readUInt32LE(16), minor: out.readUInt32LE(20) },
      target: target.slice(0, Math.max(0, target.indexOf('\0'))),
    };
  }

  /** Makes the device over the volume's plain table; its path. */
  async makeUnder(name: string, under: string): Promise<string> {
    const minor = Buffer.alloc(4);
    const make = this.#room.fn('tsr_volume_make_under');
    const code = await make.callAsync(cString(name), cString(under), minor);
    this.#room.checked('make the device under a volume', code);
    // Udev makes no other name for it, and devtmpfs has this one at once.
    return `/dev/dm-${minor.readUInt32LE(0)}`;
  }

  /** Takes away what a session left of a mirror; whether one was there. */
  async repairVolume(name: string, under: string, lock: string, vgLock: string): Promise<boolean> {
    const repair = this.#room.fn('tsr_volume_repair');
    const texts = [name, under, lock, vgLock].map(cString);
    return this.#room.checked('take a mirror away', await repair.callAsync(...texts)) === 1;
  }

  async openCapture(
    settings: CaptureSettings,
    onEvent: (event: NativeEvent) => void,
  ): Promise<OpenCapture> {
    const [leg, pace, events] = [Buffer.alloc(4), Buffer.alloc(4), Buffer.alloc(4)];
    const open = this.#room.fn('tsr_capture_open');
    // It locks all of its room in memory.
    const code = await open.callAsync(encodeSettings(settings), leg, pace, events);
    const handle = this.#room.checked('capture what a guest writes', code);
    const { close } = readEvents(events.readInt32LE(0), onEvent);
    const guards = { leg: leg.readInt32LE(0), pace: pace.readInt32LE(0) };
    return { handle, guards, stopEvents: close };
  }

  /** False: somebody else is changing the volume's table, and it has to be tried again. */
  async insertMirror(handle: number): Promise<boolean> {
    const code = await this.#room.fn('tsr_capture_insert').callAsync(handle);
    if (code !== -EBUSY) this.#room.checked('put a mirror in', code);
    return code >= 0;
  }

  startCopy(handle: number): void {
    this.#room.checked('begin the first copy', this.#room.fn('tsr_capture_copy').call(handle));
  }

  /**
   * Answers the oldest `disk-compare`: the other disk's digests from block `first` on; none:
   * nothing is compared from there on. False: that was not asked.
   */
  giveDigests(handle: number, first: number, digests: Buffer): boolean {
    const count = digests.length / digestBytes;
    if (!Number.isInteger(count)) return false;
    const code = this.#room.fn('tsr_capture_digests').call(handle, first, count, digests);
    if (code !== -EPROTO) this.#room.checked('compare a disk', code);
    return code >= 0;
  }

  /** What the save does by itself, where there is one. */
  sealCapture(handle: number, epoch: number): void {
    this.#room.checked('seal', this.#room.fn('tsr_capture_seal').call(handle, epoch));
  }

  /** Null: there is nothing to read now. */
  readCapture(handle: number, into: Buffer): CapturePiece | null {
    const read = this.#room.fn('tsr_capture_read');
    const code = read.call(handle, into, into.length, this.#piece);
    if (code === -EAGAIN) return null;
    const bytes = this.#room.checked('read what a guest wrote', code);
    const epoch = Number(this.#piece.readBigUInt64LE(0));
    return { epoch, bytes, isEnd: this.#piece.readBigUInt64LE(8) === 0n };
  }

  /** Throws where the mirror is not as it was put in; false: as `insertMirror`. */
  async checkCapture(handle: number): Promise<boolean> {
    const code = await this.#room.fn('tsr_capture_check').callAsync(handle);
    if (code !== -EBUSY) this.#room.checked('look at a mirror', code);
    return code >= 0;
  }

  lookAtCapture(handle: number): CaptureFigures {
    const code = this.#room.fn('tsr_capture_look').call(handle, this.#stats);
    this.#room.checked('look at a capture', code);
    return decodeFigures(this.#stats);
  }

  /** Takes the mirror away; whether that was done here. The capture is closed in any case. */
  async closeCapture(handle: number): Promise<boolean> {
    const code = await this.#room.fn('tsr_capture_close').callAsync(handle);
    return this.#room.checked('take a mirror away', code) === 1;
  }
}
