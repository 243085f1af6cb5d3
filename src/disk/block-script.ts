/**
 * Disks that Xen's script block-tsremus makes (share/xen/block-tsremus): files and partitions under
 * a linear volume of the device mapper, which exists while a guest has the disk, or somebody opened
 * it for a copy.
 */
import { createHash } from 'node:crypto';
import type { GuestDisk } from '../hypervisor/port.ts';

const name = 'block-tsremus';
/** Where Xen looks for a script that is named without its folder. */
const folder = '/etc/xen/scripts';

/** The script that makes this disk, where it is ours; else null. */
export function blockScriptOf({ script }: Pick<GuestDisk, 'script'>): string | null {
  if (script === name) return `${folder}/${name}`;
  return script?.endsWith(`/${name}`) === true ? script : null;
}

/** What the script calls the volume over a target: `volume_of` there. */
function volumeOver(target: string): string {
  const base = target.slice(target.lastIndexOf('/') + 1);
  // By bytes, as the script's locale has it.
  const letters = Buffer.from(base)
    .toString('latin1')
    .replaceAll(/[^A-Za-z0-9]/g, '_');
  const digest = createHash('sha256').update(target).digest('hex');
  return `block-${letters.slice(0, 40)}-${digest.slice(0, 12)}`;
}

/** The block device of a disk that a guest of this host has, by its path. */
export function devicePathOf(disk: Pick<GuestDisk, 'script' | 'target'>): string {
  return blockScriptOf(disk) === null ? disk.target : `/dev/mapper/${volumeOver(disk.target)}`;
}
