/** The disks of copies on this host: the mirror driver there, with what it needs of the host. */
import { join } from 'node:path';
import { blockScriptOf } from '../disk/block-script.ts';
import type { MirrorBackupPorts, OpenCopy } from '../disk/mirror/backup.ts';
import { type AnnouncedDisk, type DiskDriver, noDisks } from '../disk/port.ts';
import { errorText } from '../host/errors.ts';
import { run } from '../host/runner.ts';
import type { GuestSpec } from '../hypervisor/port.ts';
import type { ThisHost } from './host.ts';
import { lvmPorts } from './lvm.ts';

/** losetup and dmsetup wait for udev, ms. */
const scriptMsMax = 30_000;

/** Devices that a script has made of targets, for copies (share/xen/block-tsremus). */
class ScriptDevices {
  readonly #made: { readonly script: string; readonly target: string }[] = [];

  async make(script: string, target: string): Promise<string> {
    const { stdout } = await run([script, 'open', target], { timeoutMs: scriptMsMax });
    this.#made.push({ script, target });
    return stdout.trim();
  }

  /** Those that no guest has by now go. Never rejects. */
  async letGo(say: (text: string) => void): Promise<void> {
    for (const { script, target } of this.#made.splice(0)) {
      await run([script, 'close', target], { timeoutMs: scriptMsMax }).catch((error: unknown) =>
        say(errorText(error)),
      );
    }
  }
}

async function portsOf(
  host: ThisHost,
  devices: ScriptDevices,
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
    async attach(disk) {
      const script = simxl === '' ? blockScriptOf(disk) : null;
      return script === null ? join(simxl, disk.target) : devices.make(script, disk.target);
    },
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
  const devices = new ScriptDevices();
  const ports = await portsOf(host, devices);
  const refusals = await copyRefusals(ports, spec, facts).finally(() => devices.letGo(() => {}));
  return refusals.map(({ message, hint }) => ({ text: message, next: hint ?? null }));
}

/**
 * What keeps the disks of guests from other hosts. `say`: for the log.
 */
export function backupDisks(host: ThisHost, say: (text: string) => void = () => {}): DiskDriver {
  let opened: OpenCopy[] = [];
  const devices = new ScriptDevices();
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
      await devices.letGo(say);
      await followMarks(await lvmPorts(host, say), uuid, 'all');
    },
    async openBackup(spec, { session, domain, host: peer }, facts) {
      const { openMirrorCopies } = await import('../disk/mirror/backup.ts');
      const ports = await portsOf(host, devices, say);
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
      return openCopies(await portsOf(host, devices), spec, facts ?? []);
    },
  };
}
