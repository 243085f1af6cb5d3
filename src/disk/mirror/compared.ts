/** Disks that are read to be compared with those of the other host: nothing is written to them. */
import type { DiskFacts } from '../../core/vocabulary.ts';
import { errorText, OperationError } from '../../host/errors.ts';
import type { GuestDisk, GuestSpec } from '../../hypervisor/port.ts';
import { devicePathOf } from '../block-script.ts';
import type { ComparedDisk } from '../port.ts';
import { DiskDigests, type Hasher } from './digests.ts';
import type { MirrorPorts } from './host.ts';
import { volumeBehind } from './volume.ts';

/** Where they are, and what reads them. */
export interface ComparedPorts {
  readonly hasher: Hasher;
  /** As MirrorBackupPorts has it. */
  readonly attach: (disk: GuestDisk) => Promise<string>;
  /** For tests: a plain file will do, too. */
  readonly isAnyFile: boolean;
}

type Disks = Pick<GuestSpec, 'writableDisks'>;

interface ToCompare {
  readonly facts: DiskFacts;
  readonly own: GuestDisk;
  readonly isAlone: boolean;
}

async function openOne(
  ports: ComparedPorts,
  { facts, own, isAlone }: ToCompare,
): Promise<ComparedDisk> {
  const { hasher, isAnyFile } = ports;
  const { name, sizeBytes } = facts;
  const open = async () => {
    const path = await ports.attach(own);
    return DiskDigests.open(hasher, { path, sizeBytes, isAlone, isAnyFile });
  };
  const disk = await open().catch((error: unknown) => {
    const text = `disk ${name} cannot be compared: ${errorText(error)}`;
    const more = { op: 'open-disk', subject: name, cause: error };
    throw new OperationError('unsupported-guest', text, more);
  });
  return {
    ...{ name, facts },
    digests: (first, count) => disk.of(first, count),
    close: () => disk.close(),
  };
}

/** All or none. */
async function openAll(
  ports: ComparedPorts,
  disks: readonly ToCompare[],
): Promise<readonly ComparedDisk[]> {
  const opened: ComparedDisk[] = [];
  try {
    for (const disk of disks) opened.push(await openOne(ports, disk));
    return opened;
  } catch (error) {
    for (const disk of opened) await disk.close();
    throw error;
  }
}

/**
 * What the guest's own are like, in the order of its configuration. `generationOf`: of one by its
 * name. Throws OperationError.
 */
export async function lookAtOwn(
  mirror: MirrorPorts,
  { writableDisks }: Disks,
  generationOf: (name: string) => Promise<number>,
): Promise<Pick<ToCompare, 'facts' | 'own'>[]> {
  const captures = await mirror.captures();
  const disks: Pick<ToCompare, 'facts' | 'own'>[] = [];
  for (const disk of writableDisks) {
    const { name } = disk;
    const target = devicePathOf(disk);
    const { name: volume, under, sectorBytes } = (await volumeBehind(mirror, target)).volume;
    const found = await captures.lookAtVolume(volume, under);
    if (found === null) {
      const about = { op: 'open-disk', subject: name };
      throw new OperationError('storage', `${target} is not there any more`, about);
    }
    const generation = await generationOf(name);
    const { sizeBytes } = found;
    disks.push({ facts: { name, sizeBytes, sectorBytes, generation }, own: disk });
  }
  return disks;
}

/** The guest's own, which it writes to meanwhile. Throws OperationError. */
export async function openOwn(
  mirror: MirrorPorts,
  ports: ComparedPorts,
  disks: Disks,
): Promise<readonly ComparedDisk[]> {
  // No generation goes anywhere: nothing is written.
  const own = await lookAtOwn(mirror, disks, async () => 0);
  return openAll(
    ports,
    own.map((disk) => ({ ...disk, isAlone: false })),
  );
}

/** Those that stand on this host where `facts` are of another one's. Throws OperationError. */
export async function openCopies(
  ports: ComparedPorts,
  { writableDisks }: Disks,
  all: readonly DiskFacts[],
): Promise<readonly ComparedDisk[]> {
  const disks = all.map((facts) => {
    const disk = writableDisks.find(({ name }) => name === facts.name);
    if (disk === undefined) throw new Error(`the guest has no disk ${facts.name}`);
    return { facts, own: disk, isAlone: true };
  });
  return openAll(ports, disks);
}
