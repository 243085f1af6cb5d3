/** The NBD devices of this host, of which each mirror needs one. */
import { errnoCode, OperationError } from '../../host/errors.ts';
import type { DeviceNumber } from '../../native/capture.ts';
import type { MirrorPorts } from './host.ts';
import { holderOf } from './volume.ts';

export interface Leg extends DeviceNumber {
  /** /dev/nbd0 */
  readonly path: string;
}

/**
 * What is loaded with the module, where it is not there yet: its own sixteen are soon too few. The
 * kernel makes no more of them later that could be set up by ioctl.
 */
const devicesWanted = 64;

async function listLegs({ files }: MirrorPorts): Promise<readonly string[]> {
  const names = await files.list('/sys/block');
  return names
    .filter((name) => /^nbd\d+$/.test(name))
    .sort((one, other) => Number(one.slice(3)) - Number(other.slice(3)));
}

async function freeLeg({ files }: MirrorPorts, name: string): Promise<Leg | null> {
  const dir = `/sys/block/${name}`;
  try {
    const [, major, minor] =
      /^(\d+):(\d+)$/.exec((await files.readText(`${dir}/dev`)).trim()) ?? [];
    const leg = { path: `/dev/${name}`, major: Number(major), minor: Number(minor) };
    if (minor === undefined || (await holderOf(files, leg)) !== null) return null;
    // The table of a mirror that is gone may be there a little longer than its guard.
    const holders = await files.list(`${dir}/holders`);
    return holders.length === 0 ? leg : null;
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/**
 * A device that nobody has, and that is none of `tried`. Loads the module where it is missing.
 * Throws OperationError('limit') where all are in use. Somebody else may be faster: the guard is
 * refused then, and the next one is tried.
 */
export async function chooseLeg(ports: MirrorPorts, tried: readonly string[]): Promise<Leg> {
  let names = await listLegs(ports);
  if (names.length === 0) {
    await ports.run(['modprobe', 'nbd', `nbds_max=${devicesWanted}`]);
    names = await listLegs(ports);
  }
  for (const name of names) {
    const leg = await freeLeg(ports, name);
    if (leg !== null && !tried.includes(leg.path)) return leg;
  }
  const text = `all ${names.length} NBD devices of this host are in use`;
  throw new OperationError('limit', text, { op: 'choose-nbd-device' });
}
