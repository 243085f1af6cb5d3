/**
 * A guest's disk as the mirror driver sees it: a volume of the device mapper whose table is made of
 * linear and striped targets only. Why another one is not taken, and what is put where.
 */
import { join } from 'node:path';
import { type Advice, adviceLine } from '../../core/texts/advice.ts';
import { sleep } from '../../host/clock.ts';
import { errnoCode, OperationError } from '../../host/errors.ts';
import type { DeviceNumber } from '../../native/capture.ts';
import { type BlockDevice, backingOf } from '../backing.ts';
import type { LookAt } from '../look.ts';
import type { MirrorFiles, MirrorPorts } from './host.ts';
import { missingModules } from './modules.ts';

/** A volume, and where what belongs to it is. */
export interface Volume {
  /** As the device mapper calls it. */
  readonly name: string;
  /** The device of ours over its plain table. */
  readonly under: string;
  /** Of sessions and guards; LVM's of the volume group, empty where it is none of LVM's. */
  readonly lock: string;
  readonly vgLock: string;
  /** As LVM calls it, `vg0/web1`; null: it is none of LVM's. */
  readonly lvm: string | null;
  /** Of the smallest write that it takes. */
  readonly sectorBytes: number;
}

/** Of volumes that were tried (test/disk/kernel). */
const sectorSizes: readonly number[] = [512, 4096];
/** What begins the name of every device of ours. */
const prefix = 'tsremus-';
/** DM_NAME_LEN, with its NUL. */
const nameCharactersMax = 127;
/** LVM's locking_dir (lvm.conf, global), as Debian and others have it. */
const lvmLocks = '/run/lock/lvm';
const otherKernel = {
  kind: 'install-packages',
  packages: ['linux-image-amd64'],
  why: 'and boot it: cloud kernels lack them',
} as const satisfies Advice;
/** How long a guard may take for what a dead session left, ms; then it is not at that. */
const guardMsMax = 10_000;
const pollMs = 100;

async function textOf(files: MirrorFiles, path: string): Promise<string | null> {
  try {
    return (await files.readText(path)).trim();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ENODEV', 'ESRCH'].includes(errnoCode(error) ?? '')) return null;
    throw error;
  }
}

const folderOf = ({ major, minor }: DeviceNumber) => `/sys/dev/block/${major}:${minor}`;

/**
 * Group and volume of what the device mapper calls `name` and `uuid`, where LVM made it: the
 * hyphens of either are doubled (dm_split_lvm_name).
 */
export function lvmNamesIn(name: string, uuid: string): { group: string; volume: string } | null {
  if (!/^LVM-\w{64}$/.test(uuid)) return null;
  const [, group, volume] = /^((?:[^-]|--)+)-(?!-)(.+)$/.exec(name) ?? [];
  if (group === undefined || volume === undefined) return null;
  return { group: group.replaceAll('--', '-'), volume: volume.replaceAll('--', '-') };
}

function volumeOf(name: string, uuid: string, sectorBytes: number, folder: string): Volume {
  const lvm = lvmNamesIn(name, uuid);
  return {
    name,
    under: prefix + name,
    lock: join(folder, `${name.replaceAll(/[^\w.+-]/g, '_')}.lock`),
    vgLock: lvm === null ? '' : join(lvmLocks, `V_${lvm.group}`),
    lvm: lvm === null ? null : `${lvm.group}/${lvm.volume}`,
    sectorBytes,
  };
}

/** Why a volume is not taken, a clause. */
export interface NotTaken {
  readonly why: string;
  readonly advice: Advice | null;
  readonly isToCome: boolean;
}

/** Volumes whose tables keep state: a second instance of one would destroy it, or see nothing. */
const otherTargets: Readonly<Record<string, string>> = {
  crypt: 'encrypted on this host: let the guest encrypt its disk, or put it below a volume of LVM',
  thin: 'a thin volume',
  snapshot: 'a snapshot',
  'snapshot-origin': 'the origin of a snapshot, which has to be removed first',
  cache: 'cached',
  raid: 'a RAID volume: put the RAID below the volume group',
  era: 'under dm-era',
};

function notTaken(why: string, advice: Advice | null = null): NotTaken {
  return { why, advice, isToCome: false };
}

/** A volume whose table has a `target` that is not taken. */
function notLinear({ name, lvm }: Volume, target: string): NotTaken {
  const what = otherTargets[target] ?? `of the type ${target}`;
  const why = `is ${what}; only linear and striped volumes are taken`;
  const [group = ''] = lvm?.split('/') ?? [];
  const advice: Advice =
    target === 'snapshot-origin' && group !== ''
      ? { kind: 'see-snapshots', group }
      : { kind: 'move-to-volume', path: `/dev/mapper/${name}`, format: 'raw' };
  return { why, advice, isToCome: target === 'thin' };
}

/** The volume that this device is, where it can be mirrored. Rejects when the host does not say. */
export async function findVolume(
  ports: Pick<MirrorPorts, 'files' | 'folder' | 'captures'>,
  device: DeviceNumber,
): Promise<Volume | NotTaken> {
  const { files, folder, captures } = ports;
  const dir = folderOf(device);
  const name = (await textOf(files, `${dir}/dm/name`)) ?? '';
  const uuid = (await textOf(files, `${dir}/dm/uuid`)) ?? '';
  const sectorBytes = Number(await textOf(files, `${dir}/queue/logical_block_size`));
  const volume = volumeOf(name, uuid, sectorBytes, folder);
  if (name.startsWith(prefix)) return notTaken('is a device of tsremus itself');
  if (name === '' || volume.under.length > nameCharactersMax) {
    return notTaken(`has a name of more than ${nameCharactersMax - prefix.length} letters`);
  }
  if (!sectorSizes.includes(sectorBytes)) return notTaken(`has sectors of ${sectorBytes} bytes`);
  const see: Advice = { kind: 'see-disk', path: `/dev/mapper/${name}` };
  if ((await textOf(files, `${dir}/ro`)) === '1') return notTaken('is read-only on this host', see);
  const [holder] = await files.list(`${dir}/holders`);
  if (holder !== undefined) return notTaken(`is in use on this host, by ${holder}`, see);
  const found = await (await captures()).lookAtVolume(name, volume.under);
  if (found === null) return notTaken('is not there any more');
  return found.state === 'other' ? notLinear(volume, found.target) : volume;
}

/** The mirror driver's look at a block device: whether it is taken. */
export function lookForMirror(
  ports: Pick<MirrorPorts, 'files' | 'folder' | 'captures' | 'run'>,
): LookAt {
  return async (device: BlockDevice) => {
    if (device.sort !== 'device-mapper') return null;
    const found = await findVolume(ports, device);
    if (!('name' in found)) {
      const { why, advice, isToCome } = found;
      return { text: why, advice: advice === null ? null : adviceLine(advice), isToCome };
    }
    const missing = await missingModules(ports);
    if (missing.length === 0) return 'taken';
    const text = `cannot be copied by this kernel, which has no ${missing.join(', ')}`;
    return { text, advice: adviceLine(otherKernel), isToCome: false };
  };
}

/** The volume behind a guest's disk, and its number. Throws where it cannot be mirrored. */
export async function volumeBehind(
  ports: MirrorPorts,
  target: string,
): Promise<{ readonly volume: Volume; readonly device: DeviceNumber }> {
  const refuse = (why: string) =>
    new OperationError('unsupported-guest', `${target} cannot be replicated: it ${why}`, {
      op: 'find-volume',
      subject: target,
    });
  const backing = await backingOf(ports.files, target);
  if (backing.kind !== 'block' || backing.sort !== 'device-mapper') {
    throw refuse('is no device-mapper volume');
  }
  const found = await findVolume(ports, backing);
  if (!('name' in found)) throw refuse(found.why);
  const { major, minor } = backing;
  return { volume: found, device: { major, minor } };
}

/** Who set an NBD device up, alive or not; null: nobody has it. */
export async function holderOf(files: MirrorFiles, leg: DeviceNumber): Promise<string | null> {
  return textOf(files, `${folderOf(leg)}/pid`);
}

/** As the kernel keeps the name of the guard's program, cut. */
const guardComm = 'tsremus-disk-gu';

/**
 * The guard that holds an NBD device; null: it has died. The kernel notes it for as long as a
 * mirror has the device open.
 */
async function guardOf(files: MirrorFiles, leg: DeviceNumber): Promise<string | null> {
  const pid = await holderOf(files, leg);
  if (pid === null) return null;
  return (await textOf(files, `/proc/${pid}/comm`)) === guardComm ? pid : null;
}

/**
 * Takes away what a session left of a mirror; whether one was there. A guard that lives is given
 * time to do it itself; a mirror whose guard goes on is somebody's: `locked`.
 */
export async function repairVolume(ports: MirrorPorts, volume: Volume): Promise<boolean> {
  const { files, timers } = ports;
  const { name, under, lock, vgLock } = volume;
  const captures = await ports.captures();
  for (let waitedMs = 0; ; waitedMs += pollMs) {
    const found = await captures.lookAtVolume(name, under);
    const guard = found?.state === 'mirrored' ? await guardOf(files, found.leg) : null;
    if (guard === null) return captures.repairVolume(name, under, lock, vgLock);
    if (waitedMs >= guardMsMax) {
      const text = `the volume ${name} is mirrored already, by process ${guard}`;
      throw new OperationError('locked', text, { op: 'repair-volume', subject: name });
    }
    await sleep(timers, pollMs);
  }
}
