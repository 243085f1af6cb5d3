/**
 * What a guest's configuration from another host may ask of this one. Pure.
 *
 * Whoever may start `tsremus receive` hands over a whole libxl_domain_config, and libxl acts on it
 * as root: it runs scripts and device models, opens files and devices, reads kernels. So nothing of
 * it is taken that is not in one of two lists: the table below, of what is harmless for this host
 * whatever the guest, and this host's own file (allowFileDefault), a line for each exception.
 *
 *   A1  a key that is in neither list is refused, also one that nobody heard of yet
 *   A2  a value is looked at wherever its key permits only some
 *   A3  what is refused is named, with the line that would permit it
 *
 * A key is the way into the JSON with dots, lists not counted (`nics.script`), and stands for
 * whatever is below it, too.
 */
import { adviceLine } from '../../core/texts/advice.ts';
import { OperationError } from '../../host/errors.ts';
import { hasControl } from '../../host/text.ts';

export const allowFileDefault = '/etc/tsremus/allow';
export const allowFileVariable = 'TSREMUS_ALLOW';

/** One line of the file: a key, and a value, a folder that ends with a slash, or `*`. */
export interface Allowed {
  readonly key: string;
  readonly value: string;
}

type Scalar = string | number | boolean;
type Check = (value: Scalar) => boolean;

/** How deep libxl's own structures go, with room. */
const depthMax = 10;
/** Refusals that are named; a hostile configuration has thousands. */
const namedMax = 3;
const shownCharsMax = 60;
const textCharsMax = 4_096;

const isText: Check = (value) =>
  typeof value !== 'string' || (value.length <= textCharsMax && !hasControl(value));
const isNumber: Check = (value) => typeof value === 'number';
/** A defbool, or a boolean. */
const isFlag: Check = (value) => typeof value === 'boolean' || /^(True|False)$/.test(`${value}`);
const isWord: Check = (value) => /^[A-Za-z0-9_][A-Za-z0-9_-]{0,31}$/.test(`${value}`);
/** The name of a bridge or an interface. */
const isDevice: Check = (value) => /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$/.test(`${value}`);
const isAddresses: Check = (value) => /^[0-9A-Fa-f.:/, ]{0,1024}$/.test(`${value}`);
const oneOf =
  (...words: readonly string[]): Check =>
  (value) =>
    words.includes(`${value}`);
/** A file below one of these, which end with a slash or begin a name. */
const below =
  (...starts: readonly string[]): Check =>
  (value) =>
    isPlainPath(value) && starts.some((start) => `${value}`.startsWith(start));

/** Absolute, and no way out of the folder that it begins with. */
function isPlainPath(value: Scalar): boolean {
  const text = `${value}`;
  return text.startsWith('/') && isText(text) && !text.split('/').includes('..');
}

const kernels = below('/boot/', '/usr/lib/xen', '/usr/libexec/xen');
const firmware = below('/usr/share/', '/usr/lib/xen', '/usr/libexec/xen');
const scripts = (...names: readonly string[]) =>
  oneOf(...names, ...names.map((name) => `/etc/xen/scripts/${name}`));
const onlyOff = oneOf('False', 'false');
/** Only dom0 is a back end; by name or number. A 0 is never looked at. */
const dom0 = oneOf('0', 'Domain-0');
const ownConsole = oneOf('pty', 'none');
const pointer = oneOf('tablet', 'mouse', 'keyboard');

type Table = Readonly<Record<string, Check>>;

/** The same check for many keys of one structure. */
function each(at: string, check: Check, names: string): Table {
  return Object.fromEntries(names.split(' ').map((name) => [`${at}.${name}`, check]));
}

function backends(...kinds: readonly string[]): Table {
  return Object.assign(
    {},
    ...kinds.map((kind) => each(kind, dom0, 'backend_domid backend_domname')),
  );
}

/** A display that only this host itself can see. */
function displays(at: string): Table {
  return {
    ...each(`${at}.vnc`, isFlag, 'enable findunused'),
    [`${at}.vnc.display`]: isNumber,
    [`${at}.vnc.passwd`]: isText,
    [`${at}.vnc.listen`]: oneOf('127.0.0.1', '::1', 'localhost'),
    [`${at}.sdl.enable`]: onlyOff,
    [`${at}.keymap`]: isWord,
  };
}

const hvm = 'b_info.type.hvm';

const harmless: Table = {
  ...each('c_info', isFlag, 'hap oos run_hotplug_scripts xend_suspend_evtchn_compat'),
  ...each('c_info', isNumber, 'domid poolid'),
  ...each('c_info', isWord, 'type pool_name'),
  ...each('c_info', isText, 'name uuid'),
  'c_info.driver_domain': onlyOff,
  'c_info.passthrough': oneOf('disabled', 'unknown', 'default'),
  // What libxl puts there by itself: domU_t and domDM_t, of which Xen's versions have numbers
  // beside each other (xsm/flask/policy/initial_sids).
  ...each('c_info', oneOf('11', '12'), 'ssidref'),
  ...each('b_info', oneOf('12', '13'), 'device_model_ssidref'),

  ...each('b_info', isNumber, 'max_vcpus avail_vcpus cpumap nodemap vcpu_hard_affinity'),
  ...each('b_info', isNumber, 'vcpu_soft_affinity max_memkb target_memkb video_memkb'),
  ...each('b_info', isNumber, 'shadow_memkb iommu_memkb rtc_timeoffset max_grant_frames'),
  ...each('b_info', isNumber, 'max_maptrack_frames max_grant_version event_channels'),
  ...each('b_info', isNumber, 'stubdomain_memkb vmtrace_buf_kb llc_colors xenstore_feature_mask'),
  ...each('b_info', isFlag, 'numa_placement localtime disable_migrate claim_mode acpi apic'),
  ...each('b_info', isFlag, 'dm_restrict bootloader_restrict'),
  ...each('b_info', isWord, 'tsc_mode blkdev_start timer_mode'),
  ...each('b_info', onlyOff, 'device_model_stubdomain nested_hvm vpmu'),
  ...each('b_info', oneOf('disabled', 'none'), 'altp2m tee'),
  'b_info.device_model_version': oneOf('qemu_xen', 'none'),
  'b_info.cpuid': isText,
  'b_info.sched_params': (value) => isNumber(value) || isWord(value),
  'b_info.arch_x86.msr_relaxed': isFlag,
  ...each('b_info.arch_arm', (value) => isNumber(value) || isWord(value), 'gic_version vuart'),
  'b_info.arch_arm.nr_spis': isNumber,
  ...each('b_info', kernels, 'kernel ramdisk'),
  'b_info.cmdline': isText,
  ...each('b_info.type.pv', kernels, 'kernel ramdisk'),
  ...each('b_info.type.pv', isText, 'cmdline features'),
  'b_info.type.pv.slack_memkb': isNumber,
  'b_info.type.pv.e820_host': onlyOff,
  'b_info.type.pvh.pvshim': isFlag,
  'b_info.type.pvh.pvshim_path': kernels,
  ...each('b_info.type.pvh', isText, 'pvshim_cmdline pvshim_extra'),

  ...each(
    hvm,
    isFlag,
    'pae apic acpi acpi_s3 acpi_s4 acpi_laptop_slate nx viridian hpet vpt_align',
  ),
  ...each(hvm, isFlag, 'nographic usb vkb_device xen_platform_pci pirq'),
  ...each(hvm, isNumber, 'viridian_enable viridian_disable usbversion rdm_mem_boundary_memkb'),
  ...each(hvm, isNumber, 'mca_caps mmio_hole_memkb ms_vm_genid'),
  ...each(hvm, isWord, 'bios hdtype boot vendor_device gfx_passthru_kind timer_mode vga.kind'),
  [`${hvm}.timeoffset`]: (value) => /^-?[0-9]{1,12}$/.test(`${value}`),
  [`${hvm}.rdm`]: oneOf('ignore', 'relaxed', 'invalid'),
  ...each(hvm, onlyOff, 'nested_hvm altp2m gfx_passthru spice.enable'),
  ...each(hvm, firmware, 'system_firmware'),
  ...each(hvm, ownConsole, 'serial serial_list'),
  ...each(hvm, pointer, 'usbdevice usbdevice_list'),
  ...displays(hvm),

  ...backends('disks', 'nics', 'vfbs', 'vkbs', 'channels'),
  ...each('disks', isNumber, 'removable readwrite is_cdrom'),
  ...each('disks', isFlag, 'direct_io_safe discard_enable trusted'),
  ...each('disks', isWord, 'vdev format'),
  // libxl says of every disk that it is none of COLO's (libxl__device_disk_setdefault).
  ...each('disks', onlyOff, 'colo_enable colo_restore_enable'),
  'disks.backend': oneOf('phy', 'qdisk', 'tap'),
  'disks.specification': oneOf('xen'),
  'disks.script': scripts('block', 'block-tsremus'),
  // Volumes are this host's own affair: which of them a guest has may nobody else say.
  'disks.pdev_path': below('/var/lib/xen/images/', '/dev/drbd'),
  ...each('nics', isNumber, 'devid mtu rate_bytes_per_interval rate_interval_usecs'),
  ...each('nics', isWord, 'model nictype vlan'),
  ...each('nics', isDevice, 'bridge ifname gatewaydev'),
  'nics.mac': (value) => /^[0-9A-Fa-f:]{17}$/.test(`${value}`),
  'nics.ip': isAddresses,
  'nics.trusted': isFlag,
  'nics.script': scripts('vif-bridge', 'vif-openvswitch', 'vif-route', 'vif-nat'),
  'vfbs.devid': isNumber,
  ...displays('vfbs'),
  'vkbs.devid': isNumber,
  'vkbs.backend_type': oneOf('qemu'),
  'channels.devid': isNumber,
  'channels.name': isWord,
  'channels.connection.pty': below('/dev/pts/'),

  ...Object.fromEntries(
    ['on_poweroff', 'on_reboot', 'on_watchdog', 'on_crash', 'on_soft_reset'].map((key) => [
      key,
      isWord,
    ]),
  ),
};

/** Values that say nothing: libxl leaves out members that have them. */
function isUnset(value: unknown): boolean {
  return value === null || value === '' || value === 0 || value === false || value === '<default>';
}

/** The key itself, and everything that it lies below: `a.b.c`, `a.b`, `a`. */
function above(key: string): string[] {
  const parts = key.split('.');
  return parts.map((_, at) => parts.slice(0, parts.length - at).join('.'));
}

function isAllowed(key: string, value: Scalar, allowed: readonly Allowed[]): boolean {
  const keys = above(key);
  const check = keys
    .map((one) => (Object.hasOwn(harmless, one) ? harmless[one] : null))
    .find(Boolean);
  if (check?.(value)) return true;
  return allowed.some((line) => {
    if (!keys.includes(line.key)) return false;
    if (line.value === '*') return true;
    if (line.value.endsWith('/')) return isPlainPath(value) && `${value}`.startsWith(line.value);
    return line.value === `${value}`;
  });
}

interface Refusal {
  readonly key: string;
  readonly value: Scalar;
}

/** A structure is there by itself: a device is one device more, whatever its members say. */
function isKnown(key: string, allowed: readonly Allowed[]): boolean {
  const known = [...Object.keys(harmless), ...allowed.map((line) => line.key)];
  const keys = above(key);
  return known.some((one) => one.startsWith(`${key}.`) || keys.includes(one));
}

/**
 * Everything that is in neither list, in the order of the configuration. A member with its default
 * value says nothing, an element of a list always does.
 */
function refusalsIn(
  value: unknown,
  key: string,
  allowed: readonly Allowed[],
  depth = 0,
): Refusal[] {
  if (depth > depthMax) return [{ key: key.slice(0, shownCharsMax), value: '...' }];
  if (Array.isArray(value)) {
    return value.flatMap((one) => refusalsIn(one, key, allowed, depth + 1));
  }
  if (typeof value === 'object' && value !== null) {
    if (key !== '' && !isKnown(key, allowed)) return [{ key, value: '{...}' }];
    return Object.entries(value).flatMap(([name, one]) =>
      isUnset(one) ? [] : refusalsIn(one, key === '' ? name : `${key}.${name}`, allowed, depth + 1),
    );
  }
  const scalar = (value ?? '') as Scalar;
  return isAllowed(key, scalar, allowed) ? [] : [{ key, value: scalar }];
}

function shown(text: string): string {
  return JSON.stringify(text.length > shownCharsMax ? `${text.slice(0, shownCharsMax)}...` : text);
}

/** The line that would permit it; null where no line can say it. */
function lineFor({ key, value }: Refusal): string | null {
  const line = `${key} ${value === '{...}' ? '*' : value}`;
  const isPlain = /^[A-Za-z0-9_.-]+$/.test(key) && !hasControl(line) && line.length <= 200;
  return isPlain && `${value}`.trim() === `${value}` ? line : null;
}

/**
 * Throws OperationError('not-allowed') that names what the configuration asks for and this host
 * does not allow; `file`: where its own list is.
 */
export function checkPolicy(config: unknown, allowed: readonly Allowed[], file: string): void {
  const refused = refusalsIn(config, '', allowed);
  const first = refused[0];
  if (first === undefined) return;
  const named = refused.slice(0, namedMax).map(({ key, value }) => {
    const of = /^[A-Za-z0-9_.-]{1,80}$/.test(key) ? key : shown(key);
    return `${of} is ${typeof value === 'string' ? shown(value) : value}`;
  });
  const more = refused.length > namedMax ? ` and ${refused.length - namedMax} more` : '';
  const line = lineFor(first);
  throw new OperationError(
    'not-allowed',
    `the backup lets no guest from another host have this: ${named.join(', ')}${more}`,
    {
      op: 'check-policy',
      subject: first.key,
      hint: adviceLine(
        line === null
          ? { kind: 'read-page', page: 'tsremus-receive', why: `FILES: what ${file} may permit` }
          : { kind: 'allow-line', line, path: file },
      ),
    },
  );
}

/** The lines of the file; throws OperationError('storage') with the number of a wrong one. */
export function parseAllowed(text: string, file: string): Allowed[] {
  return text.split('\n').flatMap((raw, at) => {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) return [];
    const [, key = '', value = ''] = /^([A-Za-z0-9_.-]+)\s+(.+)$/.exec(line) ?? [];
    if (value !== '') return [{ key, value }];
    throw new OperationError('storage', `${file}, line ${at + 1}: not a key and a value`, {
      op: 'read-policy',
      subject: file,
      hint: adviceLine({ kind: 'allow-example', path: file }),
    });
  });
}
