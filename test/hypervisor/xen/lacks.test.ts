/**
 * What a guest needs of a host is found before it is needed: each device and file that libxl would
 * fail on at the failover, and nothing that it would not.
 */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { builtInto, nothingBuiltIn } from '../../../src/hypervisor/xen/device-model.ts';
import type { DomainConfig } from '../../../src/hypervisor/xen/guest-config.ts';
import { lacksOf, type NeedsAt, poolLacks } from '../../../src/hypervisor/xen/lacks.ts';

const guest = {
  b_info: { kernel: '/boot/vmlinuz', device_model: '/usr/lib/xen/bin/own-qemu', type: { pvh: {} } },
  disks: [
    { vdev: 'xvda', pdev_path: '/dev/vg0/web1', readwrite: 1 },
    { vdev: 'hdc', is_cdrom: 1 },
    { vdev: 'xvdb', pdev_path: 'nbd://x', script: 'block-nbd' },
  ],
  nics: [
    { devid: 0, bridge: 'xenbr1' },
    { devid: 1, script: 'vif-route', gatewaydev: 'eth0' },
    { devid: 2, script: 'vif-openvswitch', bridge: 'ovsbr0.20:30', ifname: 'web1-lan' },
  ],
};

/** A library that has nothing built in. */
const copy = { before: 'copy', builtIn: () => nothingBuiltIn } as const;
const build = { before: 'build', builtIn: () => nothingBuiltIn } as const;

const there = {
  '/boot/vmlinuz': 0o644,
  '/dev/vg0/web1': 0o644,
  '/etc/xen/scripts/block-nbd': 0o755,
  '/etc/xen/scripts/vif-bridge': 0o755,
  '/etc/xen/scripts/vif-route': 0o755,
  '/sys/class/net/xenbr1': 0o644,
  '/sys/class/net/eth0': 0o644,
  '/usr/lib/xen/bin/own-qemu': 0o755,
  '/etc/xen/scripts/vif-openvswitch': 0o755,
  '/sys/class/net/ovsbr0': 0o644,
};

/** A host that has these files, with their modes. */
function hostWith(files: Readonly<Record<string, number>>): string {
  const root = mkdtempSync(join(tmpdir(), 'tsremus-lacks-'));
  for (const [path, mode] of Object.entries(files)) {
    mkdirSync(dirname(root + path), { recursive: true });
    writeFileSync(root + path, '', { mode });
  }
  return root;
}

/** `there` without one of them. */
function without(path: keyof typeof there): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(there).filter(([name]) => name !== path));
}

it('finds nothing where all is there', async () => {
  expect(await lacksOf(guest, hostWith(there), copy)).toEqual([]);
  expect(await lacksOf({}, hostWith({}), copy)).toEqual([]);
});

describe('a host without', () => {
  it.each([
    ['/boot/vmlinuz', 'the kernel (/boot/vmlinuz)', 'ls -l /boot/vmlinuz'],
    ['/dev/vg0/web1', 'disk xvda (/dev/vg0/web1)', 'ls -l /dev/vg0/web1'],
    ['/etc/xen/scripts/block-nbd', 'the script of disk xvdb', 'ls -l /etc/xen/scripts/block-nbd'],
    ['/etc/xen/scripts/vif-bridge', 'the script of interface 0', 'ls -l '],
    ['/etc/xen/scripts/vif-route', 'the script of interface 1', 'ls -l '],
    ['/sys/class/net/xenbr1', 'the bridge of interface 0 (xenbr1)', 'ip link add name xenbr1 '],
    ['/usr/lib/xen/bin/own-qemu', 'the device model', 'ls -l /usr/lib/xen/bin/own-qemu'],
    ['/sys/class/net/ovsbr0', 'the bridge of interface 2 (ovsbr0)', 'ovs-vsctl add-br ovsbr0'],
    ['/sys/class/net/eth0', 'the gateway of interface 1', 'ls -l /sys/class/net/eth0'],
  ] as const)('%s', async (path, what, advice) => {
    const lacks = await lacksOf(guest, hostWith(without(path)), copy);
    expect(lacks).toHaveLength(1);
    expect(lacks[0]?.what).toContain(what);
    expect(lacks[0]?.what).toContain(' is not there');
    expect(lacks[0]?.advice).toContain(advice);
  });
});

it('finds a script that cannot be executed', async () => {
  const host = hostWith({ ...there, '/etc/xen/scripts/vif-bridge': 0o644 });
  const [lack] = await lacksOf(guest, host, copy);
  expect(lack?.what).toMatch(/of interface 0 .* cannot be executed$/);
  expect(lack?.advice).toBe('chmod +x /etc/xen/scripts/vif-bridge');
});

it('takes eth1 for xenbr1 where that is a bridge, as the script does', async () => {
  const files = { ...without('/sys/class/net/xenbr1'), '/sys/class/net/eth1/bridge': 0o644 };
  expect(await lacksOf(guest, hostWith(files), copy)).toEqual([]);
});

// Proves: a name that the scripts would give to the interface, and that another one has here, is
// found; they end with an error there, which costs the copy.
it('finds the name of an interface taken', async () => {
  const host = hostWith({ ...there, '/sys/class/net/web1-lan': 0o644 });
  const [lack, ...more] = await lacksOf(guest, host, build);
  expect(lack?.what).toBe('the name of interface 2 (web1-lan) is taken');
  expect(lack?.advice).toMatch(/^ip -d link show web1-lan /);
  expect(more).toEqual([]);
});

// Proves: no failover waits for what the build does not take.
it('asks for no kernel before a build', async () => {
  expect(await lacksOf(guest, hostWith(without('/boot/vmlinuz')), build)).toEqual([]);
});

describe('a CPU pool', () => {
  const pools: Record<string, object> = {
    web: { poolid: 1, pool_name: 'web', cpumap: [2, 3] },
    empty: { poolid: 2, pool_name: 'empty' },
    '1': { poolid: 1, pool_name: 'web', cpumap: [2, 3] },
  };
  const infoOf = async (pool: string) =>
    pool in pools ? { json: JSON.stringify(pools[pool]) } : ('none' as const);

  it.each([
    [{}, null, null],
    [{ pool_name: 'web' }, null, null],
    [{ pool_name: '1' }, null, null],
    [{ poolid: 1 }, null, null],
    [{ poolid: 7 }, 'the CPU pool 7 is not there', 'xl cpupool-create '],
    [
      { pool_name: 'fast', poolid: 1 },
      'the CPU pool fast is not there',
      "xl cpupool-create 'name=",
    ],
    [{ pool_name: 'empty' }, 'the CPU pool empty has no processor', 'xl cpupool-cpu-add empty 1'],
  ] as const)('%j: %s', async (info, what, advice) => {
    const [lack] = await poolLacks({ c_info: info }, infoOf);
    expect(lack?.what ?? null).toBe(what);
    expect(lack?.advice ?? '').toContain(advice ?? '');
  });

  it('is not asked for where this libxl does not say, or fails', async () => {
    const config = { c_info: { pool_name: 'fast' } };
    expect(await poolLacks(config, async () => 'unknown')).toEqual([]);
    expect(await poolLacks(config, () => Promise.reject(new Error('no')))).toEqual([]);
  });
});

describe('a guest that needs a device model', () => {
  const model = '/usr/libexec/xen-qemu-system-i386';
  const seabios = '/usr/share/seabios/bios-256k.bin';
  const ovmf = '/usr/share/ovmf/OVMF.fd';
  const builtIn = () => ({ model, seabios, ovmf });
  const hvm = { c_info: { type: 'hvm' }, b_info: { kernel: '/boot/vmlinuz', type: { hvm: {} } } };
  const nothing = hostWith({});
  const first = { before: 'copy', builtIn } as const;
  const later = { before: 'build', builtIn } as const;
  const whatOf = async (config: DomainConfig, at: NeedsAt = later) =>
    (await lacksOf(config, nothing, at)).map(({ what }) => what);

  it('takes the one built into libxl, with what it is told to load', async () => {
    const lacks = await lacksOf(hvm, nothing, later);
    expect(lacks).toEqual([
      {
        what: `the device model (${model}) is not there`,
        advice: `apt-get install qemu-system-xen  # which has ${model} on Debian`,
      },
      expect.objectContaining({ what: 'the kernel (/boot/vmlinuz) is not there' }),
    ]);
    const files = { [model]: 0o755, '/boot/vmlinuz': 0o644, [seabios]: 0o644 };
    expect(await lacksOf(hvm, hostWith(files), first)).toEqual([]);
  });

  it('is booted by its firmware, which is looked for before a copy is begun', async () => {
    const bios = (name: string) => ({ ...hvm, b_info: { type: { hvm: { bios: name } } } });
    const lacks = await lacksOf(bios('ovmf'), nothing, first);
    expect(lacks[0]).toEqual({
      what: `the firmware (${ovmf}) is not there`,
      advice: `apt-get install ovmf  # which has ${ovmf} on Debian`,
    });
    expect(await whatOf(hvm, first)).toContain(`the firmware (${seabios}) is not there`);
    expect(await whatOf(bios('rombios'), first)).toHaveLength(1);
    expect((await whatOf(hvm)).join()).not.toContain('firmware');
  });

  it('may have one of its own', async () => {
    const own = { ...hvm, b_info: { device_model: '/opt/qemu' } };
    expect(await whatOf(own)).toEqual(['the device model (/opt/qemu) is not there']);
  });

  it('has a disk that the kernel cannot serve', async () => {
    const served = (backend: string) => ({ disks: [{ vdev: 'xvda', backend }] });
    expect(await whatOf(served('qdisk'))).toHaveLength(1);
    expect(await whatOf(served('phy'))).toEqual([]);
  });

  it('is not looked at where that is a domain, or the older program', async () => {
    for (const other of [
      { device_model_stubdomain: true },
      { device_model_version: 'qemu_xen_traditional' },
    ]) {
      expect(await whatOf({ c_info: { type: 'hvm' }, b_info: other })).toEqual([]);
    }
  });

  it('is told apart by texts in the library; nothing is asked for where it has none', () => {
    const library = join(hostWith({ '/libxenlight.so': 0o644 }), 'libxenlight.so');
    writeFileSync(library, `\x7fELF\0/usr/lib/xen\0x${model}\0${ovmf}\0/xen\0${seabios}\0`);
    expect(builtInto(library)).toEqual(builtIn());
    writeFileSync(library, '\x7fELF\0/usr/bin/qemu-system-i386.old\0');
    expect(builtInto(library)).toEqual(nothingBuiltIn);
    expect(builtInto('/nowhere/libxenlight.so')).toEqual(nothingBuiltIn);
  });
});
