/**
 * Names, places and addresses of the lab: the one file to read to know what exists where.
 *
 * Nothing here touches the machine. The cache outlives `down` and may be deleted at any time;
 * the run directory exists only while the lab does.
 */
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of the lab's own sources. */
export const labDir = dirname(fileURLToPath(import.meta.url));

/** The checkout that the lab installs into its hosts. */
export const checkoutDir = resolve(labDir, '../..');

/** Downloads and images. Everything in it is named by its content and written by rename. */
export const cacheDir = process.env['TSREMUS_LAB_CACHE'] || '/var/cache/tsremus-lab';

/** Consoles, disks, sockets and pid files of a running lab; `down` removes it. */
export const runDir = process.env['TSREMUS_LAB_RUN'] || '/run/tsremus-lab';

/** Outside the run directory, because `down` removes that while it holds the lock. */
export const lockPath = `${runDir}.lock`;

/** The network namespace that holds both networks. */
export const namespace = 'tsremus-lab';

/** UDP port on the LAN address of the namespace to which every guest sends its beacon. */
export const beaconPort = 5002;

/** TCP port on which every guest answers queries. */
export const queryPort = 5001;

/** The namespace's own address on the guests' LAN. */
export const outsideIp = '10.77.0.1';
export const outsideIp6 = 'fd77::1';

/** And the one that guests with a second interface talk to from there. */
export const outsideIpSecond = '10.77.1.1';

export type HostId = 'a' | 'b';
export const hostIds: readonly HostId[] = ['a', 'b'];

/** What is fixed about one of the two hosts. */
export interface HostSettings {
  readonly id: HostId;
  readonly name: string;
  /** Address on the guests' LAN; the lab itself reaches the host here. */
  readonly lanIp: string;
  /** Address on the replication network. */
  readonly replicationIp: string;
  readonly lanMac: string;
  readonly replicationMac: string;
  readonly lanTap: string;
  readonly replicationTap: string;
  /** Folder of this host's console log, disk, pid file and sockets. */
  readonly dir: string;
  readonly consoleLog: string;
  readonly pidFile: string;
}

function hostSettings(id: HostId, last: number): HostSettings {
  const dir = join(runDir, id);
  const macEnd = last.toString(16).padStart(2, '0');
  return {
    id,
    name: `host${id}`,
    lanIp: `10.77.0.${last}`,
    replicationIp: `10.78.0.${last}`,
    lanMac: `52:54:00:77:00:${macEnd}`,
    replicationMac: `52:54:00:78:00:${macEnd}`,
    lanTap: `lan${id}`,
    replicationTap: `repl${id}`,
    dir,
    consoleLog: join(dir, 'console.log'),
    pidFile: join(dir, 'qemu.pid'),
  };
}

export const hosts: Readonly<Record<HostId, HostSettings>> = {
  a: hostSettings('a', 11),
  b: hostSettings('b', 12),
};

/** The other one of the two hosts. */
export function otherHost(id: HostId): HostId {
  return id === 'a' ? 'b' : 'a';
}

/** Reads a host letter (or hosta/hostb) from a command line. */
export function parseHostId(text: string | undefined): HostId {
  const id = text?.replace(/^host/, '');
  if (id === 'a' || id === 'b') return id;
  throw new Error(`expected host a or b, not ${text ?? 'nothing'}`);
}
