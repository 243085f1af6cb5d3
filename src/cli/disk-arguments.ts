/** The options of protect and resync that speak of disks on the other host. */
import { type Command, Option } from 'commander';
import { diskPlaces, overwrittenDisks } from '../config/disk-places.ts';
import { resyncRate } from '../config/resync-rate.ts';
import type { DiskOptions } from '../session/disk-options.ts';

/** As commander hands them over. */
export interface DiskFlags {
  /** False with --no-disk, where a command has that; true: not said. */
  readonly disk?: boolean | readonly string[];
  readonly initDisk?: readonly string[];
  readonly resyncRate?: string;
}

const collected = (value: string, before: unknown) => [
  ...(Array.isArray(before) ? (before as string[]) : []),
  value,
];

/** Where disks are on the other host, and which of them may be written over. */
export function addDiskPlaces(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--disk <vdev=path>',
        'where a disk is on HOST, if not by the same path',
      ).argParser(collected),
    )
    .addOption(
      new Option('--init-disk <vdev>', 'write over what is on that disk of HOST').argParser(
        collected,
      ),
    );
}

export function addDiskOptions(command: Command): Command {
  return addDiskPlaces(command).option(
    '--resync-rate <rate>',
    'read no more of a disk in a second to copy it, such as 50M',
  );
}

/** Throws UsageError. */
export function diskOptions({ disk, initDisk = [], resyncRate: rate }: DiskFlags): DiskOptions {
  return {
    bytesPerSecond: resyncRate(rate),
    places: diskPlaces(typeof disk === 'object' ? disk : []),
    overwritten: overwrittenDisks(initDisk),
  };
}
