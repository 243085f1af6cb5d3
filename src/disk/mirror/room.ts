/** The memory in which what a guest writes to its disks waits where it runs. Pure. */
import type { HostSettings } from '../../config/host-settings.ts';
import { diskEpochBytesMax } from '../../core/limits.ts';
import { adviceLine } from '../../core/texts/advice.ts';
import { formatBytes } from '../../core/units.ts';
import type { GuestDisk } from '../../hypervisor/port.ts';
import type { DiskRefusal } from '../port.ts';

/** For what a guest wrote and nobody has read yet, of each disk: the longest epoch. Locked. */
export const roomBytes = diskEpochBytesMax;

/** Why these disks together are not taken: the kernel would kill somebody for their memory. */
export function roomRefusals(
  { memoryBytes, availableBytes }: Pick<HostSettings, 'memoryBytes' | 'availableBytes'>,
  disks: readonly Pick<GuestDisk, 'name'>[],
): readonly DiskRefusal[] {
  const need = disks.length * roomBytes;
  if (availableBytes >= need) return [];
  const what = `${formatBytes(need)} of its own memory for what is written`;
  const text = `this host need ${what}, and ${formatBytes(availableBytes)} are available`;
  const mib = Math.ceil((memoryBytes + need - availableBytes) / 1024 ** 2);
  return [
    {
      disk: disks.map(({ name }) => name).join(', '),
      text,
      advice: adviceLine({ kind: 'grow-own-memory', mib }),
      isToCome: false,
    },
  ];
}
