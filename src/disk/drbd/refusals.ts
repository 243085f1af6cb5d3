/** Why a guest's disks are not replicated, those on DRBD by what DRBD says of them. */

import type { GuestDisk } from '../../hypervisor/port.ts';
import { type Backing, backingOf, type DeviceFiles } from '../backing.ts';
import type { DiskRefusal } from '../port.ts';
import { type DrbdTools, findDrbd } from './find.ts';
import { primaryProblem } from './usable.ts';

export interface DrbdLook {
  readonly files: DeviceFiles;
  readonly tools: DrbdTools;
}

/** What a disk is that is no DRBD device, in words that a person has for it. */
function otherSort(disk: GuestDisk, backing: Backing): string {
  if (disk.format !== 'raw') return `a ${disk.format} image`;
  switch (backing.kind) {
    case 'absent':
      return 'not there';
    case 'file':
      return 'a file';
    case 'other':
      return 'no block device';
    case 'block':
      return backing.sort === 'device-mapper'
        ? 'a device-mapper volume'
        : backing.sort === 'partition'
          ? 'a partition'
          : 'a block device without DRBD';
  }
}

const notYet = ', which no driver takes yet';

const refusal = (disk: GuestDisk, text: string, advice: string | null, isToCome = false) => ({
  ...{ disk: disk.name, advice, isToCome },
  text: `${disk.target} ${text}`,
});

async function refusalOf(look: DrbdLook, disk: GuestDisk): Promise<DiskRefusal> {
  if (disk.script !== null || !disk.target.startsWith('/')) {
    return refusal(disk, `is what ${disk.script ?? 'a back end'} makes of it${notYet}`, null, true);
  }
  const backing = await backingOf(look.files, disk.target);
  if (backing.kind !== 'block' || backing.sort !== 'drbd' || disk.format !== 'raw') {
    const isThere = backing.kind !== 'absent';
    const text = `is ${otherSort(disk, backing)}${isThere ? notYet : ''}`;
    return refusal(disk, text, null, isThere);
  }
  const found = await findDrbd(look.tools, backing.minor);
  const problem = 'unusable' in found ? found.unusable : primaryProblem(found);
  if (problem === null) return refusal(disk, `is on DRBD with protocol D${notYet}`, null, true);
  return refusal(disk, `cannot be used: ${problem.text}`, problem.advice);
}

/** A reason for each disk. Rejects when DRBD does not answer. */
export async function drbdRefusals(
  look: DrbdLook,
  disks: readonly GuestDisk[],
): Promise<readonly DiskRefusal[]> {
  const found: DiskRefusal[] = [];
  // One after the other: each runs commands that take DRBD's own lock.
  for (const disk of disks) {
    found.push(await refusalOf(look, disk));
  }
  return found;
}
