/**
 * Looks at each of a guest's disks: what it is, and which driver takes it. A disk that none takes
 * is refused by what it is, and by its driver's own reason where it is of a driver's kind.
 */
import { adviceLine } from '../core/texts/advice.ts';
import type { GuestDisk } from '../hypervisor/port.ts';
import { type Backing, type BlockDevice, backingOf, type DeviceFiles } from './backing.ts';
import { blockScriptOf, devicePathOf } from './block-script.ts';
import type { DiskRefusal } from './port.ts';

type Refused = Omit<DiskRefusal, 'disk'>;

/** A driver's look at a block device: why it is not taken; null: it is not of its kind. */
export type LookAt = (device: BlockDevice) => Promise<Refused | 'taken' | null>;

const words: Readonly<Record<Exclude<Backing['kind'], 'block'> | BlockDevice['sort'], string>> = {
  absent: 'not there',
  file: 'a file',
  other: 'no block device',
  drbd: 'a DRBD device',
  'device-mapper': 'a device-mapper volume',
  partition: 'a partition',
  device: 'a block device',
};

/** What nobody takes who is there, said of what the disk is; `advice`: what would be taken. */
function byItself(what: string, advice: string | null): Refused {
  return { text: `is ${what}, which cannot be copied yet`, advice, isToCome: true };
}

async function lookAt(
  files: DeviceFiles,
  drivers: readonly LookAt[],
  disk: GuestDisk,
): Promise<Refused | 'taken'> {
  const { target, format, script } = disk;
  const isScripts = script !== null && blockScriptOf(disk) === null;
  if (isScripts || !target.startsWith('/')) {
    return byItself(`what ${script ?? 'a back end'} makes of it`, null);
  }
  const backing = await backingOf(files, devicePathOf(disk));
  if (backing.kind === 'absent') {
    const text = script === null ? words.absent : `not under ${devicePathOf(disk)} on this host`;
    return { text: `is ${text}`, advice: null, isToCome: false };
  }
  const moved = adviceLine({ kind: 'move-to-volume', path: target, format });
  if (format !== 'raw') return byItself(`a ${format} image`, moved);
  if (backing.kind === 'other') return byItself(words.other, null);
  const wrapped = adviceLine({ kind: 'use-block-script', path: target });
  if (backing.kind !== 'block') return byItself(words[backing.kind], wrapped);
  for (const driver of drivers) {
    const found = await driver(backing);
    if (found !== null) return found;
  }
  return byItself(words[backing.sort], backing.sort === 'device-mapper' ? moved : wrapped);
}

/**
 * A reason for each disk that no driver takes, in their order. Rejects when this host does not say.
 */
export async function diskRefusals(
  files: DeviceFiles,
  drivers: readonly LookAt[],
  disks: readonly GuestDisk[],
): Promise<readonly DiskRefusal[]> {
  const found: DiskRefusal[] = [];
  // One after the other: a driver's commands may take a lock of their own.
  for (const disk of disks) {
    const seen = await lookAt(files, drivers, disk);
    if (seen === 'taken') continue;
    const { text, ...rest } = seen;
    found.push({ ...rest, disk: disk.name, text: `${disk.target} ${text}` });
  }
  return found;
}
