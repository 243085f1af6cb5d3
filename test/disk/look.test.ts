/**
 * Which disk is what. Proves: a disk that no driver takes is refused by what it is, one of a
 * driver's kind by that driver, and nobody is asked of what cannot be his.
 */
import { describe, expect, it } from 'vitest';
import type { DeviceFiles } from '../../src/disk/backing.ts';
import { diskRefusals, type LookAt } from '../../src/disk/look.ts';
import type { GuestDisk } from '../../src/hypervisor/port.ts';

/** A host: a file, a folder, and block devices by their minors, of which one is a volume. */
const files: DeviceFiles = {
  async stat(path) {
    const [, number] = /^\/dev\/x(\d)$/.exec(path) ?? [];
    if (number !== undefined) return { kind: 'block', rdev: (253 << 8) | Number(number) };
    if (path === '/file' || path === '/dir') {
      return { kind: path === '/file' ? 'file' : 'other', rdev: 0 };
    }
    throw Object.assign(new Error(path), { code: 'ENOENT' });
  },
  async readText(path) {
    if (path.endsWith(':1/dm/name')) return 'vg-guest\n';
    if (path.endsWith(':2/partition')) return '3\n';
    throw Object.assign(new Error(path), { code: 'ENOENT' });
  },
  readLink: async () => '../../devices/virtual/block/x',
};

const disk = (target: string, more: Partial<GuestDisk> = {}): GuestDisk => {
  return { name: 'xvda', target, format: 'raw', script: null, ...more };
};

const reason = { text: 'is too new', advice: 'wait', isToCome: false };

/** Takes devices of odd minors for its own. */
function odd(asked: number[]): LookAt {
  return async ({ minor }) => {
    asked.push(minor);
    return minor % 2 === 1 ? reason : null;
  };
}

describe('a disk', () => {
  it.each([
    [disk('/file', { format: 'qcow2' }), '/file is a qcow2 image, which cannot be', 'qcow2'],
    [disk('/dev/x1', { format: 'vhd' }), '/dev/x1 is a vhd image, which cannot be', 'vhd'],
    [
      disk('/gone', { script: 'block-tsremus' }),
      '/gone is not under /dev/mapper/block-gone-',
      null,
    ],
    [disk('/dir'), '/dir is no block device, which cannot be copied yet', null],
    [disk('/gone'), '/gone is not there', null],
    [disk('/gone', { format: 'qcow2' }), '/gone is not there', null],
    [disk('web1', { script: 'block-drbd' }), 'web1 is what block-drbd makes of it, which', null],
    [disk('nbd:b:10809'), 'nbd:b:10809 is what a back end makes of it, which', null],
  ])('that no driver could take is refused by what it is: %j', async (one, text, moved) => {
    const asked: number[] = [];
    const [refusal] = await diskRefusals(files, [odd(asked)], [one]);
    expect(refusal).toMatchObject({ disk: 'xvda', isToCome: one.target !== '/gone' });
    // A line that makes a disk of it that is taken, where there is one.
    const [line] = refusal?.advice?.split('  #') ?? [null];
    const convert = `qemu-img convert -p -n -f ${moved} -O raw ${one.target} /dev/VG/LV`;
    expect(line).toBe(moved === null ? null : convert);
    expect(refusal?.text.startsWith(text)).toBe(true);
    expect(asked).toEqual([]);
  });

  it('is refused by the driver whose kind it is, or by what it is', async () => {
    const asked: number[] = [];
    const none: LookAt = async () => null;
    const wrapped = (path: string) => expect.stringContaining(`block-tsremus,target=${path} `);
    const disks = [disk('/dev/x2'), disk('/dev/x1', { name: 'xvdb' }), disk('/dev/x4')];
    const refusals = await diskRefusals(files, [none, odd(asked)], disks);
    expect(refusals.map(({ disk: name, text, advice }) => [name, text, advice])).toEqual([
      ['xvda', '/dev/x2 is a partition, which cannot be copied yet', wrapped('/dev/x2')],
      ['xvdb', '/dev/x1 is too new', 'wait'],
      ['xvda', '/dev/x4 is a block device, which cannot be copied yet', wrapped('/dev/x4')],
    ]);
    expect(asked).toEqual([2, 1, 4]);
    const [file] = await diskRefusals(files, [none], [disk('/file')]);
    expect(file?.text).toBe('/file is a file, which cannot be copied yet');
    expect(file?.advice).toEqual(wrapped('/file'));
    const [volume] = await diskRefusals(files, [none], [disk('/dev/x1')]);
    expect(volume?.text).toBe('/dev/x1 is a device-mapper volume, which cannot be copied yet');
  });
});
