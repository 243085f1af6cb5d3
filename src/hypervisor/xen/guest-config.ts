/**
 * What tsremus reads from and changes in a guest's configuration (libxl_domain_config as JSON).
 * Pure. libxl leaves out members that have their default value, so absence is normal.
 */
import type { DomainConfig } from '../port.ts';

/** A guest's copy is called so while it waits, as with xl. */
export const copySuffix = '--incoming';

type Json = { readonly [key: string]: unknown };

const object = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};
const list = (value: unknown): readonly Json[] => (Array.isArray(value) ? value.map(object) : []);

/** The guest's name and UUID; null for what is missing. */
export function identity(config: DomainConfig): { name: string | null; uuid: string | null } {
  const info = object(config['c_info']);
  const text = (value: unknown) => (typeof value === 'string' && value !== '' ? value : null);
  return { name: text(info['name']), uuid: text(info['uuid']) };
}

/** Memory that the guest needs on a host, KiB (without Xen's own overhead). */
export function memoryKb(config: DomainConfig): number {
  const build = object(config['b_info']);
  const kb = Number(build['max_memkb'] ?? build['target_memkb'] ?? 0);
  return Number.isFinite(kb) ? kb : 0;
}

/** The configuration with which the guest is booted anew: not under the number that it had. */
export function bootConfig(config: DomainConfig): DomainConfig {
  const { domid: _, ...info } = object(config['c_info']);
  return { ...config, c_info: info };
}

/** The configuration of the copy: the same guest under the name that waits. */
export function copyConfig(config: DomainConfig): DomainConfig {
  // The number that the guest has on the primary means nothing on the backup.
  const boot = bootConfig(config);
  const info = object(boot['c_info']);
  return { ...boot, c_info: { ...info, name: `${String(info['name'])}${copySuffix}` } };
}

export type LifeEvent = 'poweroff' | 'reboot' | 'crash' | 'watchdog' | 'soft-reset';

/** What to do when the guest ends: libxl's action word (destroy, restart, preserve...). */
export function lifeAction(config: DomainConfig, event: LifeEvent): string {
  const key = { poweroff: 'on_poweroff', reboot: 'on_reboot', crash: 'on_crash' } as const;
  const more = { watchdog: 'on_watchdog', 'soft-reset': 'on_soft_reset' } as const;
  const name = { ...key, ...more }[event];
  const given = config[name];
  if (typeof given === 'string') return given;
  // xl's defaults (xl.cfg(5)): a reboot restarts, everything else destroys.
  return event === 'reboot' ? 'restart' : event === 'soft-reset' ? 'soft-reset' : 'destroy';
}

/** Reasons for which this guest cannot be protected at all; empty when it can. */
export function refusals(config: DomainConfig): string[] {
  const reasons: string[] = [];
  const has = (key: string) => list(config[key]).length > 0;
  if (has('pcidevs')) reasons.push('it has passed-through PCI devices');
  if (has('dtdevs')) reasons.push('it has passed-through device-tree devices');
  if (has('usbdevs')) reasons.push('it has passed-through USB devices');
  if (has('p9s') || has('p9')) reasons.push('it has 9pfs shares');
  if (list(object(config['b_info'])['vnuma_nodes']).length > 0) reasons.push('it has vNUMA nodes');
  for (const kind of ['disks', 'nics', 'vfbs', 'vkbs', 'vtpms']) {
    for (const device of list(config[kind])) {
      const backend = device['backend_domname'] ?? device['backend_domid'];
      const dom0 =
        backend === undefined || backend === 0 || ['', '0', 'Domain-0'].includes(String(backend));
      if (!dom0) reasons.push(`a device of ${kind} has its back end in domain ${String(backend)}`);
    }
  }
  return reasons;
}

/** How many network interfaces the guest has. */
export function interfaceCount(config: DomainConfig): number {
  return list(config['nics']).length;
}

/** Addresses of one interface that are looked at, at most. */
const ipsMax = 32;

/**
 * The MAC address of each network interface and what `ip=` gives it (xl-network-configuration(5): a
 * list, each maybe with the length of its prefix), by the number of its device.
 */
export function nicAddresses(config: DomainConfig): Map<number, { mac: string; ips: string[] }> {
  const nics = new Map<number, { mac: string; ips: string[] }>();
  for (const [at, { mac, ip, devid }] of list(config['nics']).entries()) {
    if (typeof mac !== 'string') continue;
    const words = typeof ip === 'string' ? ip.split(/[\s,]+/).filter(Boolean) : [];
    const ips = words.slice(0, ipsMax).map((word) => word.replace(/\/\d+$/, ''));
    nics.set(typeof devid === 'number' ? devid : at, { mac, ips });
  }
  return nics;
}

/** True when the guest can write to a disk. libxl prints `readwrite` only where it is set. */
export function hasWritableDisks(config: DomainConfig): boolean {
  return list(config['disks']).some((disk) => Boolean(disk['readwrite']) && !disk['is_cdrom']);
}
