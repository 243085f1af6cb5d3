/**
 * What keeps a DRBD device from taking a checkpoint, and what to type against it. Pure.
 *
 * Protocol D is in DRBD 8.3.11 as patched for Remus (remus-drbd), and nowhere else. Its device
 * takes checkpoints when it is Primary here, both disks are up to date, the hosts are connected,
 * and the other host may become Primary, too: only a Primary defers what it receives
 * (drbd_receiver.c, receive_Data).
 *
 * That is not enough for epochs that can be trusted, so no driver takes such a device yet. The
 * backup submits what it deferred newest first (receive_Data puts each write at the head of
 * defer_ee, drbd_remus_schedule_deferred_ee begins there): of two writes to one place the older may
 * stay (D3). And the end of the connection sets its count of checkpoints to 0
 * (drbd_remus_drain_ee), just when one has to know whether the last epoch was applied (D1).
 */
import { adviceLine } from '../../core/texts/advice.ts';
import type { DrbdDevice, DrbdOptions, DrbdVersion } from './status.ts';

/** What is wrong with a device. */
export interface Unusable {
  /** A clause that follows the disk's name. */
  readonly text: string;
  /** A line to type on this host. */
  readonly advice: string;
}

/** The device of a guest's disk, as its host sees it. */
export interface DrbdFound {
  /** As drbdadm calls it. */
  readonly resource: string;
  readonly version: DrbdVersion;
  readonly device: DrbdDevice;
  readonly options: DrbdOptions;
}

const needsKernel = adviceLine({
  kind: 'read-page',
  page: 'tsremus-protect',
  why: 'LIMITS: which DRBD, and which kernels',
});

/** That this DRBD has no protocol D at all; null: it may have. */
export function versionProblem({ text, major, minor }: DrbdVersion): Unusable | null {
  if (major === 8 && minor === 3) return null;
  return { text: `DRBD ${text} has no protocol D, only 8.3 has`, advice: needsKernel };
}

function protocolProblem({ resource, device, options }: DrbdFound): Unusable | null {
  const advice = (what: string) => adviceLine({ kind: 'drbd-adjust', resource, what });
  if (options.protocol !== 'D' || device.protocol !== 'D') {
    const now = device.protocol || options.protocol || 'none';
    const text = `DRBD replicates it by protocol ${now}, and epochs need protocol D`;
    return { text, advice: advice('protocol D') };
  }
  if (!device.countsCheckpoints) {
    return { text: 'this DRBD counts no checkpoints', advice: needsKernel };
  }
  if (options.onCongestion !== 'block') {
    const text = `DRBD goes on without the other host when the link is slow (on-congestion)`;
    return { text, advice: advice('on-congestion block') };
  }
  if (options.allowsTwoPrimaries) return null;
  const text = 'DRBD lets only one host be Primary, and the other one defers nothing then';
  return { text, advice: advice('allow-two-primaries') };
}

function connectionProblem({ resource, device }: DrbdFound): Unusable | null {
  const { connection, disks } = device;
  if (connection !== 'Connected') {
    const isSyncing = /^(Sync|Verify|PausedSync|WFBitMap|WFSyncUUID|StartingSync)/.test(connection);
    const text = `DRBD is not Connected but ${connection}`;
    const advice = isSyncing
      ? adviceLine({ kind: 'drbd-watch' })
      : adviceLine({ kind: 'drbd-connect', resource });
    return { text, advice };
  }
  if (disks[0] === 'UpToDate' && disks[1] === 'UpToDate') return null;
  const isHere = disks[0] !== 'UpToDate';
  const text = `${isHere ? 'this' : 'the other'} host's half is ${disks[isHere ? 0 : 1]}`;
  return { text: `${text} and not UpToDate`, advice: adviceLine({ kind: 'drbd-watch' }) };
}

/** What keeps the guest's own host from taking checkpoints of the device; null: nothing. */
export function checkpointProblem(found: DrbdFound): Unusable | null {
  const problem = versionProblem(found.version) ?? configuredProblem(found);
  if (problem !== null) return problem;
  const { resource, device } = found;
  const [here, there] = device.roles;
  if (here !== 'Primary') {
    const text = `DRBD is ${here} on this host and not Primary`;
    return { text, advice: adviceLine({ kind: 'drbd-primary', resource }) };
  }
  if (there === 'Secondary') return null;
  const text = `DRBD is ${there} on the other host and not Secondary: it may be in use there`;
  return { text, advice: adviceLine({ kind: 'drbd-secondary', resource }) };
}

function configuredProblem(found: DrbdFound): Unusable | null {
  const { resource, device, options } = found;
  const isDown = device.connection === 'Unconfigured';
  if (isDown || !options.hasNet) {
    const text = isDown ? 'its DRBD device is down' : 'its DRBD device has no other host';
    return { text, advice: adviceLine({ kind: 'drbd-up', resource }) };
  }
  return protocolProblem(found) ?? connectionProblem(found);
}
