/**
 * What a guest needs of a host is found before it is needed: each device and file that libxl would
 * fail on at the failover, and nothing that it would not.
 */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { lacksOf } from '../../../src/hypervisor/xen/lacks.ts';

const guest = {
  b_info: { kernel: '/boot/vmlinuz', type: { pvh: {} } },
  disks: [
    { vdev: 'xvda', pdev_path: '/dev/vg0/web1', readwrite: 1 },
    { vdev: 'hdc', is_cdrom: 1 },
    { vdev: 'xvdb', pdev_path: 'nbd://x', script: 'block-nbd' },
  ],
  nics: [
    { devid: 0, bridge: 'xenbr1' },
    { devid: 1, script: 'vif-route', gatewaydev: 'eth0' },
  ],
};

const there = {
  '/boot/vmlinuz': 0o644,
  '/dev/vg0/web1': 0o644,
  '/etc/xen/scripts/block-nbd': 0o755,
  '/etc/xen/scripts/vif-bridge': 0o755,
  '/etc/xen/scripts/vif-route': 0o755,
  '/sys/class/net/xenbr1': 0o644,
  '/sys/class/net/eth0': 0o644,
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
  expect(await lacksOf(guest, hostWith(there))).toEqual([]);
  expect(await lacksOf({}, hostWith({}))).toEqual([]);
});

describe('a host without', () => {
  it.each([
    ['/boot/vmlinuz', 'the kernel (/boot/vmlinuz)', 'ls -l /boot/vmlinuz'],
    ['/dev/vg0/web1', 'disk xvda (/dev/vg0/web1)', 'ls -l /dev/vg0/web1'],
    ['/etc/xen/scripts/block-nbd', 'the script of disk xvdb', 'ls -l /etc/xen/scripts/block-nbd'],
    ['/etc/xen/scripts/vif-bridge', 'the script of interface 0', 'ls -l '],
    ['/etc/xen/scripts/vif-route', 'the script of interface 1', 'ls -l '],
    ['/sys/class/net/xenbr1', 'the bridge of interface 0 (xenbr1)', 'ip link add name xenbr1 '],
    ['/sys/class/net/eth0', 'the gateway of interface 1', 'ls -l /sys/class/net/eth0'],
  ] as const)('%s', async (path, what, advice) => {
    const lacks = await lacksOf(guest, hostWith(without(path)));
    expect(lacks).toHaveLength(1);
    expect(lacks[0]?.what).toContain(what);
    expect(lacks[0]?.what).toContain(' is not there');
    expect(lacks[0]?.advice).toContain(advice);
  });
});

it('finds a script that cannot be executed', async () => {
  const host = hostWith({ ...there, '/etc/xen/scripts/vif-bridge': 0o644 });
  const [lack] = await lacksOf(guest, host);
  expect(lack?.what).toMatch(/of interface 0 .* cannot be executed$/);
  expect(lack?.advice).toBe('chmod +x /etc/xen/scripts/vif-bridge');
});

it('takes eth1 for xenbr1 where that is a bridge, as the script does', async () => {
  const files = { ...without('/sys/class/net/xenbr1'), '/sys/class/net/eth1/bridge': 0o644 };
  expect(await lacksOf(guest, hostWith(files))).toEqual([]);
});
