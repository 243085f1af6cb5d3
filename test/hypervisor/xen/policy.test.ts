/**
 * Goal: whoever may start receive, and no more, gets nothing else out of this host by it. Method: a
 * table of what a hostile primary could put into a configuration, key by key, put into ordinary
 * ones; and that nothing which is not in the lists passes, whatever its name.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OperationError } from '../../../src/host/errors.ts';
import { specFrom } from '../../../src/hypervisor/xen/guest-config.ts';
import { type Allowed, checkPolicy, parseAllowed } from '../../../src/hypervisor/xen/policy.ts';
import { xlWords } from '../../fixtures/xl-words.ts';

const file = '/etc/tsremus/allow';

/** Ordinary guests, as libxl 4.17 writes them: members that have their default are left out. */
const pv = {
  c_info: {
    type: 'pv',
    name: 'web1',
    uuid: '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
    ssidref: 11,
    run_hotplug_scripts: 'True',
    passthrough: 'disabled',
  },
  b_info: {
    max_vcpus: 2,
    avail_vcpus: [0, 1],
    vcpu_hard_affinity: [[0], [1]],
    numa_placement: 'True',
    max_memkb: 131_072,
    target_memkb: 131_072,
    shadow_memkb: 3_072,
    sched_params: { sched: 'credit2', weight: 256 },
    claim_mode: 'True',
    device_model_version: 'qemu_xen',
    kernel: '/boot/vmlinuz-6.1',
    ramdisk: '/boot/initrd.img-6.1',
    cmdline: 'root=/dev/xvda ro console=hvc0 -- x="y z"',
    'type.pv': { slack_memkb: 0 },
    arch_arm: {},
    arch_x86: { msr_relaxed: 'False' },
  },
  disks: [
    {
      pdev_path: '/dev/drbd3',
      vdev: 'xvda',
      backend: 'phy',
      format: 'raw',
      readwrite: 1,
      colo_restore_enable: 'False',
    },
    { pdev_path: '/var/lib/xen/images/cd.iso', vdev: 'xvdb', backend: 'qdisk', format: 'raw' },
  ],
  nics: [
    {
      devid: 0,
      mac: '00:16:3e:01:02:03',
      ip: '10.0.0.3/24 fd00::3',
      bridge: 'xenbr0',
      script: '/etc/xen/scripts/vif-bridge',
      nictype: 'vif',
    },
    { devid: 1, mac: '00:16:3e:01:02:04', gatewaydev: 'eth0', script: 'vif-route' },
  ],
  vfbs: [{ devid: 0, vnc: { enable: 'True', listen: '127.0.0.1' }, sdl: { enable: 'False' } }],
  vkbs: [{ devid: 0, backend_type: 'qemu' }],
  on_poweroff: 'destroy',
  on_reboot: 'restart',
  on_crash: 'coredump_destroy',
};

const hvm = {
  ...pv,
  c_info: { ...pv.c_info, type: 'hvm', hap: 'True' },
  b_info: {
    ...pv.b_info,
    kernel: null,
    ramdisk: null,
    device_model_stubdomain: 'False',
    device_model_ssidref: 12,
    cpuid: [{ leaf: 1, eax: 'xxxxxxxx' }],
    'type.hvm': {
      bios: 'seabios',
      system_firmware: '/usr/share/seabios/bios.bin',
      pae: 'True',
      viridian: 'False',
      vga: { kind: 'cirrus' },
      vnc: { enable: 'True', listen: '127.0.0.1', findunused: 'True' },
      sdl: { enable: 'False' },
      spice: { enable: 'False' },
      serial: 'pty',
      boot: 'c',
      usbdevice: 'tablet',
      rdm: { strategy: 'ignore' },
      ms_vm_genid: [1, 2, 3],
      xen_platform_pci: 'True',
    },
  },
};

type Json = Record<string, unknown>;

/** A copy of `config` in which the member at `path` (`disks.0.script`) is `value`. */
function changed(config: object, path: string, value: unknown): Json {
  const copy = structuredClone(config) as Json;
  const keys = path.split('/');
  const last = keys.pop() ?? '';
  let at: Json = copy;
  for (const key of keys) {
    at[key] ??= /^\d+$/.test(keys[keys.indexOf(key) + 1] ?? last) ? [] : {};
    at = at[key] as Json;
  }
  at[last] = value;
  return copy;
}

function refusal(config: unknown, allowed: readonly Allowed[] = []): OperationError | null {
  try {
    checkPolicy(config, allowed, file);
    return null;
  } catch (error) {
    if (error instanceof OperationError) return error;
    throw error;
  }
}

const dm = 'b_info/device_model';
const inHvm = 'b_info/type.hvm';

/** Where, what, and as what it is named. */
const hostile: readonly (readonly [string, unknown])[] = [
  // Programs that would run here as root.
  ['nics/0/script', '/tmp/evil'],
  ['nics/0/script', '/etc/xen/scripts/../../../tmp/evil'],
  ['nics/0/script', 'vif-evil'],
  ['disks/0/script', '/tmp/evil'],
  ['disks/0/script', 'block-iscsi'],
  ['b_info/bootloader', '/usr/bin/id'],
  ['b_info/bootloader', 'pygrub'],
  ['b_info/bootloader_args', ['--kernel=/etc/shadow']],
  ['b_info/type.pv/bootloader', '/bin/sh'],
  [dm, '/tmp/qemu'],
  [`${dm}_version`, 'qemu_xen_traditional'],
  [`${dm}_stubdomain`, 'True'],
  [`${dm}_user`, 'root'],
  [`${dm}_ssidref`, 2],
  ['b_info/stubdomain_kernel', '/boot/vmlinuz'],
  ['b_info/stubdomain_ramdisk', '/etc/shadow'],
  ['b_info/stubdomain_cmdline', 'x'],
  // Arguments of the device model.
  ['b_info/extra', ['-drive', 'file=/dev/sda']],
  ['b_info/extra_pv', ['-chardev']],
  ['b_info/extra_hvm', ['-monitor', 'tcp::4444,server']],
  [`${inHvm}/serial`, 'tcp:0.0.0.0:1'],
  [`${inHvm}/serial`, 'file:/etc/cron.d/evil'],
  [`${inHvm}/serial_list`, ['pty', 'file:/etc/passwd']],
  [`${inHvm}/usbdevice`, 'disk:/dev/sda'],
  [`${inHvm}/usbdevice_list`, ['tablet', 'host:1.2']],
  [`${inHvm}/soundhw`, 'all'],
  [`${inHvm}/vnc`, { enable: 'True', listen: '0.0.0.0' }],
  [`${inHvm}/sdl`, { enable: 'True', xauthority: '/root/.Xauthority' }],
  [`${inHvm}/spice`, { enable: 'True', host: '0.0.0.0' }],
  [`${inHvm}/keymap`, '../../../etc/shadow'],
  [`${inHvm}/boot`, 'c,menu=on'],
  ['vfbs/0/vnc', { enable: 'True', listen: '0.0.0.0' }],
  // Files and volumes of this host.
  ['b_info/kernel', '/etc/shadow'],
  ['b_info/kernel', '/boot/../etc/shadow'],
  ['b_info/ramdisk', '/root/.ssh/id_ed25519'],
  ['b_info/type.pv/ramdisk', '/etc/shadow'],
  ['b_info/type.pvh/pvshim_path', '/tmp/shim'],
  ['b_info/device_tree', '/etc/shadow'],
  [`${inHvm}/system_firmware`, '/etc/shadow'],
  [`${inHvm}/smbios_firmware`, '/etc/shadow'],
  [`${inHvm}/acpi_firmware`, '/etc/shadow'],
  [`${inHvm}/firmware`, '/tmp/hvmloader'],
  ['disks/0/pdev_path', '/dev/sda'],
  ['disks/0/pdev_path', '/dev/drbd/../sda'],
  ['disks/0/pdev_path', 'nbd:10.0.0.9:10809'],
  ['disks/1/pdev_path', '/var/lib/xen/images/../../../../etc/shadow'],
  ['disks/0/backend', 'standalone'],
  ['disks/0/colo_host', '10.0.0.9'],
  ['disks/0/colo_restore_enable', 'True'],
  ['disks/0/active_disk', '/dev/sda'],
  // Hardware and memory of this host.
  ['pcidevs', [{ bus: 3, dev: 1 }]],
  ['dtdevs', [{ path: '/soc/uart' }]],
  ['usbdevs', [{ 'type.hostdev': { hostbus: 1, hostaddr: 2 } }]],
  ['rdms', [{ start: 4_096 }]],
  ['b_info/ioports', [{ first: 0x3f8, number: 8 }]],
  ['b_info/irqs', [4]],
  ['b_info/irqs', [0]],
  ['b_info/iomem', [{ start: 1, number: 1 }]],
  [`${inHvm}/gfx_passthru`, 'True'],
  ['c_info/passthrough', 'share_pt'],
  ['b_info/type.pv/e820_host', 'True'],
  // Other domains as back ends, and privileges.
  ['nics/0/backend_domid', 3],
  ['nics/0/backend_domname', 'router'],
  ['disks/0/backend_domname', 'storage'],
  ['vfbs/0/backend_domid', 1],
  ['vtpms', [{ backend_domname: 'vtpm' }]],
  ['p9s', [{ tag: 'root', path: '/', security_model: 'none' }]],
  ['pvcallsifs', [{ devid: 0 }]],
  ['p9s', [{}]],
  ['channels', [{ 'connection.socket': {} }]],
  ['virtios', [{ type: 'virtio,device' }]],
  ['channels', [{ name: 'x', 'connection.socket': { path: '/run/evil' } }]],
  ['c_info/driver_domain', 'True'],
  ['c_info/ssidref', 2],
  ['c_info/ssid_label', 'system_u:system_r:dom0_t'],
  ['c_info/xsdata', { 'memory/target': '1' }],
  ['c_info/platformdata', { x: 'y' }],
  ['b_info/nested_hvm', 'True'],
  ['b_info/altp2m', 'external'],
  ['b_info/vpmu', 'True'],
  ['b_info/tee', 'optee'],
  // What scripts get as their environment.
  ['nics/0/bridge', 'xenbr0;id'],
  ['nics/0/ifname', '../../x'],
  ['nics/0/ip', '10.0.0.1;id'],
  ['nics/0/gatewaydev', '$(id)'],
  ['b_info/cmdline', 'a\nb'],
  ['b_info/cmdline', 'x'.repeat(5_000)],
];

describe('a guest from another host', () => {
  it.each([
    ['PV', pv],
    ['HVM', hvm],
    ['empty', {}],
  ])('%s, as guests are, is let in', (_, config) => {
    expect(refusal(config)?.message).toBeUndefined();
    expect(
      specFrom(Buffer.from(JSON.stringify(config)), xlWords, (one) => checkPolicy(one, [], file)),
    ).toBeTruthy();
  });

  it.each(hostile)('does not get %s = %j', (path, value) => {
    for (const config of [pv, hvm]) {
      const error = refusal(changed(config, path, value));
      expect(error?.code).toBe('not-allowed');
      const key = path.replaceAll(/\/\d+/g, '').replaceAll('/', '.');
      expect(error?.message).toContain(key);
      expect(error?.message.length).toBeLessThan(400);
      expect(error?.hint).toContain(file);
    }
  });

  it.each(hostile)('gets %s = %j where this host’s own list says so', (path, value) => {
    const key = path.replaceAll(/\/\d+/g, '').replaceAll('/', '.');
    expect(refusal(changed(pv, path, value), [{ key, value: '*' }])).toBeNull();
    expect(refusal(changed(pv, path, value), [{ key: `${key}x`, value: '*' }])).not.toBeNull();
  });

  it('gets nothing of a name that nobody knows, at any place', () => {
    const names = fc.stringMatching(/^[a-z_]{1,12}$/);
    const places = fc.constantFrom('', 'c_info/', 'b_info/', `${inHvm}/`, 'disks/0/', 'nics/1/');
    const values = fc.oneof(
      fc.string({ minLength: 1 }),
      fc.constant('True'),
      fc.integer({ min: 1 }),
    );
    const known = JSON.stringify([pv, hvm, hostile]);
    fc.assert(
      fc.property(places, names, values, (place, name, value) => {
        if (known.includes(name)) return;
        const error = refusal(changed(hvm, `${place}zz_${name}`, value));
        expect(error?.code).toBe('not-allowed');
      }),
    );
  });

  it('gets no value that is not text, wherever text is harmless', () => {
    for (const value of [['a\0b'], ['x'], [[['\u0007']]]]) {
      expect(refusal(changed(pv, 'b_info/cmdline', value)) === null).toBe(
        !/\\u0000|\\u0007/.test(JSON.stringify(value)),
      );
    }
  });

  it('gets no stack out of a configuration that is too deep', () => {
    const depth = 100_000;
    const bytes = Buffer.from(`{"b_info":${'['.repeat(depth)}1${']'.repeat(depth)}}`);
    expect(() => specFrom(bytes, xlWords, (config) => checkPolicy(config, [], file))).toThrow(
      OperationError,
    );
  });

  it('is read once: of two members of one name the one that was looked at counts', () => {
    const text = '{"nics":[{"script":"/tmp/evil","script":"vif-bridge"}]}';
    const spec = specFrom(Buffer.from(text), xlWords, (config) => checkPolicy(config, [], file));
    expect(spec.config.toString()).not.toContain('evil');
  });
});

describe('the refusal', () => {
  it('names it, and the line that permits it', () => {
    const error = refusal(changed(pv, 'nics/0/script', '/opt/vif mine'));
    expect(error?.message).toBe(
      'the backup lets no guest from another host have this: nics.script is "/opt/vif mine"',
    );
    expect(error?.hint).toBe(
      "mkdir -p /etc/tsremus && echo 'nics.script /opt/vif mine' >> /etc/tsremus/allow" +
        '  # only if a guest from another host may have it',
    );
    const [line = ''] = /'([^']*)'/.exec(error?.hint ?? '')?.slice(1) ?? [];
    expect(
      refusal(changed(pv, 'nics/0/script', '/opt/vif mine'), parseAllowed(line, file)),
    ).toBeNull();
  });

  it('names no more than can be read, and offers no line with what cannot be typed', () => {
    const many = Array.from({ length: 500 }, (_, at) => ({ script: `/tmp/${at}` }));
    expect(refusal({ nics: many })?.message).toMatch(/"\/tmp\/2" and 497 more$/);
    const odd = refusal({ 'x;id\n': 'y' });
    expect(odd?.message).not.toContain('\n');
    expect(odd?.hint).not.toContain('echo');
    expect(refusal({ disks: [{ script: 'a\n* *' }] })?.hint).not.toContain('echo');
  });
});

describe('this host’s own list', () => {
  it('is lines of a key and a value', () => {
    expect(parseAllowed('# own\n\n nics.script /opt/a b \nb_info.kernel /lab/\n', file)).toEqual([
      { key: 'nics.script', value: '/opt/a b' },
      { key: 'b_info.kernel', value: '/lab/' },
    ]);
    expect(() => parseAllowed('a b\nnics.script\n', file)).toThrow(`${file}, line 2`);
  });

  it.each([
    ['b_info.kernel', '/lab/', '/lab/vmlinux', true],
    ['b_info.kernel', '/lab/', '/lab/../etc/shadow', false],
    ['b_info.kernel', '/lab/', '/labour', false],
    ['b_info.kernel', '/lab/vmlinux', '/lab/vmlinux2', false],
    ['b_info', '*', '/anything', true],
    ['b_inf', '*', '/anything', false],
    ['b_info.kernel.x', '*', '/anything', false],
  ])('%s %s: a kernel %s is let in: %s', (key, value, kernel, isIn) => {
    const config = { b_info: { kernel } };
    expect(refusal(config, [{ key, value }]) === null).toBe(isIn);
  });
});
