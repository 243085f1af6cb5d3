/** What is below a disk. Proves: each sort of block device is told from the others by sysfs. */
import { describe, expect, it } from 'vitest';
import { backingOf, type DeviceFiles } from '../../src/disk/backing.ts';

/** A host with one block device of that number, and what sysfs says of it. */
function host(rdev: number, link: string, texts: Readonly<Record<string, string>>): DeviceFiles {
  const missing = () => Object.assign(new Error('not there'), { code: 'ENOENT' });
  return {
    stat: async () => ({ kind: 'block', rdev }),
    async readText(path) {
      const [, name = ''] = /^\/sys\/dev\/block\/\d+:\d+\/(.+)$/.exec(path) ?? [];
      const text = texts[name];
      if (text === undefined) throw missing();
      return text;
    },
    async readLink(path) {
      if (link === '') throw missing();
      expect(path).toMatch(/^\/sys\/dev\/block\/\d+:\d+$/);
      return link;
    },
  };
}

describe('a block device', () => {
  it.each([
    ['drbd', (147 << 8) | 5, '../../devices/virtual/block/drbd5', {}],
    ['device-mapper', (253 << 8) | 7, '../../devices/virtual/block/dm-7', { 'dm/name': 'vg-a\n' }],
    ['partition', (8 << 8) | 3, '../../devices/pci/block/sda/sda3', { partition: '3\n' }],
    ['device', (8 << 8) | 16, '../../devices/pci/block/sdb', {}],
  ] as const)('is known as %s', async (sort, rdev, link, texts) => {
    const files = host(rdev, link, texts);
    const number = { major: rdev >> 8, minor: rdev & 0xff };
    expect(await backingOf(files, '/dev/x')).toEqual({ kind: 'block', sort, ...number });
  });

  it('has minors past 255 (glibc, gnu_dev_minor)', async () => {
    const files = host((147 << 8) | 0x01 | (0x12 << 20), 'x/drbd4609', {});
    expect(await backingOf(files, '/dev/drbd4609')).toMatchObject({ sort: 'drbd', minor: 0x1201 });
  });

  it('is absent where only its node is left', async () => {
    expect(await backingOf(host((8 << 8) | 1, '', {}), '/dev/sda1')).toEqual({ kind: 'absent' });
  });

  it('is an error where the kernel does not say', async () => {
    const denied = Object.assign(new Error('denied'), { code: 'EACCES' });
    const files = { ...host(0, '', {}), stat: async () => Promise.reject(denied) };
    await expect(backingOf(files, '/dev/x')).rejects.toBe(denied);
  });
});
