/** What a person said of a guest's disks on the other host, for protect and resync. */
import { adviceLine } from '../core/texts/advice.ts';
import type { AnnouncedDisk, DiskFacts } from '../core/vocabulary.ts';
import { OperationError } from '../host/errors.ts';
import type { GuestSpec, Hypervisor } from '../hypervisor/port.ts';

export interface DiskOptions {
  /** What a first copy may read of each disk in a second; null: as much as goes. */
  readonly bytesPerSecond: number | null;
  /** Where a disk is on the other host (--disk); those that are not named: by the same path. */
  readonly places: ReadonlyMap<string, string>;
  /** Disks of which what is on the other host may go, whosever it is (--init-disk). */
  readonly overwritten: readonly string[];
}

/** Nothing was said. */
export const plainDisks: DiskOptions = {
  bytesPerSecond: null,
  places: new Map(),
  overwritten: [],
};

/** Throws OperationError('unsupported-guest') where a disk was named that the guest has not. */
export function refuseUnknownDisks(
  { name, writableDisks }: Pick<GuestSpec, 'name' | 'writableDisks'>,
  { places, overwritten }: DiskOptions,
): void {
  const known = writableDisks.map((disk) => disk.name);
  const wrong = [...places.keys(), ...overwritten].find((disk) => !known.includes(disk));
  if (wrong === undefined) return;
  const has = known.length === 0 ? 'none' : known.join(', ');
  const text = `${name} has no disk ${wrong} that it can write (it has ${has})`;
  throw new OperationError('unsupported-guest', text, {
    ...{
      op: 'inspect-guest',
      subject: name,
      hint: adviceLine({ kind: 'list-guest', domain: name }),
    },
  });
}

/** What the guest is made of on the other host. */
export function specThere(
  hypervisor: Pick<Hypervisor, 'withDisks'>,
  spec: GuestSpec,
  { places }: DiskOptions,
): GuestSpec {
  return places.size === 0 ? spec : hypervisor.withDisks(spec, places);
}

/** What is told of the disks. */
export function factsFor(
  disks: readonly { readonly facts: DiskFacts }[],
  { overwritten }: DiskOptions,
): readonly AnnouncedDisk[] {
  return disks.map(({ facts }) => {
    return { ...facts, mayOverwrite: overwritten.includes(facts.name) };
  });
}
