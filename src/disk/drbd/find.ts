/** Asks this host's DRBD about a device, by its own commands and /proc/drbd. */
import { adviceLine } from '../../core/texts/advice.ts';
import { parseProc, parseShow } from './status.ts';
import { type DrbdFound, type Unusable, versionProblem } from './usable.ts';

export interface DrbdTools {
  /** /proc/drbd; null: there is none. */
  proc(): Promise<string | null>;
  /** What `drbdadm` or `drbdsetup` prints; rejects with an OperationError that names it. */
  run(argv: readonly string[]): Promise<string>;
}

const words = (text: string) => text.split(/\s+/).filter(Boolean);

/**
 * What drbdadm calls the device of that minor: the commands list devices and resources in one
 * order. It takes `minor-N`, too, where the lists do not tell.
 */
async function resourceOf(tools: DrbdTools, device: string, minor: number): Promise<string> {
  const devices = words(await tools.run(['drbdadm', 'sh-dev', 'all']));
  const resources = words(await tools.run(['drbdadm', 'sh-resource', 'all']));
  const at = devices.indexOf(device);
  const name = devices.length === resources.length ? resources[at] : undefined;
  return name !== undefined && /^[\w.-]{1,128}$/.test(name) ? name : `minor-${minor}`;
}

/**
 * The DRBD device of that minor as it is now; or why it cannot even be asked. Rejects when one of
 * the commands fails that this DRBD must have.
 */
export async function findDrbd(
  tools: DrbdTools,
  minor: number,
): Promise<DrbdFound | { readonly unusable: Unusable }> {
  const proc = await tools.proc();
  const status = proc === null ? null : parseProc(proc);
  if (status === null) {
    const advice = adviceLine({ kind: 'load-drbd' });
    return { unusable: { text: 'DRBD does not answer on this host', advice } };
  }
  // Later ones take other commands: they are not asked what they would answer with an error.
  const tooNew = versionProblem(status.version);
  if (tooNew !== null) return { unusable: tooNew };
  const device = `/dev/drbd${minor}`;
  const resource = await resourceOf(tools, device, minor);
  const found = status.devices.find((one) => one.minor === minor);
  if (found === undefined) {
    const advice = adviceLine({ kind: 'drbd-up', resource });
    return { unusable: { text: 'its DRBD device is down', advice } };
  }
  const options = parseShow(await tools.run(['drbdsetup', device, 'show']));
  return { resource, version: status.version, device: found, options };
}
