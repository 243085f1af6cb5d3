/**
 * Which volumes the mirror driver takes. Proves: linear and striped ones, a mirror that a session
 * left too; every other one is refused by what it is.
 */
import { describe, expect, it } from 'vitest';
import { lookAtDrbd } from '../../../src/disk/drbd/look.ts';
import { diskRefusals } from '../../../src/disk/look.ts';
import { findVolume, lookForMirror, lvmNamesIn } from '../../../src/disk/mirror/volume.ts';
import { OperationError } from '../../../src/host/errors.ts';
import { guestWith, StandIn } from './stand-in.ts';

const device = (minor: number) => ({ kind: 'block', major: 253, minor }) as const;
const volumeUuid = `LVM-${'a'.repeat(64)}`;

describe('a volume', () => {
  it.each([
    ['tv-guest', 'tv', 'guest'],
    ['my--vg-lv--1', 'my-vg', 'lv-1'],
    ['a---b', 'a-', 'b'],
    ['vg-a-b', 'vg', 'a-b'],
  ])('%s is of the group %s, and called %s', (name, group, volume) => {
    expect(lvmNamesIn(name, volumeUuid)).toEqual({ group, volume });
  });

  it.each([
    ['base', volumeUuid],
    ['-x', volumeUuid],
    ['tv-', volumeUuid],
    ['tv-guest', 'CRYPT-1'],
    ['tv-guest', `${volumeUuid}-real`],
  ])('%s of %s is none of LVM', (name, uuid) => {
    expect(lvmNamesIn(name, uuid)).toBe(null);
  });

  it("has LVM's lock where it is LVM's, by its uuid", async () => {
    const host = new StandIn();
    host.addVolume('my--vg-web', 1, {}, 4096);
    host.texts.set('/sys/dev/block/253:1/dm/uuid', `${volumeUuid}\n`);
    expect(await findVolume(host.ports, device(1))).toEqual({
      name: 'my--vg-web',
      under: 'tsremus-my--vg-web',
      lock: `${host.ports.folder}/my--vg-web.lock`,
      vgLock: '/run/lock/lvm/V_my-vg',
      lvm: 'my-vg/web',
      sectorBytes: 4096,
    });
    host.texts.set('/sys/dev/block/253:1/dm/uuid', `${volumeUuid}-real\n`);
    expect(await findVolume(host.ports, device(1))).toMatchObject({ vgLock: '', lvm: null });
  });

  it('is taken where it is plain, and where a session left its mirror', async () => {
    const host = new StandIn();
    host.addVolume('plain', 1);
    host.addVolume('left', 2, { state: 'mirrored', hasUnder: true });
    const look = lookForMirror(host.ports);
    expect(await look({ ...device(1), sort: 'device-mapper' })).toBe('taken');
    expect(await look({ ...device(2), sort: 'device-mapper' })).toBe('taken');
    expect(await look({ ...device(1), sort: 'partition' })).toBeNull();
    const drbd = lookAtDrbd({ proc: async () => null, run: async () => '' });
    const disks = guestWith('/dev/mapper/plain', '/dev/mapper/left').writableDisks;
    expect(await diskRefusals(host.ports.files, [drbd, look], disks)).toEqual([]);
  });

  // Proves: what would fail when the guest is to be protected is said beforehand, and only where
  // modprobe says that there is no such module.
  it('is taken by a kernel that has the modules, loaded or not', async () => {
    const host = new StandIn();
    host.addVolume('plain', 1);
    const absent = (name: string) => async (argv: readonly string[]) => {
      if (argv.at(-1) !== name) return;
      const cause = new Error(`modprobe: FATAL: Module ${name} not found in directory /lib/x\n`);
      throw new OperationError('command-failed', 'exit code 1', { op: 'run-command', cause });
    };
    const look = (run: (argv: readonly string[]) => Promise<void>) =>
      lookForMirror({ ...host.ports, run })({ ...device(1), sort: 'device-mapper' });
    expect(await look(absent('nbd'))).toEqual({
      text: 'cannot be copied by this kernel, which has no nbd',
      advice: 'apt-get install linux-image-amd64  # and boot it: cloud kernels lack them',
      isToCome: false,
    });
    expect(await look(absent('dm_mirror'))).toMatchObject({
      text: expect.stringMatching(/has no dm_mirror$/),
    });
    const failed = new OperationError('command-not-found', 'no modprobe', { op: 'run-command' });
    expect(await look(() => Promise.reject(failed))).toBe('taken');
    host.texts.set('/sys/module/nbd/refcnt', '1\n');
    expect(await look(absent('nbd'))).toBe('taken');
  });

  it.each([
    ['crypt', 'is encrypted on this host: let the guest encrypt its disk', false],
    ['thin', 'is a thin volume; only linear and striped volumes are taken', true],
    ['snapshot-origin', 'is the origin of a snapshot, which has to be removed first;', false],
    ['raid', 'is a RAID volume', false],
    ['cache', 'is cached', false],
    ['vdo', 'is of the type vdo;', false],
    ['mirror', 'is of the type mirror;', false],
    ['era', 'is under dm-era', false],
    ['snapshot', 'is a snapshot', false],
  ])('of the type %s is refused by that', async (target, text, isToCome) => {
    const host = new StandIn();
    host.addVolume('vg0-vol', 1, { state: 'other', target });
    host.texts.set('/sys/dev/block/253:1/dm/uuid', `${volumeUuid}\n`);
    const [refusal] = await diskRefusals(
      host.ports.files,
      [lookForMirror(host.ports)],
      guestWith('/dev/mapper/vg0-vol').writableDisks,
    );
    expect(refusal).toMatchObject({ disk: 'xvda', isToCome });
    expect(refusal?.text.startsWith(`/dev/mapper/vg0-vol ${text}`)).toBe(true);
    const [line] = refusal?.advice?.split('  #') ?? [];
    expect(line).toBe(
      target === 'snapshot-origin'
        ? 'lvs -o lv_name,origin vg0'
        : 'qemu-img convert -p -n -f raw -O raw /dev/mapper/vg0-vol /dev/VG/LV',
    );
  });

  it('is refused by its sectors, its holders, its rights and its name', async () => {
    const host = new StandIn();
    host.addVolume('odd', 1, {}, 2048);
    host.addVolume('held', 2);
    host.texts.set('/sys/dev/block/253:2/holders/dm-7/dev', '253:7\n');
    host.addVolume('fixed', 3);
    host.texts.set('/sys/dev/block/253:3/ro', '1\n');
    host.addVolume('x'.repeat(120), 4);
    host.addVolume('tsremus-vol', 5);
    host.addVolume('gone', 6);
    host.volumes.delete('gone');
    const whys: string[] = [];
    for (const minor of [1, 2, 3, 4, 5, 6]) {
      const found = await findVolume(host.ports, device(minor));
      whys.push('why' in found ? found.why : 'taken');
    }
    expect(whys).toEqual([
      'has sectors of 2048 bytes',
      'is in use on this host, by dm-7',
      'is read-only on this host',
      'has a name of more than 119 letters',
      'is a device of tsremus itself',
      'is not there any more',
    ]);
  });
});
