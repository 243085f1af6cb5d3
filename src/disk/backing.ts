/**
 * What is below a guest's disk on this host, as the kernel says (sysfs: Documentation/ABI). Which
 * driver takes a disk, and why none does, begins with this.
 */
import { readFile, readlink, stat } from 'node:fs/promises';
import { errnoCode } from '../host/errors.ts';

/** A block device. */
export interface BlockDevice {
  readonly kind: 'block';
  readonly major: number;
  readonly minor: number;
  readonly sort: 'drbd' | 'device-mapper' | 'partition' | 'device';
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
  // A node may be left without a device behind it.
  if ((await orNull(files.readLink(dir))) === null) return { kind: 'absent' };
  const has = async (name: string) => (await orNull(files.readText(`${dir}/${name}`))) !== null;
  if (major === drbdMajor) return { kind: 'block', major, minor, sort: 'drbd' };
  if (await has('dm/name')) return { kind: 'block', major, minor, sort: 'device-mapper' };
  return { kind: 'block', major, minor, sort: (await has('partition')) ? 'partition' : 'device' };
}
