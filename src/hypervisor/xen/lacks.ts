/**
 * What a guest needs of a host beside memory, and what of that a host has not: looked for before a
 * copy is begun, and once more before it is built.
 *
 * libxl runs a guest's scripts and opens its disks only after the last byte of the stream, and
 * destroys the domain when one of them fails (libxl_create.c: domcreate_stream_done,
 * domcreate_rebuild_done, libxl__add_disks, domcreate_launch_dm, domcreate_attach_devices, and
 * domcreate_complete with its retain_domain). So a bridge that is not there would be met at the
 * failover, and would cost the copy. A kernel is not read for a restore (initiate_domain_create:
 * "restoring, not running bootloader"), but for the guest's next boot, on that host: it is asked
 * for before a copy is begun, and no failover waits for it; that of an HVM guest is named to its
 * device model, which does not start without it. So is the CPU pool, which the domain is
 * put into when it is made (libxl__domain_config_setdefault, libxl__domain_make).
 */
import { stat } from 'node:fs/promises';
import { type Advice, adviceLine } from '../../core/texts/advice.ts';
import type { Lack } from '../port.ts';
import { type BuiltIn, firmwareOf, isHvm, takesBuiltIn } from './device-model.ts';
import type { DomainConfig } from './guest-config.ts';

/** A file, a device or an interface that has to be there; `free-name`: that must not be. */
interface Need {
  /** What it is to the guest. */
  readonly what: string;
  readonly path: string;
  readonly kind: 'bridge' | 'switch' | 'script' | 'file' | 'packaged' | 'free-name';
  /** What does as well. */
  readonly instead?: string;
  /** Debian's, which has it. */
  readonly package?: string;
}

type Json = DomainConfig;

const object = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};
const list = (value: unknown): readonly Json[] => (Array.isArray(value) ? value.map(object) : []);
const text = (value: unknown) => (typeof value === 'string' ? value : '');

/** libxl__xen_script_dir_path, as Xen is configured everywhere. */
const scriptFolder = '/etc/xen/scripts';
/** libxl_nic.c, libxl__device_nic_setdefault: where the configuration says none. */
const vifScriptDefault = 'vif-bridge';

function scriptPath(name: string): string {
  return name.startsWith('/') ? name : `${scriptFolder}/${name}`;
}

const interfaces = '/sys/class/net/';
const interfacePath = (name: string) => `${interfaces}${name}`;

/** An interface of this host that a guest's interface is put to, as its script does. */
function ofInterface(nic: Json, at: number): Need[] {
  const of = `of interface ${typeof nic['devid'] === 'number' ? nic['devid'] : at}`;
  const script = text(nic['script']) || vifScriptDefault;
  const needs: Need[] = [{ what: `the script ${of}`, path: scriptPath(script), kind: 'script' }];
  const name = script.slice(script.lastIndexOf('/') + 1);
  const bridge = text(nic['bridge']);
  if (name === 'vif-bridge' && bridge !== '') {
    // The script itself takes eth1 for xenbr1 where that is the bridge (Linux/vif-bridge).
    const [, number] = /^xenbr(.*)$/.exec(bridge) ?? [];
    const instead =
      number === undefined ? {} : { instead: `${interfacePath(`eth${number}`)}/bridge` };
    needs.push({
      what: `the bridge ${of}`,
      path: interfacePath(bridge),
      kind: 'bridge',
      ...instead,
    });
  }
  // Of "ovsbr0.20:trunk" the script takes the first part (Linux/vif-openvswitch).
  const [ovs = ''] = bridge.split(/[.:]/);
  if (name === 'vif-openvswitch' && ovs !== '') {
    needs.push({ what: `the bridge ${of}`, path: interfacePath(ovs), kind: 'switch' });
  }
  // The scripts end with an error where the name is taken (Linux/vif-common.sh, rename_vif).
  const own = text(nic['ifname']);
  if (own !== '') {
    needs.push({ what: `the name ${of}`, path: interfacePath(own), kind: 'free-name' });
  }
  const gateway = text(nic['gatewaydev']);
  if ((name === 'vif-route' || name === 'vif-nat') && gateway !== '') {
    needs.push({ what: `the gateway ${of}`, path: interfacePath(gateway), kind: 'file' });
  }
  return needs;
}

function ofDisk(disk: Json): Need[] {
  const of = `disk ${text(disk['vdev'])}`;
  const script = text(disk['script']);
  // What the path means is the script's to say.
  if (script !== '') {
    return [{ what: `the script of ${of}`, path: scriptPath(script), kind: 'script' }];
  }
  const path = text(disk['pdev_path']);
  return path.startsWith('/') ? [{ what: of, path, kind: 'file' }] : [];
}

/** Files of the configuration, by their own names; null or a name alone: none to be looked for. */
function files(named: readonly (readonly [string, unknown])[]): Need[] {
  return named.flatMap(([what, value]) => {
    const path = text(value);
    return path.startsWith('/') ? [{ what, path, kind: 'file' as const }] : [];
  });
}

/** The program; of an HVM guest that is booted directly also what it is told to load, each time. */
function ofModel(config: DomainConfig, builtIn: () => BuiltIn): Need[] {
  const what = 'the device model';
  const path = takesBuiltIn(config) ? builtIn().model : null;
  return [
    ...files([[what, object(config['b_info'])['device_model']]]),
    ...packaged(what, path, 'qemu-system-xen'),
    ...(isHvm(config) ? ofKernel(config) : []),
  ];
}

function ofKernel(config: DomainConfig): Need[] {
  const build = object(config['b_info']);
  return files([
    ['the kernel', build['kernel']],
    ['the ramdisk', build['ramdisk']],
  ]);
}

function packaged(what: string, path: string | null, name: string): Need[] {
  return path === null ? [] : [{ what, path, kind: 'packaged', package: name }];
}

/** What is read at a boot alone. */
function ofBoot(config: DomainConfig, builtIn: () => BuiltIn): Need[] {
  const ofType = (kind: string) => object(object(object(config['b_info'])['type'])[kind]);
  const ofFirmware = files([['the firmware', ofType('hvm')['system_firmware']]]);
  const firmware = firmwareOf(config);
  if (firmware !== null) return packaged('the firmware', builtIn()[firmware], firmware);
  if (isHvm(config)) return ofFirmware;
  return [
    ...ofKernel(config),
    ...files([
      ['the kernel', ofType('pv')['kernel']],
      ['the ramdisk', ofType('pv')['ramdisk']],
      ['the shim', ofType('pvh')['pvshim_path']],
    ]),
  ];
}

/** Devices and files that are looked for, at most; a hostile configuration has thousands. */
const needsMax = 256;

/** When it is looked at, and what this host's library has built in. */
export interface NeedsAt {
  readonly before: 'copy' | 'build';
  readonly builtIn: () => BuiltIn;
}

/** Everything, in the order of the configuration; before a build: what that takes. */
export function needsOf(config: DomainConfig, { before, builtIn }: NeedsAt): readonly Need[] {
  return [
    ...(before === 'copy' ? ofBoot(config, builtIn) : []),
    ...ofModel(config, builtIn),
    ...list(config['disks']).flatMap(ofDisk),
    ...list(config['nics']).flatMap(ofInterface),
  ].slice(0, needsMax);
}

/** The mode of the file; null: it is not there. */
async function modeOf(path: string): Promise<number | null> {
  try {
    return (await stat(path)).mode;
  } catch {
    return null;
  }
}

/** `name`: the last part of the path, or the package that has it. */
const adviceOf: { readonly [Kind in Need['kind']]: (path: string, name: string) => Advice } = {
  bridge: (_path, name) => ({ kind: 'make-bridge', name }),
  switch: (_path, name) => ({ kind: 'make-switch', name }),
  script: (path) => ({ kind: 'see-missing', path }),
  file: (path) => ({ kind: 'see-missing', path }),
  packaged: (path, name) => ({
    kind: 'install-packages',
    packages: [name],
    why: `which has ${path} on Debian`,
  }),
  'free-name': (_path, name) => ({ kind: 'see-interface', name }),
};

async function lackOf(need: Need, root: string): Promise<Lack | null> {
  const { what, path, kind, instead } = need;
  const mode = await modeOf(root + path);
  const name = path.slice(path.lastIndexOf('/') + 1);
  const advice = adviceLine(adviceOf[kind](path, need.package ?? name));
  const shown = path.startsWith(interfaces) && kind !== 'file' ? name : path;
  if (kind === 'free-name') {
    return mode === null ? null : { what: `${what} (${shown}) is taken`, advice };
  }
  if (mode === null && instead !== undefined && (await modeOf(root + instead)) !== null)
    return null;
  if (mode === null) return { what: `${what} (${shown}) is not there`, advice };
  if (kind !== 'script' || (mode & 0o111) !== 0) return null;
  return {
    what: `${what} (${path}) cannot be executed`,
    advice: adviceLine({ kind: 'make-executable', path }),
  };
}

/** What the host whose files are below `root` has not of what the guest needs. */
export async function lacksOf(
  config: DomainConfig,
  root: string,
  at: NeedsAt,
): Promise<readonly Lack[]> {
  const found = await Promise.all(needsOf(config, at).map((need) => lackOf(need, root)));
  return found.filter((lack) => lack !== null);
}

/**
 * The CPU pool of the configuration (pool=), which must be there and have a processor: Xen takes no
 * domain into one without (cpupool_add_domain). `infoOf` says what libxl has of it.
 */
export async function poolLacks(
  config: DomainConfig,
  infoOf: (pool: string) => Promise<{ readonly json: string } | 'none' | 'unknown'>,
): Promise<readonly Lack[]> {
  const info = object(config['c_info']);
  const id = typeof info['poolid'] === 'number' ? info['poolid'] : 0;
  // The name counts where there is one (libxl__domain_config_setdefault).
  const pool = text(info['pool_name']) || String(id);
  if (pool === '0') return [];
  const found = await infoOf(pool).catch(() => 'unknown' as const);
  if (found === 'unknown') return [];
  if (found === 'none') {
    const advice = adviceLine({ kind: 'make-pool', name: pool });
    return [{ what: `the CPU pool ${pool} is not there`, advice }];
  }
  const cpus = object(JSON.parse(found.json) as unknown)['cpumap'];
  if (Array.isArray(cpus) && cpus.length > 0) return [];
  const advice = adviceLine({ kind: 'fill-pool', name: pool });
  return [{ what: `the CPU pool ${pool} has no processor`, advice }];
}
