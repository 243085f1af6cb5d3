/**
 * What is below a guest's disk on this host, as the kernel says (sysfs: Documentation/ABI). Which
 * driver takes a disk, and why none does, begins with this.
 */
import { readFile, readlink, stat } from 'node:fs/promises';
import { errnoCode } from '../host/errors.ts';

/** A block device. */
export interface BlockDevice {
  readonly kind: 'block';
  /** The kernel's own name: `drbd1`, `dm-0`, `sda1`. */
  readonly name: string;
  readonly minor: number;
  readonly sort: 'drbd' | 'device-mapper' | 'partition' | 'device';
  readonly sizeBytes: number;
  /** The smallest write that it takes. */
  readonly sectorBytes: number;
}

export type Backing =
  | BlockDevice
  /** `absent`: nothing has that path; `other`: a folder, a socket, a character device. */
  | { readonly kind: 'file' | 'absent' | 'other' };

/** The few calls that are asked of the kernel; each rejects with its `code`. */
export interface DeviceFiles {
  stat(path: string): Promise<{ readonly kind: 'block' | 'file' | 'other'; readonly rdev: number }>;
  readText(path: string): Promise<string>;
  readLink(path: string): Promise<string>;
}

/** Of the host whose files are below `root`. */
export function deviceFiles(root: string): DeviceFiles {
  return {
    async stat(path) {
      const found = await stat(root + path);
      const sort = found.isFile() ? 'file' : 'other';
      return { kind: found.isBlockDevice() ? 'block' : sort, rdev: found.rdev };
    },
    readText: (path) => readFile(root + path, 'utf8'),
    readLink: (path) => readlink(root + path),
  };
}

/** include/uapi/linux/major.h has no name for it; drbd_int.h: LANANA's number for DRBD. */
const drbdMajor = 147;

/** glibc's gnu_dev_major and gnu_dev_minor. */
function deviceNumber(rdev: number): { readonly major: number; readonly minor: number } {
  const value = BigInt(rdev);
  const major = ((value >> 8n) & 0xfffn) | ((value >> 32n) & ~0xfffn);
  const minor = (value & 0xffn) | ((value >> 12n) & ~0xffn);
  return { major: Number(major), minor: Number(minor) };
}

async function orNull<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EINVAL'].includes(errnoCode(error) ?? '')) return null;
    throw error;
  }
}

/** What is at `path`. Rejects when the kernel does not say, as for want of rights. */
export async function backingOf(files: DeviceFiles, path: string): Promise<Backing> {
  const found = await orNull(files.stat(path));
  if (found === null) return { kind: 'absent' };
  if (found.kind !== 'block') return { kind: found.kind };
  const { major, minor } = deviceNumber(found.rdev);
  const dir = `/sys/dev/block/${major}:${minor}`;
  const link = await orNull(files.readLink(dir));
  if (link === null) return { kind: 'absent' }; // a node without a device behind it
  const number = async (name: string) => {
    const text = await orNull(files.readText(`${dir}/${name}`));
    return text === null || !/^\d+\s*$/.test(text) ? null : Number(text);
  };
  const isPartition = (await number('partition')) !== null;
  const isMapped = (await orNull(files.readText(`${dir}/dm/name`))) !== null;
  const queue = isPartition ? '../queue' : 'queue';
  const sort = isMapped ? 'device-mapper' : isPartition ? 'partition' : 'device';
  return {
    kind: 'block',
    name: link.slice(link.lastIndexOf('/') + 1),
    minor,
    sort: major === drbdMajor ? 'drbd' : sort,
    // sysfs counts in 512 bytes whatever the sector (block/genhd.c).
    sizeBytes: ((await number('size')) ?? 0) * 512,
    sectorBytes: (await number(`${queue}/logical_block_size`)) ?? 512,
  };
}
