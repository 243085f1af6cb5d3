/**
 * The disk that HVM guests boot from: a sector of code, a command line, Linux and its initramfs, at
 * places that guest/boot.S says. Made once; each guest's own is a copy with its command line.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { artifact, digestFiles } from './cache.ts';
import { LabError, run } from './command.ts';
import { labDir } from './settings.ts';

const sectorBytes = 512;
const kernelSector = 8;
/** Where guest/boot.S puts the initramfs, and how much room there is in the smallest guest. */
const initramfsAddress = 80 * 1024 * 1024;
const initramfsBytesMax = 6 * 1024 * 1024;
/** Where the sector of code has what it reads. */
const numbersAt = 0x1a0;

/** Of the command line, which is in the sectors behind the first. */
export const lineAt = sectorBytes;
export const lineBytesMax = 4 * sectorBytes;

/** Where the disks of guests are in a host. */
export const bootDiskPath = (guest: string) => `/lab/${guest}.img`;

/** The disk without a command line: built, or found. */
export async function ensureBootDisk(
  kind: string,
  kernel: string,
  initramfs: string,
): Promise<string> {
  const inputs = [kernel, initramfs, digestFiles(['boot-disk.ts', 'guest/boot.S'])];
  const dir = await artifact(`bootdisk-${kind}`, inputs, async (target) => {
    const code = join(target, 'code');
    await run([
      'gcc',
      '-m32',
      '-nostdlib',
      '-Wl,--build-id=none,-Ttext=0x7c00,--oformat=binary',
      '-o',
      code,
      join(labDir, 'guest/boot.S'),
    ]);
    const image = layOut(readFileSync(code), readFileSync(kernel), readFileSync(initramfs));
    writeFileSync(join(target, 'boot.img'), image);
  });
  return join(dir, 'boot.img');
}

/** Documentation/arch/x86/boot.rst: setup_sects, behind which the kernel proper begins. */
function layOut(code: Buffer, kernel: Buffer, initramfs: Buffer): Buffer {
  if (code.length !== sectorBytes) throw new LabError(`guest/boot.S is ${code.length} bytes long`);
  // pref_address and init_size: where the kernel unpacks itself to, and what that takes.
  const kernelEnd = Number(kernel.readBigUInt64LE(0x258)) + kernel.readUInt32LE(0x260);
  if (kernelEnd > initramfsAddress || initramfs.length > initramfsBytesMax) {
    throw new LabError(`guest/boot.S has no room: kernel ${kernelEnd}, ${initramfs.length} bytes`);
  }
  const sectors = (data: Buffer) => Math.ceil(data.length / sectorBytes);
  const setupSectors = (kernel[0x1f1] || 4) + 1;
  const initramfsSector = kernelSector + sectors(kernel);
  const image = Buffer.alloc((initramfsSector + sectors(initramfs)) * sectorBytes);
  code.copy(image);
  kernel.copy(image, kernelSector * sectorBytes);
  initramfs.copy(image, initramfsSector * sectorBytes);
  let at = image.writeUInt32LE(setupSectors, numbersAt);
  at = image.writeUInt32LE(sectors(kernel) - setupSectors, at);
  at = image.writeUInt32LE(initramfsSector, at);
  at = image.writeUInt32LE(sectors(initramfs), at);
  image.writeUInt32LE(initramfs.length, at);
  return image;
}

/** A shell's line that makes the disk of `guest` in a host, with the command line on its input. */
export function makeBootDisk(guest: string): string {
  const path = bootDiskPath(guest);
  const write = `dd of=${path} bs=${sectorBytes} seek=${lineAt / sectorBytes} conv=notrunc,sync`;
  return `cp /lab/boot.img ${path} && ${write} status=none`;
}
