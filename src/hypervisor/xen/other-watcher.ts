/**
 * Does somebody else carry out what a guest's configuration says of its end? Two who do would boot
 * it twice, so tsremus leaves it to whoever does already.
 *
 *  - xl's daemon. Up to Xen 4.19 it leaves when the guest suspends, which every checkpoint does
 *    (tools/xl/xl_vmcontrol.c, create_domain, DOMAIN_RESTART_NONE); from 4.20 on it stays
 *    ("xl: Keep monitoring suspended domain"). It has no pid file; its output goes to
 *    /var/log/xen/xl-NAME.log (do_daemonize in tools/xl/xl_utils.c).
 *  - libvirt's daemon, for the domains that it started: it keeps its description with them
 *    (libxl_userdata, /var/lib/xen/userdata-d.DOMID.UUID.libvirt-xml).
 */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

export interface WatchedGuest {
  readonly domid: number;
  readonly name: string;
  readonly uuid: string;
}

export interface Places {
  readonly procDir: string;
  readonly xenLibDir: string;
}

const places: Places = { procDir: '/proc', xenLibDir: '/var/lib/xen' };

/** A process that ends while it is looked at is none. */
function attempt<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}

function isXlDaemon(processDir: string, name: string): boolean {
  if (attempt(() => readFileSync(join(processDir, 'comm'), 'utf8').trim()) !== 'xl') return false;
  const output = attempt(() => readlinkSync(join(processDir, 'fd', '1'))) ?? '';
  const file = output.slice(output.lastIndexOf('/') + 1);
  // A later domain of that name moves the file: xl-NAME.log.1 and so on.
  return file === `xl-${name}.log` || file.startsWith(`xl-${name}.log.`);
}

/** Tells who else watches the guest, in words; null: nobody that is known. */
export type OtherWatch = (guest: WatchedGuest) => string | null;

/** The same, of this host. */
export function otherWatcher(guest: WatchedGuest, at: Places = places): string | null {
  const userdata = `userdata-d.${guest.domid}.${guest.uuid}.libvirt-xml`;
  if (existsSync(join(at.xenLibDir, userdata))) return 'libvirt';
  const pids = (attempt(() => readdirSync(at.procDir)) ?? []).filter((name) => /^\d+$/.test(name));
  return pids.some((pid) => isXlDaemon(join(at.procDir, pid), guest.name)) ? "xl's daemon" : null;
}
