/**
 * What tsremus reads from and changes in a guest's configuration (libxl_domain_config as JSON).
 * Pure. libxl leaves out members that have their default value, so absence is normal.
 */
import { errorText, OperationError } from '../../host/errors.ts';
import type { GuestDisk, GuestInterface, GuestSpec, Refusal } from '../port.ts';
import { refusalsOf } from './admission.ts';
import { type EndWords, endAction } from './end-words.ts';
import { featureUse } from './features.ts';

/** libxl_domain_config as it comes from JSON; looked at only here. */
export type DomainConfig = { readonly [key: string]: unknown };

type Json = DomainConfig;

const object = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};
const list = (value: unknown): readonly Json[] => (Array.isArray(value) ? value.map(object) : []);
const text = (value: unknown) => (typeof value === 'string' ? value : '');

/** What this adapter's specifications say they are. */
export const adapterName = 'xen';

/** A configuration as a specification: `config` is its JSON text. */
export function specOf(config: DomainConfig, words: EndWords): GuestSpec {
  const info = object(config['c_info']);
  return {
    hypervisor: adapterName,
    name: text(info['name']),
    uuid: text(info['uuid']).toLowerCase(),
    memoryBytes: memoryKb(config) * 1024,
    roomBytes: roomKb(config) * 1024,
    disks: disks(config),
    interfaces: interfaces(config),
    vcpus: kbOf(object(config['b_info']), 'max_vcpus') || null,
    writableDisks: writableDisks(config),
    features: featureUse(object(config['b_info'])['cpuid'], info['type'] === 'pv'),
    refusals: refusals(config),
    onEnd: {
      poweroff: endAction(config, 'poweroff', words),
      reboot: endAction(config, 'reboot', words),
      crash: endAction(config, 'crash', words),
      watchdog: endAction(config, 'watchdog', words),
      'soft-reset': endAction(config, 'soft-reset', words),
      unknown: endAction(config, 'unknown', words),
    },
    config: Buffer.from(JSON.stringify(config)),
  };
}

/**
 * The same from bytes that came from another host, once `check` let it pass; throws
 * OperationError('protocol') when they are no configuration, and what `check` throws.
 */
export function specFrom(
  bytes: Buffer,
  words: EndWords,
  check: (config: DomainConfig) => void,
): GuestSpec {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw noConfig(errorText(error));
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw noConfig('it is not an object');
  }
  check(value as DomainConfig);
  return specOf(value as DomainConfig, words);
}

function noConfig(why: string): OperationError {
  return new OperationError('protocol', `this is no configuration of a Xen guest: ${why}`, {
    op: 'read-configuration',
  });
}

/** The configuration that a specification of this adapter was made from. */
export function configOf(spec: GuestSpec): DomainConfig {
  return JSON.parse(spec.config.toString('utf8')) as DomainConfig;
}

/** With the UUID of the domain where the configuration says none. */
export function withUuid(config: DomainConfig, uuid: string): DomainConfig {
  const info = object(config['c_info']);
  return text(info['uuid']) === '' ? { ...config, c_info: { ...info, uuid } } : config;
}

function kbOf(build: Json, ...names: readonly string[]): number {
  const kb = names.map((name) => Number(build[name] ?? 0)).find((value) => value > 0) ?? 0;
  return Number.isFinite(kb) ? kb : 0;
}

/**
 * Memory of the guest, KiB: its target, which Xen holds it to (libxl_dom.c, libxl__build_pre:
 * xc_domain_setmaxmem(target_memkb + slack); libxl_mem.c, libxl_set_memory_target). Its maximum is
 * only how far the target may be moved.
 */
function memoryKb(config: DomainConfig): number {
  return kbOf(object(config['b_info']), 'target_memkb', 'max_memkb');
}

/** libxl_internal.h: LIBXL_PV_EXTRA_MEMORY and LIBXL_HVM_EXTRA_MEMORY, the larger one. */
const extraKb = 2048;

/** As libxl counts it (libxl_mem.c, libxl__domain_need_memory_calculate), KiB. */
function roomKb(config: DomainConfig): number {
  const build = object(config['b_info']);
  const kb = memoryKb(config) + kbOf(build, 'shadow_memkb') + kbOf(build, 'iommu_memkb') + extraKb;
  return Math.ceil(kb / 2048) * 2048;
}

/** The configuration with which the guest is booted anew: not under the number that it had. */
export function bootConfig(config: DomainConfig): DomainConfig {
  const { domid: _, ...info } = object(config['c_info']);
  return { ...config, c_info: info };
}

/** The configuration of the copy: the same guest under another name. */
export function copyConfig(config: DomainConfig, name: string): DomainConfig {
  // The number that the guest has on the primary means nothing on the backup.
  const boot = bootConfig(config);
  return { ...boot, c_info: { ...object(boot['c_info']), name } };
}

/** With disks at other places: on another host. */
export function placedConfig(
  config: DomainConfig,
  places: ReadonlyMap<string, string>,
): DomainConfig {
  if (config['disks'] === undefined) return config;
  const disks = list(config['disks']).map((disk) => {
    const path = places.get(text(disk['vdev']));
    return path === undefined ? disk : { ...disk, pdev_path: path };
  });
  return { ...config, disks };
}

/** What is not in a copy (admission.ts), and devices that another domain serves. */
function refusals(config: DomainConfig): Refusal[] {
  const found = refusalsOf(config);
  for (const kind of ['disks', 'nics', 'vfbs', 'vkbs', 'vtpms']) {
    for (const { backend_domname: name, backend_domid: id } of list(config[kind])) {
      const backend = name ?? id;
      const dom0 =
        backend === undefined || backend === 0 || ['', '0', 'Domain-0'].includes(String(backend));
      const text = `a device of ${kind} has its back end in domain ${String(backend)}`;
      if (!dom0) found.push({ key: `${kind}.backend_domid`, text, givesUp: null });
    }
  }
  return found;
}

/** Addresses of one interface that are looked at, at most. */
const ipsMax = 32;

/**
 * `ip=` of an interface is a list, each address maybe with the length of its prefix
 * (xl-network-configuration(5)).
 */
function interfaces(config: DomainConfig): GuestInterface[] {
  return list(config['nics']).map(({ mac, ip, devid }, at) => {
    const words = text(ip)
      .split(/[\s,]+/)
      .filter(Boolean);
    const ips = words.slice(0, ipsMax).map((word) => word.replace(/\/\d+$/, ''));
    const index = typeof devid === 'number' ? devid : at;
    return { index, mac: typeof mac === 'string' ? mac : null, ips };
  });
}

function disks(config: DomainConfig): string[] {
  return list(config['disks']).map((disk) => {
    const path = text(disk['pdev_path']);
    return `${text(disk['vdev'])}${path === '' ? '' : ` (${path})`}`;
  });
}

/** libxl prints `readwrite` only where it is set. */
function writableDisks(config: DomainConfig): GuestDisk[] {
  return list(config['disks'])
    .filter((disk) => Boolean(disk['readwrite']) && !disk['is_cdrom'])
    .map((disk) => ({
      name: text(disk['vdev']),
      target: text(disk['pdev_path']),
      format: text(disk['format']) || 'raw',
      script: text(disk['script']) || null,
    }));
}
