/**
 * Typed wrapper of native/disk/hasher.h: the digests of a disk's blocks. Nothing here decides;
 * failures are NativeErrors (loader.ts).
 */
import { constants } from 'node:os';
import { digestBlocksMax, digestBytes } from '../core/digests.ts';
import { type NativeEvent, readEvents } from './events.ts';
import type { CType } from './ffi.ts';
import { NativeRoom } from './loader.ts';

const signatures = {
  tsr_hasher_open: ['pointer', 'pointer'],
  tsr_hasher_ask: ['int', 'uint64', 'uint32'],
  tsr_hasher_take: ['int', 'pointer', 'size_t'],
  tsr_hasher_close: ['int'],
} as const satisfies Record<string, readonly CType[]>;

const settingsBytes = 272;
const pathAt = 16;
const flags = { alone: 1, anyFile: 2 } as const;

const { EINVAL } = constants.errno;

/** struct tsr_hasher_settings. */
export interface HasherSettings {
  readonly path: string;
  readonly sizeBytes: number;
  /** Nobody else may have it mounted, or hold it. */
  readonly isAlone: boolean;
  /** For tests: a plain file will do, too. */
  readonly isAnyFile: boolean;
}

export class HasherLibrary {
  readonly #room: NativeRoom<keyof typeof signatures>;
  readonly #taken = Buffer.alloc(digestBlocksMax * digestBytes);

  /** `path`: of libtsremus, where it is not beside us. */
  constructor(path?: string) {
    this.#room = new NativeRoom(signatures, path);
  }

  async hasherOpen(
    { path, sizeBytes, isAlone, isAnyFile }: HasherSettings,
    onEvent: (event: NativeEvent) => void,
  ): Promise<number> {
    const bytes = Buffer.alloc(settingsBytes);
    const text = Buffer.from(path);
    if (text.length >= settingsBytes - pathAt) throw new Error('a path that is too long');
    bytes.writeBigUInt64LE(BigInt(sizeBytes), 0);
    bytes.writeUInt32LE((isAlone ? flags.alone : 0) | (isAnyFile ? flags.anyFile : 0), 8);
    text.copy(bytes, pathAt);
    const fd = Buffer.alloc(4);
    const code = await this.#room.fn('tsr_hasher_open').callAsync(bytes, fd);
    const handle = this.#room.checked('open a disk', code);
    readEvents(fd.readInt32LE(0), onEvent);
    return handle;
  }

  /** False: the disk has not got these blocks, or they are too many. */
  hasherAsk(handle: number, first: number, count: number): boolean {
    const code = this.#room.fn('tsr_hasher_ask').call(handle, first, count);
    if (code !== -EINVAL) this.#room.checked('read a disk', code, handle);
    return code >= 0;
  }

  /** The digests that were asked for, once an event told that they are here. */
  hasherTake(handle: number): Buffer {
    const take = this.#room.fn('tsr_hasher_take');
    const code = take.call(handle, this.#taken, this.#taken.length);
    const bytes = this.#room.checked('take the digests of a disk', code, handle);
    return Buffer.from(this.#taken.subarray(0, bytes));
  }

  async hasherClose(handle: number): Promise<void> {
    const code = await this.#room.fn('tsr_hasher_close').callAsync(handle);
    this.#room.checked('close a disk', code);
  }
}
