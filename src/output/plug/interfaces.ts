/**
 * The guest's network interfaces as dom0 sees them.
 *
 * A paravirtual interface is a device of xen-netback, whatever it is called (`vifname=`): its
 * parent in sysfs is vif-DOMID-DEVID (drivers/net/xen-netback/interface.c, xenvif_alloc). An HVM
 * guest has beside each the emulated one, NAME-emu, a tap device of its device model: Xen names
 * it so (libxl_nic.c, libxl__device_nic_devname). Both carry what the guest sends.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';

export interface GuestInterface {
  /** As dom0 calls it: vif3.0. */
  readonly name: string;
  /** Number of the device within the guest. */
  readonly devid: number;
  readonly emulated: boolean;
  /** The kernel's number of the device. */
  readonly index: number;
}

/**
 * Linux, IFNAMSIZ: 15 characters. Fewer are taken here than the kernel takes: none that means
 * something in a line of `tc -batch`.
 */
export function isInterfaceName(name: string): boolean {
  return /^[\w.@+-]{1,15}$/.test(name) && !/^[-.]/.test(name);
}

/** The two devices that hold what an interface sends. The names say whose they are. */
export function queueNames(
  domid: number,
  { devid, emulated }: Pick<GuestInterface, 'devid' | 'emulated'>,
): [string, string] {
  const base = holdName(domid, { devid, emulated });
  return [`${base}a`, `${base}b`];
}

/** The second hold of an interface, a table of nftables: at most 15 bytes. */
export function holdName(
  domid: number,
  { devid, emulated }: Pick<GuestInterface, 'devid' | 'emulated'>,
): string {
  return `tsr${domid}.${devid}${emulated ? 'e' : ''}`;
}

/** The reverse of `queueNames`; null for a device that is none of ours. */
export function ownerOfQueue(
  name: string,
): (Pick<GuestInterface, 'devid' | 'emulated'> & { domid: number }) | null {
  const match = /^tsr(\d{1,5})\.(\d{1,3})(e?)[ab]$/.exec(name);
  if (match === null) return null;
  return { domid: Number(match[1]), devid: Number(match[2]), emulated: match[3] === 'e' };
}

/** What is looked up of the host's network devices. */
export interface Devices {
  /** Every interface of the domain, in the order of its devices; emulated ones after theirs. */
  ofGuest(domid: number): GuestInterface[];
  /** The kernel's number of a device; null: there is none of that name. */
  index(name: string): number | null;
  /** The names of all devices. */
  names(): readonly string[];
  /** What was written on a device (`ip link set alias`); empty: nothing. */
  alias(name: string): string;
}

/** The host's devices, from sysfs. */
export function openDevices(sysfs = '/sys'): Devices {
  const net = join(sysfs, 'class/net');
  const index = (name: string) => {
    try {
      return Number(readFileSync(join(net, name, 'ifindex'), 'utf8').trim());
    } catch {
      return null;
    }
  };
  const names = () => (existsSync(net) ? readdirSync(net) : []);
  return {
    index,
    names,
    alias(name) {
      try {
        return readFileSync(join(net, name, 'ifalias'), 'utf8').trim();
      } catch {
        return '';
      }
    },
    ofGuest(domid) {
      const found: GuestInterface[] = [];
      const add = (name: string, devid: number, emulated: boolean) => {
        const at = index(name);
        if (at !== null && isInterfaceName(name)) found.push({ name, devid, emulated, index: at });
      };
      for (const name of names()) {
        const devid = deviceOf(join(net, name), domid);
        if (devid === null) continue;
        add(name, devid, false);
        if (existsSync(join(net, `${name}-emu`))) add(`${name}-emu`, devid, true);
      }
      return found.sort((a, b) => a.devid - b.devid || Number(a.emulated) - Number(b.emulated));
    },
  };
}

/** The number of the guest's device that the interface at `path` is the back end of, or null. */
function deviceOf(path: string, domid: number): number | null {
  let parent: string;
  try {
    parent = basename(readlinkSync(join(path, 'device')));
  } catch {
    return null; // a bridge, a tap, lo: no device behind it
  }
  const match = /^vif-(\d+)-(\d+)$/.exec(parent);
  return match !== null && Number(match[1]) === domid ? Number(match[2]) : null;
}
