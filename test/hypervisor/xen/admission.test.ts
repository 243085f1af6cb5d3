/**
 * Goal: no guest is protected with something that is not in its copy. Method: every key that
 * libxenlight of Xen 4.16 to 4.20 has (taken from its libxl_types.idl) has a verdict, unknown ones
 * are refused, ordinary guests are not, and the man page has the table.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isKnownKey, refusalsOf, refusedKeys } from '../../../src/hypervisor/xen/admission.ts';

const repository = join(import.meta.dirname, '../../..');
const read = (path: string) => readFileSync(join(repository, path), 'utf8');
const keys = read('test/fixtures/xen/config-keys.txt').trim().split('\n');

/** As libxl 4.17 and 4.20 write ordinary guests: PV, PVH and HVM with what Debian's xl adds. */
const common = {
  c_info: {
    name: 'web1',
    uuid: 'x',
    ssidref: 11,
    run_hotplug_scripts: 'True',
    passthrough: 'disabled',
  },
  b_info: {
    max_vcpus: 2,
    avail_vcpus: [0, 1],
    vcpu_hard_affinity: [[0], [1]],
    numa_placement: 'True',
    tsc_mode: 'default',
    max_memkb: 131_072,
    claim_mode: 'True',
    device_model_version: 'qemu_xen',
    device_model_stubdomain: 'False',
    blkdev_start: 'xvda',
    sched_params: { sched: 'credit2', weight: 256, cap: 0 },
    disable_migrate: 'False',
    nested_hvm: 'False',
    altp2m: 'disabled',
    vpmu: 'False',
    tee: 'none',
    cpuid: [{ leaf: 1, subleaf: null, eax: 'x', ecx: 'x' }],
    arch_arm: { gic_version: 'default', vuart: 'unknown' },
    arch_x86: { msr_relaxed: 'False' },
  },
  disks: [
    { vdev: 'xvda', specification: 'xen', backend: 'phy', colo_enable: 'False', readwrite: 1 },
  ],
  nics: [{ devid: 0, mac: '00:16:3e:01:02:03', bridge: 'xenbr0', nictype: 'vif', trusted: 'True' }],
  vfbs: [{ devid: 0, vnc: { enable: 'True' } }],
  vkbs: [{ devid: 0, backend_type: 'qemu' }],
  channels: [{ devid: 0, name: 'org.qemu', 'connection.pty': {} }],
  on_poweroff: 'destroy',
  on_reboot: 'restart',
};
const typed = (type: string, members: object) => ({
  ...common,
  c_info: { ...common.c_info, type },
  b_info: { ...common.b_info, [`type.${type}`]: members },
});
const hvm = { bios: 'seabios', pae: 'True', nested_hvm: 'False', altp2m: 'disabled', boot: 'cd' };
const more = { rdm: { strategy: 'ignore', policy: 'relaxed' }, usbdevice_list: ['tablet'] };
const ordinary = [
  typed('pv', { slack_memkb: 0, e820_host: 'False' }),
  typed('pvh', { pvshim: 'False' }),
  typed('hvm', { ...hvm, ...more, vga: { kind: 'cirrus' }, spice: { enable: 'False' } }),
];

/** The configuration with `value` at `key`. */
function having(key: string, value: unknown): object {
  const [first = '', ...rest] = key.replace(/type\.(hvm|pvh?)/, 'type-$1').split('.');
  const below = rest.length === 0 ? value : having(rest.join('.'), value);
  return { [first.replace('type-', 'type.')]: below };
}

describe('the table', () => {
  it.each(keys)('has %s', (key) => expect(isKnownKey(key)).toBe(true));

  it('has nothing that libxl does not', () => {
    for (const { key } of refusedKeys()) {
      const isThere = keys.some((one) => one === key || one.startsWith(key));
      // 9pfs was called p9 before; what hvm had of altp2m is still read.
      expect(isThere || key === 'p9', key).toBe(true);
    }
  });

  it('stands in the man page, reasons and all', () => {
    const page = read('man/tsremus-protect.8');
    const section = /\.Sh GUEST CONFIGURATION\n([\s\S]*?)\n\.Sh /.exec(page)?.[1] ?? '';
    const items = section
      .replace(/\n(?!\.)/g, ' ')
      .toLowerCase()
      .split('\n');
    for (const { key, text, givesUp } of refusedKeys()) {
      const item = items.find((line) => line.includes(`${text}.`.toLowerCase())) ?? '';
      expect(section, key).toMatch(new RegExp(`[ ]${key.replaceAll('.', '\\.')}( |\n)`));
      const end = givesUp === null ? 'cannot be allowed.' : `gives up: ${givesUp.toLowerCase()}.`;
      expect(item, key).toContain(end);
    }
  });
});

describe('a guest', () => {
  it.each(ordinary)('that is ordinary is not refused', (config) => {
    expect(refusalsOf(config)).toEqual([]);
  });

  // Proves: what was accepted before is refused by its name, and what --allow gives up is said.
  it.each([
    [
      'b_info.disable_migrate',
      'True',
      /^b_info.disable_migrate is "True": it must not be migrated/,
    ],
    ['b_info.nested_hvm', 'True', /guests inside it is not copied$/],
    ['b_info.type.hvm.nested_hvm', 'True', /guests inside it is not copied$/],
    ['b_info.altp2m', 'external', /is not|are not copied$/],
    ['b_info.vpmu', 'True', /performance counters/],
    ['b_info.vmtrace_buf_kb', 64, /trace buffers/],
    ['b_info.extra_hvm', ['-device', 'e1000'], /device model has arguments/],
    ['b_info.device_model_version', 'qemu_xen_traditional', /this device model/],
    ['disks', [{ specification: 'virtio' }], /virtio/],
    ['nics', [{ colo_sock_mirror_id: 'x' }], /COLO/],
    ['c_info.passthrough', 'enabled', /passed through/],
    ['b_info.of_a_later_xen', 'on', /^b_info.of_a_later_xen is "on": nobody has looked/],
    ['later_devices', [{ devid: 0 }], /^later_devices is .*nobody has looked/],
  ])('with %s = %j is refused unless it is allowed', (key, value, text) => {
    const found = refusalsOf(having(key, value));
    expect(found[0]?.text).toMatch(text);
    expect(found.every(({ givesUp }) => givesUp !== null)).toBe(true);
  });

  it.each([
    ['b_info.device_model_stubdomain', 'True'],
    ['b_info.ioports', [{ first: 1, number: 1 }]],
    ['b_info.vnuma_nodes', [{ memkb: 1 }]],
    ['b_info.type.hvm.gfx_passthru', 'True'],
    ['b_info.type.hvm.usbdevice', 'host:1.2'],
    ['pcidevs', [{}]],
    ['p9s', [{ tag: 'x' }]],
    ['vtpms', [{ devid: 0 }]],
    ['usbdevs', [{}]],
  ])('with %s cannot be protected at all', (key, value) => {
    expect(refusalsOf(having(key, value))).toMatchObject([{ givesUp: null }]);
  });
});
