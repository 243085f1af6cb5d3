/**
 * What the guests of this host have: the kernel's block backend opens a device whoever holds it,
 * and holds nothing, so that it is asked by name. Both ends of the mirror driver look, again and
 * again.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DeviceNumber } from '../../native/capture.ts';

/** A device that a guest has. */
export interface GuestDevice extends DeviceNumber {
  /** The guest's number. */
  readonly domid: number;
}

export interface GuestPorts {
  /** What the guests of this host have open. Never rejects. */
  readonly guestDevices: () => Promise<readonly GuestDevice[]>;
}

/**
 * A guest that was given a protected disk meanwhile is looked for so often, ms: nothing keeps xl
 * from it.
 */
export const foreignLookEveryMs = 5_000;

/** Where the kernel lists what its block backend has open for guests. */
const backendDevices = '/sys/bus/xen-backend/devices';

/** `vbd-5-51712`: of the guest with that number. */
const backendName = /^vbd-(\d+)-\d+$/;

/** `fd:3`, as the block backend says it. */
const deviceNumber = /^([0-9a-f]{1,3}):([0-9a-f]{1,5})$/;

/** Those of this host; none where there is no Xen. */
export async function readGuestDevices(): Promise<readonly GuestDevice[]> {
  const found: GuestDevice[] = [];
  for (const name of await readdir(backendDevices).catch(() => [])) {
    const [, domid] = backendName.exec(name) ?? [];
    if (domid === undefined) continue;
    const path = join(backendDevices, name, 'physical_device');
    const [, major, minor] = deviceNumber.exec((await textOf(path)).trim()) ?? [];
    if (major === undefined || minor === undefined) continue;
    const device = { major: Number.parseInt(major, 16), minor: Number.parseInt(minor, 16) };
    found.push({ ...device, domid: Number(domid) });
  }
  return found;
}

/** A device may go while it is looked at. */
async function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}

/** The numbers of the guests that have it, each once. A plain file has no number. */
export async function guestsWith(
  { guestDevices }: GuestPorts,
  { major, minor }: DeviceNumber,
): Promise<readonly number[]> {
  const used = major === 0 ? [] : await guestDevices();
  const domids = used
    .filter((one) => one.major === major && one.minor === minor)
    .map(({ domid }) => domid);
  return [...new Set(domids)].sort((one, other) => one - other);
}

/** Whether any guest has it. */
export async function hasGuest(ports: GuestPorts, device: DeviceNumber): Promise<boolean> {
  return (await guestsWith(ports, device)).length > 0;
}
