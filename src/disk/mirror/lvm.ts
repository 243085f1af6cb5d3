/**
 * What keeps everybody else off the guests' volumes on this host that are refused (mark.ts, M5):
 * LVM is told to skip them whenever it activates something (activation skip, lvchange(8)), at boot
 * too, and one that is a copy is not active while no session needs it. What is not active has no
 * path: xl, xendomains and mount find nothing there.
 *
 *   L1  a mark is written first, and LVM told then: whoever dies in between leaves a mark by which
 *       `followMarks` does the rest, once or more often, with the same end
 *   L2  the volume of a guest that runs here is never made inactive, and LVM itself refuses to do
 *       that to one that anybody has open
 *   L3  a volume that everybody may use again is active again
 */
import { errnoCode, errorText } from '../../host/errors.ts';
import type { DeviceNumber } from '../../native/capture.ts';
import type { DeviceFiles } from '../backing.ts';
import { type DiskMark, isRefused, listMarks, type MarkPlace } from './mark.ts';
import { lvmNamesIn } from './volume.ts';

export interface LvmPorts extends MarkPlace {
  readonly store: MarkPlace['store'] & { listDir(dir: string): Promise<readonly string[]> };
  readonly files: Pick<DeviceFiles, 'stat' | 'readText'>;
  /** Runs a command of this host's; rejects with an OperationError that names it. */
  run(argv: readonly string[]): Promise<void>;
  /** For the log. */
  say(text: string): void;
}

/** What LVM calls the device, `vg0/web1`; null: it is none of LVM's. */
export async function lvmNameOf(
  files: Pick<DeviceFiles, 'readText'>,
  { major, minor }: DeviceNumber,
): Promise<string | null> {
  const textOf = async (name: string) =>
    (await files.readText(`/sys/dev/block/${major}:${minor}/dm/${name}`).catch(() => '')).trim();
  const found = lvmNamesIn(await textOf('name'), await textOf('uuid'));
  return found === null ? null : `${found.group}/${found.volume}`;
}

/** Neither changes the volume's table, whoever has it open (lvchange(8)). */
const skipping = (lvm: string, isSkipped: boolean) => {
  return ['lvchange', '--quiet', '--setactivationskip', isSkipped ? 'y' : 'n', lvm];
};
const activating = (lvm: string) => {
  return ['lvchange', '--quiet', '--activate', 'y', '--ignoreactivationskip', lvm];
};

/** From the next boot on nobody else finds the volume. Rejects with an OperationError. */
export async function refuseAfterBoot(ports: Pick<LvmPorts, 'run'>, lvm: string): Promise<void> {
  await ports.run(skipping(lvm, true));
}

async function isThere({ files }: LvmPorts, path: string): Promise<boolean> {
  try {
    await files.stat(path);
    return true;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ENXIO'].includes(errnoCode(error) ?? '')) return false;
    throw error;
  }
}

/** Those of a guest that LVM has. */
async function volumesOf(
  ports: LvmPorts,
  uuid: string,
): Promise<readonly (DiskMark & { readonly lvm: string })[]> {
  const marks = await listMarks(ports, uuid);
  return marks.flatMap((mark) => (mark.lvm === null ? [] : [{ ...mark, lvm: mark.lvm }]));
}

async function follow(
  ports: LvmPorts,
  mark: DiskMark & { readonly lvm: string },
  which: 'copies' | 'all',
): Promise<void> {
  const { lvm, path, role } = mark;
  const isOff = isRefused(mark);
  await ports.run(skipping(lvm, isOff));
  const isUp = await isThere(ports, path);
  if (!isOff && !isUp) await ports.run(activating(lvm));
  // L2: of a source the guest may be here, held.
  if (isOff && isUp && (role === 'copy' || which === 'all')) {
    await ports.run(['lvchange', '--quiet', '--activate', 'n', lvm]);
  }
}

/**
 * Has LVM do as the marks of the guest's disks say (L1); no session is to have them open. `all`:
 * the guest is not here, and what is refused is made inactive whatever it was. Never rejects: what
 * could not be done is said, and done by whoever is next.
 */
export async function followMarks(
  ports: LvmPorts,
  uuid: string,
  which: 'copies' | 'all' = 'copies',
): Promise<void> {
  try {
    for (const mark of await volumesOf(ports, uuid)) {
      await follow(ports, mark, which).catch((error: unknown) => {
        const what = isRefused(mark) ? 'is not refused to everybody else' : 'stays refused';
        ports.say(`${mark.lvm} ${what}: ${errorText(error)}`);
      });
    }
  } catch (error) {
    ports.say(`who may use the disks of ${uuid} could not be seen to: ${errorText(error)}`);
  }
}

/**
 * The guest's disks on this host get their paths back, for a session that makes copies of them or a
 * look at that; whether one had none. Rejects with an OperationError where LVM does not do it.
 */
export async function bringOut(ports: LvmPorts, uuid: string): Promise<boolean> {
  let isNew = false;
  for (const { lvm, path } of await volumesOf(ports, uuid)) {
    if (await isThere(ports, path)) continue;
    await ports.run(activating(lvm));
    isNew = true;
  }
  return isNew;
}
