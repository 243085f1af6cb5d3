/**
 * What a guest may be made of to be protected. Pure.
 *
 * The table has every key of libxl_domain_config (libxl_types.idl of Xen 4.16 to 4.20): whether
 * what it asks for is in the copy, or why it is not. What nobody looked at is refused.
 *
 *   G1  a key that is not in the table is refused by its name, unless its value says nothing
 *   G2  a refusal names the key, its value and why, and what --allow gives up; null: it cannot be
 *       allowed, for the copy could not run
 *
 * A key is the way into the JSON with dots, lists not counted, and stands for all that is below it.
 */
import type { Refusal } from '../port.ts';

type Scalar = string | number | boolean;

interface Rule {
  readonly why: string;
  /** What is lost when it is allowed; null: it cannot be. */
  readonly givesUp: string | null;
  /** Values that ask for nothing. */
  readonly fine?: readonly string[];
  /** The sentence is the whole refusal, as for a device: which key it is helps nobody. */
  readonly isWhole?: boolean;
}

const off = ['False', 'false', 'disabled', 'none', 'unknown', 'default', 'ignore', 'invalid'];

function device(why: string): Rule {
  return { why, givesUp: null, isWhole: true };
}

/** Each of the keys. */
function each(keys: string, rule: Rule | 'copied', at = ''): Record<string, Rule | 'copied'> {
  return Object.fromEntries(keys.split(' ').map((key) => [`${at}${key}`, rule]));
}

const colo = { why: 'it belongs to COLO', givesUp: 'what COLO set up is not there', fine: off };
const hvm = 'b_info.type.hvm.';

const table: Readonly<Record<string, Rule | 'copied'>> = {
  ...each(
    'type hap oos ssidref ssid_label name domid uuid xsdata platformdata poolid pool_name ' +
      'run_hotplug_scripts xend_suspend_evtchn_compat',
    'copied',
    'c_info.',
  ),
  'c_info.driver_domain': {
    why: 'it is a driver domain',
    givesUp: 'other guests whose devices it serves lose them at a failover',
    fine: off,
  },
  'c_info.passthrough': {
    why: 'it may have devices passed through',
    givesUp: 'a device that is passed through later is not in the copy',
    fine: off,
  },

  ...each(
    'max_vcpus avail_vcpus cpumap nodemap vcpu_hard_affinity vcpu_soft_affinity numa_placement ' +
      'tsc_mode max_memkb target_memkb video_memkb shadow_memkb iommu_memkb rtc_timeoffset ' +
      'exec_ssidref exec_ssid_label localtime cpuid blkdev_start max_grant_frames ' +
      'max_maptrack_frames max_grant_version device_model_ssidref device_model_ssid_label ' +
      'device_model_user device_model stubdomain_memkb stubdomain_kernel stubdomain_cmdline ' +
      'stubdomain_ramdisk event_channels kernel cmdline ramdisk acpi apic bootloader ' +
      'bootloader_args bootloader_restrict bootloader_user timer_mode claim_mode sched_params ' +
      'dm_restrict llc_colors xenstore_feature_mask arch_x86.msr_relaxed ' +
      'arch_arm.gic_version arch_arm.vuart arch_arm.nr_spis arch_arm.sve_vl',
    'copied',
    'b_info.',
  ),
  'b_info.disable_migrate': {
    why: 'it must not be migrated (nomigrate)',
    givesUp: 'it may rely on what only this host has, such as an invariant clock',
    fine: off,
  },
  'b_info.device_model_version': {
    why: 'nobody has seen the state of this device model come over',
    givesUp: 'its emulated devices may not work in the copy',
    fine: ['qemu_xen', ...off],
  },
  'b_info.device_model_stubdomain': {
    why: 'its device model runs in a domain of its own, which is not copied',
    givesUp: null,
    fine: off,
  },
  'b_info.vpmu': {
    why: 'the state of its performance counters is not copied',
    givesUp: 'profiling in the guest is wrong after a failover',
    fine: off,
  },
  'b_info.vmtrace_buf_kb': {
    why: 'trace buffers are not copied',
    givesUp: 'what was traced is lost at a failover',
  },
  ...each(
    'altp2m type.hvm.altp2m',
    {
      why: 'alternate views of its memory are not copied',
      givesUp: 'who watches the guest through them finds none after a failover',
      fine: off,
    },
    'b_info.',
  ),
  ...each(
    'nested_hvm type.hvm.nested_hvm',
    {
      why: 'the state of guests inside it is not copied',
      givesUp: 'the guest crashes at a failover while it runs guests of its own',
      fine: off,
    },
    'b_info.',
  ),
  'b_info.tee': {
    why: 'what it keeps in a trusted environment is not copied',
    givesUp: 'that is lost at a failover',
    fine: off,
  },
  ...each(
    'extra extra_pv extra_hvm',
    {
      why: 'the device model has arguments of its own, and what they add may not be copied',
      givesUp: 'what they add may not work in the copy',
    },
    'b_info.',
  ),
  'b_info.device_tree': {
    why: 'it has a device tree of its own, which passes devices through',
    givesUp: 'what it passes through is not in the copy',
  },
  'b_info.ioports': device('it has I/O ports of this host'),
  'b_info.irqs': device('it has interrupts of this host'),
  'b_info.iomem': device('it has I/O memory of this host'),
  'b_info.vnuma_nodes': device('it has vNUMA nodes'),

  ...each(
    'kernel slack_memkb bootloader bootloader_args cmdline ramdisk features',
    'copied',
    'b_info.type.pv.',
  ),
  'b_info.type.pv.e820_host': {
    why: 'it sees the memory map of this host',
    givesUp: 'devices that it finds by that map are not in the copy',
    fine: off,
  },
  ...each('pvshim pvshim_path pvshim_cmdline pvshim_extra', 'copied', 'b_info.type.pvh.'),
  ...each(
    'firmware bios pae apic acpi acpi_s3 acpi_s4 acpi_laptop_slate nx viridian viridian_enable ' +
      'viridian_disable timeoffset hpet vpt_align mmio_hole_memkb timer_mode system_firmware ' +
      'smbios_firmware smbios acpi_firmware hdtype nographic vga vnc keymap sdl spice ' +
      'gfx_passthru_kind serial boot usb usbversion vkb_device soundhw xen_platform_pci ' +
      'vendor_device ms_vm_genid serial_list rdm_mem_boundary_memkb mca_caps pirq',
    'copied',
    hvm,
  ),
  [`${hvm}gfx_passthru`]: { ...device('its graphics are passed through'), fine: off },
  ...each(
    'usbdevice usbdevice_list',
    {
      why: 'a USB device of this host is passed through',
      givesUp: null,
      fine: ['tablet', 'mouse', 'keyboard', 'ccid', 'u2f'],
    },
    hvm,
  ),
  [`${hvm}rdm`]: {
    why: 'memory is reserved for devices passed through',
    givesUp: 'the memory of the copy may be laid out in another way',
    fine: ['relaxed', ...off],
  },

  ...each(
    'backend_domid backend_domname pdev_path vdev backend format script removable readwrite ' +
      'is_cdrom direct_io_safe discard_enable trusted transport irq base grant_usage',
    'copied',
    'disks.',
  ),
  'disks.specification': {
    why: 'the state of virtio devices is not copied',
    givesUp: 'the disk may not work in the copy',
    fine: ['xen', ...off],
  },
  ...each(
    'colo_enable colo_restore_enable colo_host colo_port colo_export active_disk hidden_disk',
    colo,
    'disks.',
  ),
  ...each(
    'backend_domid backend_domname devid mtu model mac ip bridge ifname script nictype ' +
      'rate_bytes_per_interval rate_interval_usecs gatewaydev trusted vlan',
    'copied',
    'nics.',
  ),
  'nics.coloft_forwarddev': colo,
  'nics.colo': colo,
  ...each('vfbs channels', 'copied'),
  ...each(
    'backend_domid backend_domname devid unique_id feature_disable_keyboard ' +
      'feature_disable_pointer feature_abs_pointer feature_raw_pointer feature_multi_touch width ' +
      'height multi_touch_width multi_touch_height multi_touch_num_contacts',
    'copied',
    'vkbs.',
  ),
  'vkbs.backend_type': {
    why: 'a program of its own serves this keyboard',
    givesUp: 'the keyboard may not work in the copy',
    fine: ['qemu', ...off],
  },
  pcidevs: device('it has passed-through PCI devices'),
  rdms: device('it has memory reserved for devices passed through'),
  dtdevs: device('it has passed-through device-tree devices'),
  usbctrls: device('it has USB controllers'),
  usbdevs: device('it has passed-through USB devices'),
  ...each('p9s p9', device('it has 9pfs shares')),
  vtpms: device('it has a virtual TPM, whose secrets are not copied'),
  virtios: device('it has virtio devices, whose state is not copied'),
  pvcallsifs: device('it has sockets of this host (pvcalls)'),
  vdispls: device('it has PV displays'),
  vsnds: device('it has PV sound devices'),
  ...each('on_poweroff on_reboot on_watchdog on_crash on_soft_reset', 'copied'),
};

const unlooked: Rule = {
  why: 'nobody has looked yet whether that is copied',
  givesUp: 'what it asks for may not work in the copy',
};

/** Deeper than any structure of libxl. */
const depthMax = 12;
const valueCharsMax = 40;

/** libxl leaves out members with values that say nothing. */
function isUnset(value: unknown): boolean {
  return value === null || value === '' || value === 0 || value === false || value === '<default>';
}

/** The rule of a key: its own, else that of what it lies below. */
export function ruleOf(key: string): Rule | 'copied' {
  if (key.startsWith('nics.colo_')) return colo; // dozens of them
  const parts = key.split('.');
  for (let length = parts.length; length > 0; length -= 1) {
    const known = parts.slice(0, length).join('.');
    if (Object.hasOwn(table, known)) return table[known] ?? unlooked;
  }
  return unlooked;
}

function refusal(key: string, value: unknown): Refusal[] {
  const rule = ruleOf(key);
  if (rule === 'copied' || rule.fine?.includes(`${value}`)) return [];
  const { why, givesUp, isWhole = false } = rule;
  const shown = JSON.stringify(value ?? null).slice(0, valueCharsMax);
  return [{ key, text: isWhole ? why : `${key} is ${shown}: ${why}`, givesUp }];
}

function walk(key: string, value: unknown, depth: number): Refusal[] {
  if (isUnset(value)) return [];
  if (Array.isArray(value)) return value.flatMap((one) => walkElement(key, one, depth));
  if (typeof value !== 'object' || value === null) return refusal(key, value as Scalar);
  if (depth > depthMax) return refusal(key, '...');
  return Object.entries(value).flatMap(([name, one]) =>
    walk(key === '' ? name : `${key}.${name}`, one, depth + 1),
  );
}

/** A device is there by itself, whatever its members say. */
function walkElement(key: string, one: unknown, depth: number): Refusal[] {
  const rule = ruleOf(key);
  const isDevice = rule !== 'copied' && (rule.isWhole || rule === unlooked);
  if (!isDevice || depth > depthMax || hasRulesBelow(key)) return walk(key, one, depth + 1);
  return refusal(key, '{...}');
}

function hasRulesBelow(key: string): boolean {
  return Object.keys(table).some((known) => known.startsWith(`${key}.`));
}

/** Why the guest of this configuration cannot be protected; each reason once. */
export function refusalsOf(config: object): Refusal[] {
  const all = walk('', config, 0);
  return all.filter((one, at) => all.findIndex(({ text }) => text === one.text) === at);
}

/** What is refused, for the man page: key, why, what --allow gives up. */
export function refusedKeys(): Refusal[] {
  return Object.entries(table).flatMap(([key, rule]) =>
    rule === 'copied' ? [] : [{ key, text: rule.why, givesUp: rule.givesUp }],
  );
}

/** True for a key of the table; a test holds it to what libxl has. */
export function isKnownKey(key: string): boolean {
  return ruleOf(key) !== unlooked;
}
