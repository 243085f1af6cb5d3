/**
 * Who else may use the guests' volumes, by their marks. Proves: LVM is told what each mark says,
 * and whoever comes after one that died tells it the same; one of a guest that runs here is never
 * made inactive; a copy's is, and comes back for whoever asks for it by its mark.
 */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  bringOut,
  followMarks,
  type LvmPorts,
  lvmNameOf,
  refuseAfterBoot,
} from '../../../src/disk/mirror/lvm.ts';
import {
  cede,
  type DiskMark,
  goOnAlone,
  readMark,
  writeMark,
} from '../../../src/disk/mirror/mark.ts';
import { store } from '../../fixtures/here.ts';
import { operationError } from '../../link/support.ts';
import { refusal } from './stand-in.ts';

const uuid = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
const peer = { host: 'hostb', sshCommand: null, heartbeatTimeoutMs: 1000 };

const mark: DiskMark = {
  ...{ uuid, disk: 'xvda', path: '/dev/vg0/web1', role: 'copy', state: 'copying' },
  ...{ generation: 7, parent: 7, session: 's1', lvm: 'vg0/web1', domain: 'web1', peer },
};
const source = { ...mark, role: 'source', state: 'whole', parent: 6 } as const;

/** LVM of one host, as far as lvchange(8) is asked. */
class Host {
  readonly did: string[] = [];
  readonly said: string[] = [];
  readonly active = new Set<string>();
  readonly skipped = new Set<string>();
  readonly open = new Set<string>();
  fails = 0;

  readonly ports: LvmPorts = {
    store,
    stateDirectory: join(mkdtempSync(join(tmpdir(), 'tsremus-lvm-')), 'lib'),
    files: {
      stat: async (path) => {
        if (this.active.has(path.replace('/dev/', ''))) return { kind: 'block', rdev: 0 };
        throw Object.assign(new Error(path), { code: 'ENOENT' });
      },
      readText: async () => '',
    },
    run: async (argv) => {
      if (this.fails > 0) {
        this.fails -= 1;
        throw refusal('lvchange: no');
      }
      const [command, , option, value, ...rest] = argv;
      const lvm = rest.at(-1) ?? '';
      expect([command, argv[1]]).toEqual(['lvchange', '--quiet']);
      this.did.push(argv.slice(2).join(' '));
      if (option === '--setactivationskip') this.skipped[value === 'y' ? 'add' : 'delete'](lvm);
      else if (value === 'y') this.active.add(lvm);
      else if (this.open.has(lvm)) throw refusal(`Logical volume ${lvm} in use.`);
      else this.active.delete(lvm);
    },
    say: (text) => this.said.push(text),
  };

  /** Whether the volume is there, and would be after a boot. */
  get web1() {
    return { now: this.active.has('vg0/web1'), afterBoot: !this.skipped.has('vg0/web1') };
  }
}

async function hostWith(...marks: readonly DiskMark[]): Promise<Host> {
  const host = new Host();
  for (const one of marks) await writeMark(host.ports, one);
  host.active.add('vg0/web1');
  return host;
}

describe('a volume', () => {
  it.each<[string, DiskMark, { now: boolean; afterBoot: boolean }]>([
    ['of a torn copy', mark, { now: false, afterBoot: false }],
    [
      'of a whole copy that no guest has run on',
      { ...mark, state: 'whole' },
      { now: false, afterBoot: false },
    ],
    [
      'of a copy that took over',
      { ...mark, state: 'whole', generation: 8 },
      { now: true, afterBoot: true },
    ],
    ['of a guest whose copy may go on', source, { now: true, afterBoot: false }],
    [
      'of a guest whose disks alone were copied',
      { ...source, peer: null },
      { now: true, afterBoot: true },
    ],
    ['of a guest without a copy', { ...source, session: null }, { now: true, afterBoot: true }],
  ])('%s is there for others, or not, now and after a boot', async (_what, one, there) => {
    const host = await hostWith(one);
    for (let times = 0; times < 2; times += 1) {
      await followMarks(host.ports, uuid);
      expect(host.web1).toEqual(there);
    }
    // Another guest's marks say nothing of it.
    host.did.length = 0;
    await followMarks(host.ports, uuid.replace('6', '7'));
    expect([host.did, host.said]).toEqual([[], []]);
  });

  it('that anybody has open stays, and comes away later', async () => {
    const host = await hostWith(mark);
    host.open.add('vg0/web1');
    await followMarks(host.ports, uuid);
    expect(host.web1).toEqual({ now: true, afterBoot: false });
    expect(host.said).toEqual([
      'vg0/web1 is not refused to everybody else: Logical volume vg0/web1 in use.',
    ]);
    host.open.clear();
    await followMarks(host.ports, uuid);
    expect(host.web1).toEqual({ now: false, afterBoot: false });
  });

  it('is given back after a boot, and where LVM did not do it at first', async () => {
    const host = await hostWith(source);
    await refuseAfterBoot(host.ports, 'vg0/web1');
    host.active.clear();
    await goOnAlone(host.ports, uuid, 's1');
    host.fails = 1;
    await followMarks(host.ports, uuid);
    expect(host.web1).toEqual({ now: false, afterBoot: false });
    expect(host.said).toEqual(['vg0/web1 stays refused: lvchange: no']);
    await followMarks(host.ports, uuid);
    expect(host.web1).toEqual({ now: true, afterBoot: true });
  });

  it('is put away where the guest goes on elsewhere', async () => {
    const host = await hostWith(source);
    await cede(host.ports, uuid, 's2');
    expect(await readMark(host.ports, uuid, 'xvda')).toEqual(source);
    await cede(host.ports, uuid, 's1');
    const ceded = { role: 'copy', state: 'copying', generation: 7, parent: 7 };
    expect(await readMark(host.ports, uuid, 'xvda')).toMatchObject(ceded);
    await followMarks(host.ports, uuid);
    expect(host.web1).toEqual({ now: false, afterBoot: false });
  });

  it('comes back for a session that has its mark, and is left where it is there', async () => {
    const host = await hostWith(mark, {
      ...source,
      disk: 'xvdb',
      path: '/dev/vg0/data',
      lvm: 'vg0/data',
    });
    await followMarks(host.ports, uuid);
    expect(await bringOut(host.ports, uuid)).toBe(true);
    expect(host.web1).toEqual({ now: true, afterBoot: false });
    // It is to become a copy: this host's guest goes on elsewhere.
    expect(host.active.has('vg0/data')).toBe(true);
    expect(await bringOut(host.ports, uuid)).toBe(false);
    await followMarks(host.ports, uuid);
    expect([...host.active]).toEqual(['vg0/data']);
    await followMarks(host.ports, uuid, 'all');
    expect([...host.active]).toEqual([]);
    host.active.clear();
    host.fails = 1;
    expect((await operationError(() => bringOut(host.ports, uuid))).message).toBe('lvchange: no');
  });

  it('that is none of LVM is left alone', async () => {
    const host = await hostWith({ ...mark, lvm: null });
    await followMarks(host.ports, uuid);
    expect(await bringOut(host.ports, uuid)).toBe(false);
    expect(host.did).toEqual([]);
  });
});

it('LVM’s name of a device is what the device mapper says of it', async () => {
  const texts: Record<string, string> = { name: 'vg0-web--1\n', uuid: `LVM-${'a'.repeat(64)}\n` };
  const readText = async (path: string) => texts[path.split('/').at(-1) ?? ''] ?? '';
  expect(await lvmNameOf({ readText }, { major: 253, minor: 1 })).toBe('vg0/web-1');
  texts['uuid'] = 'mpath-1\n';
  expect(await lvmNameOf({ readText }, { major: 253, minor: 1 })).toBe(null);
  const gone = { readText: () => Promise.reject(new Error('gone')) };
  expect(await lvmNameOf(gone, { major: 253, minor: 1 })).toBe(null);
});
