/** The disks of copies on this host: the mirror driver there, with what it needs of the host. */
import { join } from 'node:path';
import type { MirrorBackupPorts, OpenCopy } from '../disk/mirror/backup.ts';
import { type AnnouncedDisk, type DiskDriver, noDisks } from '../disk/port.ts';
import { errorText } from '../host/errors.ts';
import type { GuestSpec } from '../hypervisor/port.ts';
import type { ThisHost } from './host.ts';
import { lvmPorts } from './lvm.ts';

async function portsOf(
  host: ThisHost,
  say: (text: string) => void = () => {},
): Promise<MirrorBackupPorts> {
  const { readGuestDevices } = await import('../disk/mirror/guests.ts');
  const { ApplyLibrary } = await import('../native/apply.ts');
  const { HasherLibrary } = await import('../native/hasher.ts');
  const { env, nativePath, timers } = host;
  // simxl has a host's files below its own folder, and plain files for disks.
  const simxl = env['SIMXL_HOST'] ?? '';
  return {
    ...(await lvmPorts(host, say)),
    ...{ guestDevices: readGuestDevices, timers },
    apply: new ApplyLibrary(nativePath),
    hasher: new HasherLibrary(nativePath),
    pathOf: (target) => join(simxl, target),
    isAnyFile: simxl !== '',
  };
}

/** As HELLO names them. */
export const diskDrivers: readonly string[] = ['mirror'];

/** What keeps this host's disks from being those of the copy, a clause each and what to type. */
export async function copyDiskRefusals(
  host: ThisHost,
  spec: GuestSpec,
  facts: readonly AnnouncedDisk[],
): Promise<readonly { readonly text: string; readonly next: string | null }[]> {
  const { copyRefusals } = await import('../disk/mirror/backup.ts');
  const refusals = await copyRefusals(await portsOf(host), spec, facts);
  return refusals.map(({ message, hint }) => ({ text: message, next: hint ?? null }));
}

/**
 * What keeps the disks of guests from other hosts. `say`: for the log.
 */
export function backupDisks(host: ThisHost, say: (text: string) => void = () => {}): DiskDriver {
  let opened: OpenCopy[] = [];
  return {
    ...noDisks,
    name: 'mirror',
    async bringOut(uuid) {
      const { bringOut } = await import('../disk/mirror/lvm.ts');
      return bringOut(await lvmPorts(host, say), uuid);
    },
    async release(uuid) {
      const { followMarks } = await import('../disk/mirror/lvm.ts');
      for (const disk of opened.splice(0)) {
        await disk.close().catch((error: unknown) => say(errorText(error)));
      }
      await followMarks(await lvmPorts(host, say), uuid, 'all');
    },
    async openBackup(spec, { session, domain, host: peer }, facts) {
      const { openMirrorCopies } = await import('../disk/mirror/backup.ts');
      const ports = await portsOf(host, say);
      const of = {
        ...{ uuid: spec.uuid, domain, session },
        // It is the primary that asks.
        peer: { host: peer, sshCommand: null, heartbeatTimeoutMs: 0 },
      };
      opened = [...(await openMirrorCopies(ports, of, spec, facts))];
      return [...opened];
    },
    async openCompared(spec, facts) {
      const { openCopies } = await import('../disk/mirror/compared.ts');
      return openCopies(await portsOf(host), spec, facts ?? []);
    },
  };
}
