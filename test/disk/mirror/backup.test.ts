/**
 * The mirror driver's end on the backup, over a plain file with the native library: the contract of
 * disk drivers with a toy for the primary, and what is refused before anything is written.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { digestBlockBytes, digestBytes } from '../../../src/core/digests.ts';
import { diskEpochBytesMax } from '../../../src/core/limits.ts';
import { deviceFiles } from '../../../src/disk/backing.ts';
import {
  type Apply,
  type CopyOf,
  copyRefusals,
  diskRoomBytes,
  type MirrorBackupPorts,
  openMirrorCopies,
} from '../../../src/disk/mirror/backup.ts';
import { foreignLookEveryMs, type GuestDevice } from '../../../src/disk/mirror/guests.ts';
import { type DiskMark, markPath, readMark, writeMark } from '../../../src/disk/mirror/mark.ts';
import { roomBytes } from '../../../src/disk/mirror/room.ts';
import type { AnnouncedDisk, BackupDisk } from '../../../src/disk/port.ts';
import type { Timers } from '../../../src/host/clock.ts';
import { OperationError } from '../../../src/host/errors.ts';
import type { GuestDisk } from '../../../src/hypervisor/port.ts';
import { ApplyLibrary } from '../../../src/native/apply.ts';
import { HasherLibrary } from '../../../src/native/hasher.ts';
import { store, time } from '../../fixtures/here.ts';
import { operationError } from '../../link/support.ts';
import { type Bench, clauses, type SectorBytes } from '../contract.ts';
import { encodeRecord, PieceLink, recordFlags } from '../pieces.ts';
import { ToyBackEnd, ToyHosts, ToyPrimary } from '../toy.ts';

const uuid = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
// Not below /tmp, which may be memory: that takes no O_DIRECT.
const modules = join(import.meta.dirname, '../../../node_modules');
const root = mkdtempSync(join(modules, '.tsremus-disks-'));

/** So that a write beyond the limit of a file fails, and does not end this process. */
const ignore = () => {};
beforeAll(() => void process.on('SIGXFSZ', ignore));
afterAll(() => {
  process.off('SIGXFSZ', ignore);
  rmSync(root, { recursive: true });
});

let limitedTo: number | 'unlimited' = 'unlimited';

/** From here on no file of this process can be written. */
function limitFiles(bytes: number | 'unlimited'): void {
  if (bytes === limitedTo) return;
  limitedTo = bytes;
  const limit = `--fsize=${bytes}:unlimited`;
  const { status } = spawnSync('prlimit', ['--pid', String(process.pid), limit]);
  expect(status).toBe(0);
}

/** The library, and what was opened with it. */
class Watched extends ApplyLibrary {
  readonly handles: number[] = [];

  override async applyOpen(...args: Parameters<Apply['applyOpen']>) {
    const opened = await super.applyOpen(...args);
    this.handles.push(opened.handle);
    return opened;
  }

  /** Resolves when nothing waits to be written any more. */
  async written(): Promise<void> {
    const waits = (handle: number) => {
      try {
        return this.applyLook(handle).waitingBytes > 0;
      } catch {
        return false; // closed
      }
    };
    while (this.handles.some(waits)) await new Promise((resolve) => setTimeout(resolve, 1));
  }

  async closeAll(): Promise<void> {
    for (const handle of this.handles.splice(0)) await this.applyClose(handle).catch(() => {});
  }
}

let name = 0;

function place(changes: Partial<MirrorBackupPorts> = {}) {
  const dir = join(root, String(name));
  name += 1;
  const apply = new Watched();
  const ports: MirrorBackupPorts = {
    store,
    stateDirectory: join(dir, 'lib'),
    apply,
    hasher: new HasherLibrary(),
    pathOf: (target) => join(dir, target),
    async attach({ target }) {
      return this.pathOf(target);
    },
    guestDevices: async () => [],
    isAnyFile: true,
    files: deviceFiles(''),
    timers: time.timers,
    run: async () => {},
    say: () => {},
    ...changes,
  };
  return { dir, apply, ports };
}

async function makeDisk(dir: string, disk: string, content: Buffer): Promise<void> {
  await store.ensureDir(dir);
  writeFileSync(join(dir, disk), content);
}

const diskOf = (disk: string): GuestDisk => {
  return { name: disk, target: disk, format: 'raw', script: null };
};
const specOf = (...disks: string[]) => {
  return { uuid, name: 'web1', writableDisks: disks.map(diskOf) };
};
const of: CopyOf = {
  ...{ uuid, domain: 'web1', session: 's1' },
  peer: { host: 'hosta', sshCommand: null, heartbeatTimeoutMs: 0 },
};
const markOf = (ports: MirrorBackupPorts) => readMark(ports, uuid, 'xvda');

/** A disk that this guest had copied to it before, so that it may be written over. */
function oursAt(path: string, changes: Partial<DiskMark> = {}): DiskMark {
  return {
    ...{ uuid, disk: 'xvda', path, role: 'copy', state: 'copying', generation: 1, parent: 1 },
    ...{ session: null, lvm: null, domain: 'web1', peer: null },
    ...changes,
  };
}

/** A block device over the file; null: this machine has none to give. */
function loopOver(file: string, sectorBytes: number): string | null {
  const argv = ['--find', '--show', '--direct-io=on', '--sector-size', String(sectorBytes), file];
  const { status, stdout } = spawnSync('losetup', argv, { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : null;
}

function isLoopThere(): boolean {
  const file = join(root, 'probe');
  writeFileSync(file, Buffer.alloc(1 << 20));
  const device = loopOver(file, 4096);
  if (device !== null) spawnSync('losetup', ['--detach', device]);
  return device !== null;
}

/** Over a plain file, or a block device whose content is that. */
async function openBench(sectorBytes: SectorBytes, kind: 'file' | 'device'): Promise<Bench> {
  const sizeBytes = 64 * sectorBytes;
  const hosts = new ToyHosts(null, sectorBytes, sizeBytes);
  const primary = new ToyPrimary(hosts);
  const backEnd = new ToyBackEnd(hosts, primary);
  const { dir, apply, ports: ofFile } = place();
  await makeDisk(dir, 'xvda', Buffer.alloc(sizeBytes, 0xb2));
  const device = kind === 'file' ? null : loopOver(join(dir, 'xvda'), sectorBytes);
  const path = device ?? join(dir, 'xvda');
  const ports = { ...ofFile, pathOf: () => path, isAnyFile: device === null };
  await writeMark(ports, oursAt(path));
  const [backup] = await openMirrorCopies(ports, of, specOf('xvda'), [
    { ...primary.facts, mayOverwrite: false },
  ]);
  if (backup === undefined) throw new Error('no disk');
  const isAlive = (end: 'primary' | 'backup') =>
    end === 'primary' ? hosts.isPrimaryAlive : hosts.isBackupAlive;
  const link = new PieceLink({ primary, backup, pieceBytes: 3 * sectorBytes - 100, isAlive });
  const whole: number[] = [];
  const lost: string[] = [];
  backup.listen({ whole: (epoch) => whole.push(epoch), lost: (reason) => lost.push(reason) });
  const killBackup = async () => {
    hosts.isBackupAlive = false;
    await apply.closeAll();
  };
  let killing: Promise<void> = Promise.resolve();
  return {
    ...{ sectorBytes, sizeBytes, primary, backup, whole, lost },
    async request(request) {
      await killing;
      await backEnd.request(request);
      hosts.step();
      await link.step();
    },
    barrier(epoch) {
      primary.mark(epoch);
      hosts.step();
    },
    readHere: async () => backEnd.read(),
    async readThere() {
      await killing;
      await apply.written();
      return readFileSync(path);
    },
    async quiet() {
      await killing;
      do hosts.drain();
      while (await link.step());
      await apply.written();
      // What the library's thread told comes by way of the event loop.
      for (let turns = 0; turns < 4; turns += 1) {
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    },
    cutLink: () => link.cut(),
    kill(end) {
      if (end === 'primary') hosts.isPrimaryAlive = false;
      else killing = killBackup();
    },
    async powerCut(host) {
      hosts[host].powerCut();
      if (host === 'there') await killBackup();
    },
    failWrites(host, at) {
      if (host === 'here') hosts.here.failsFrom = at;
      else limitFiles(at);
    },
    async close() {
      await killing;
      limitFiles('unlimited');
      await primary.close();
      await apply.closeAll();
      if (device !== null) spawnSync('losetup', ['--detach', device]);
    },
  };
}

afterEach(() => limitFiles('unlimited'));

const sizeBytes = 4 << 20;
const facts = (changes: Partial<AnnouncedDisk> = {}): AnnouncedDisk => {
  return {
    name: 'xvda',
    sizeBytes,
    sectorBytes: 512,
    generation: 3,
    mayOverwrite: false,
    ...changes,
  };
};

async function opening(
  content: Buffer,
  changes: Partial<MirrorBackupPorts> = {},
  said = facts(),
  mark?: Partial<DiskMark>,
) {
  const { dir, apply, ports } = place(changes);
  await makeDisk(dir, 'xvda', content);
  if (mark !== undefined) await writeMark(ports, oursAt(join(dir, 'xvda'), mark));
  const open = () => openMirrorCopies(ports, of, specOf('xvda'), [said]);
  return { dir, apply, ports, open };
}

const blank = Buffer.alloc(sizeBytes);
const used = Buffer.from(blank).fill('x', sizeBytes - 1);

// Proves: no honest primary is ever refused for what it could keep until its epoch was sent.
it('takes as much of an epoch as the primary can capture', () => {
  expect(roomBytes).toBeLessThanOrEqual(diskEpochBytesMax);
});

describe('a disk on the backup', () => {
  it('is taken when it is blank, and marked before the first byte', async () => {
    const { dir, apply, ports, open } = await opening(blank);
    const [disk] = await open();
    const path = join(dir, 'xvda');
    const copying = oursAt(path, { ...of, generation: 3, parent: 3 });
    expect(await markOf(ports)).toEqual(copying);
    await disk?.take(0, encodeRecord({ at: 0, length: 512, flags: 0 }, Buffer.alloc(512, 1)));
    await disk?.settle();
    // Not an activation yet.
    expect(await markOf(ports)).toEqual(copying);
    await apply.closeAll();
  });

  it('is a new generation once the copy may run, and is closed then', async () => {
    const { apply, ports, open } = await opening(blank);
    const [disk] = await open();
    disk?.end(0);
    await disk?.rollBack();
    await disk?.settle();
    expect(await markOf(ports)).toMatchObject({ state: 'whole', generation: 4, parent: 3 });
    expect(() => apply.applyLook(apply.handles[0] ?? -1)).toThrow();
    // The copy could not be built after all: nobody ran on it.
    await disk?.rollBack();
    expect(await markOf(ports)).toMatchObject({ state: 'copying', generation: 3 });
    await disk?.settle();
  });

  it('is a whole copy of the first epoch where that was all, of the same generation', async () => {
    const { dir, apply, ports, open } = await opening(blank);
    const [disk] = await open();
    await disk?.take(0, encodeRecord({ at: 0, length: 512, flags: 0 }, Buffer.alloc(512, 1)));
    disk?.end(0);
    await disk?.keepFirst();
    const whole = { role: 'copy', state: 'whole', generation: 3, parent: 3 };
    expect(await markOf(ports)).toMatchObject(whole);
    expect(readFileSync(join(dir, 'xvda')).subarray(0, 512).equals(Buffer.alloc(512, 1))).toBe(
      true,
    );
    expect(() => apply.applyLook(apply.handles[0] ?? -1)).toThrow();
    // A later session finds it as a copy that is not newer.
    const again = await openMirrorCopies(ports, of, specOf('xvda'), [facts()]);
    expect(again).toHaveLength(1);
    expect(await markOf(ports)).toMatchObject({ state: 'copying' });
    await apply.closeAll();
  });

  it('stays torn, and no generation of its own, where the first epoch is given up', async () => {
    const { apply, ports, open } = await opening(blank);
    const [disk] = await open();
    disk?.end(0);
    const keeping = disk?.keepFirst();
    await disk?.rollBack();
    await expect(keeping).rejects.toThrow('it was given up');
    expect(await markOf(ports)).toMatchObject({ state: 'copying', generation: 3 });
    await apply.closeAll();
  });

  it.each<[string, Partial<DiskMark>]>([
    ['as a copy of this guest', {}],
    ['as a copy of this generation', { generation: 3, parent: 3 }],
    ['as a whole one', { state: 'whole', generation: 3, parent: 3 }],
    ['as the older source', { role: 'source', state: 'whole', generation: 2 }],
  ])('is taken when it is marked %s, whatever it holds', async (_what, mark) => {
    const { apply, open } = await opening(used, {}, facts(), mark);
    expect(await open()).toHaveLength(1);
    await apply.closeAll();
  });

  it.each<[string, Partial<DiskMark>, RegExp]>([
    ['newer', { state: 'whole', generation: 4 }, /not the older one \(generation 4, .* is 3\)/],
    ['the source itself', { role: 'source', generation: 3 }, /not the older one/],
    ['another one of the same parent', { state: 'whole', generation: 3, parent: 2 }, /older one/],
  ])('is refused when it is %s', async (_what, mark, text) => {
    const { dir, apply, ports, open } = await opening(used, {}, facts(), mark);
    const before = await markOf(ports);
    const error = await operationError(open);
    expect(error).toMatchObject({
      code: 'unsupported-guest',
      message: expect.stringMatching(text),
    });
    expect(error.hint).toContain(`rm ${markPath(ports.stateDirectory, uuid, 'xvda')}`);
    expect(await markOf(ports)).toEqual(before);
    expect(readFileSync(join(dir, 'xvda')).equals(used)).toBe(true);
    expect(() => apply.applyLook(apply.handles[0] ?? -1)).toThrow();
  });

  it.each<[string, Buffer, Partial<MirrorBackupPorts>, AnnouncedDisk, RegExp]>([
    ['holds something else', used, {}, facts(), /not empty, and not marked as this guest's/],
    ['is larger', blank, {}, facts({ sizeBytes: sizeBytes - 512 }), /has 4194304 bytes/],
    ['is smaller', blank, {}, facts({ sizeBytes: sizeBytes + 512 }), /guest's 4194816 bytes/],
    ['is no block device', blank, { isAnyFile: false }, facts(), /is no block device/],
    ['is not there', blank, { pathOf: () => '/nowhere/xvda' }, facts(), /there is no \/nowhere/],
  ])('is refused when it %s, and not marked', async (_what, content, changes, said, text) => {
    const { dir, ports, open } = await opening(content, changes, said);
    const error = await operationError(open);
    expect(error.code).toBe('unsupported-guest');
    expect(error.message).toMatch(/^disk xvda of the guest cannot be kept here: /);
    expect(error.message).toMatch(text);
    expect(error.hint).not.toBe(undefined);
    // Whoever only asks hears the same.
    const [refusal, ...more] = await copyRefusals(ports, specOf('xvda'), [said]);
    expect(refusal).toMatchObject({ message: error.message, hint: error.hint });
    expect(more).toEqual([]);
    expect(await markOf(ports)).toBe(null);
    expect(readFileSync(join(dir, 'xvda')).equals(content)).toBe(true);
  });

  it('is found well by who only asks, and not marked', async () => {
    const { dir, ports, open } = await opening(blank);
    expect(await copyRefusals(ports, specOf('xvda'), [facts()])).toEqual([]);
    expect(await markOf(ports)).toBe(null);
    expect(readFileSync(join(dir, 'xvda')).equals(blank)).toBe(true);
    // Nor is it held.
    expect(await open()).toHaveLength(1);
  });

  it('is taken whatever it holds where a person said so, but not a newer one', async () => {
    const said = facts({ mayOverwrite: true });
    const { apply, ports, open } = await opening(used, {}, said);
    const [disk] = await open();
    expect(await markOf(ports)).toMatchObject({ state: 'copying' });
    // Nothing of it is the guest's.
    expect(await disk?.digests(0, 1)).toHaveLength(0);
    await apply.closeAll();
    const newer = await opening(used, {}, said, { state: 'whole', generation: 4 });
    expect((await operationError(newer.open)).message).toMatch(/not the older one/);
  });

  it('is refused when a mark of another place is all that speaks for it', async () => {
    const { open } = await opening(used, {}, facts(), { path: '/dev/vg0/other' });
    expect((await operationError(open)).message).toMatch(/not marked as this guest's/);
  });

  it('is refused when a guest that runs here has it', async () => {
    const { apply, ports, open } = await opening(blank, {
      guestDevices: async () => [{ major: 254, minor: 7, domid: 5 }],
    });
    const real = apply.applyOpen.bind(apply);
    apply.applyOpen = async (...args) => {
      const { handle, found } = await real(...args);
      return { handle, found: { ...found, major: 254, minor: 7 } };
    };
    expect((await operationError(open)).message).toMatch(/a guest that runs here has/);
    expect(await markOf(ports)).toBe(null);
  });

  // Proves: a guest that is given the disk in the middle of a session ends that, and what was not
  // committed is not written any more; the guest that goes on on it is no such one.
  it('is lost when a guest that runs here opens it later, unless that is the copy', async () => {
    const devices: GuestDevice[] = [];
    const looks: (() => void)[] = [];
    const timers: Timers = {
      ...time.timers,
      after(delayMs, look) {
        expect(delayMs).toBe(foreignLookEveryMs);
        looks.push(look);
        return () => void looks.splice(0);
      },
    };
    const look = async () => {
      looks.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    };
    const { apply, open } = await opening(blank, { timers, guestDevices: async () => devices });
    const real = apply.applyOpen.bind(apply);
    apply.applyOpen = async (...args) => {
      const { handle, found } = await real(...args);
      return { handle, found: { ...found, major: 254, minor: 7 } };
    };
    const lost: string[] = [];
    const events = { whole: () => {}, lost: (reason: string) => lost.push(reason) };
    const [disk] = await open();
    disk?.listen(events);
    await look();
    devices.push({ major: 254, minor: 8, domid: 5 });
    await look();
    expect(lost).toEqual([]);
    devices.push({ major: 254, minor: 7, domid: 5 });
    await look();
    expect(lost).toEqual([expect.stringMatching(/xvda cannot be used: a guest that runs here/)]);
    expect(looks).toEqual([]);
    expect((await operationError(async () => disk?.settle())).code).toBe('storage');
    await apply.closeAll();

    devices.pop();
    const [taking] = await open();
    taking?.listen(events);
    await taking?.rollBack();
    devices.push({ major: 254, minor: 7, domid: 5 });
    expect(looks).toEqual([]);
    await taking?.settle();
    expect(lost).toHaveLength(1);
  });

  it.skipIf(!isLoopThere())('is refused when somebody else holds it', async () => {
    const { dir, apply, ports } = await opening(blank);
    const device = loopOver(join(dir, 'xvda'), 512) ?? '';
    const held = { ...ports, pathOf: () => device, isAnyFile: false };
    const open = () => openMirrorCopies(held, of, specOf('xvda'), [facts()]);
    expect(await open()).toHaveLength(1);
    const error = await operationError(open);
    expect(error.code).toBe('unsupported-guest');
    expect(error.message).toContain(`${device} is mounted, or in use by something else`);
    expect(error.hint).toContain(`lsblk -b -o NAME,SIZE,LOG-SEC,TYPE,MOUNTPOINTS ${device}`);
    await apply.closeAll();
    spawnSync('losetup', ['--detach', device]);
  });

  // Proves: no byte comes before LVM keeps the volume from others, whatever boots this host next.
  it('is refused to others as it is marked, and not taken where that cannot be', async () => {
    const texts: Record<string, string> = { name: 'vg0-web1', uuid: `LVM-${'a'.repeat(64)}` };
    const files = {
      ...deviceFiles(''),
      readText: async (path: string) => texts[basename(path)] ?? '',
    };
    const ran: string[] = [];
    const run = async (argv: readonly string[]) => {
      ran.push(`${argv.join(' ')} (${(await markOf(ports))?.state})`);
      if (ran.length > 1)
        throw new OperationError('command-failed', 'lvchange: no', { op: 'test' });
    };
    const { apply, ports, open } = await opening(blank, { files, run });
    const real = apply.applyOpen.bind(apply);
    apply.applyOpen = async (...args) => {
      const { handle, found } = await real(...args);
      return { handle, found: { ...found, major: 253, minor: 1 } };
    };
    await open();
    expect(ran).toEqual(['lvchange --quiet --setactivationskip y vg0/web1 (copying)']);
    expect(await markOf(ports)).toMatchObject({ ...of, lvm: 'vg0/web1' });
    await apply.closeAll();
    expect((await operationError(open)).message).toBe('lvchange: no');
  });

  it('is refused with a damaged mark', async () => {
    const { ports, open } = await opening(blank, {}, facts(), {});
    writeFileSync(markPath(ports.stateDirectory, uuid, 'xvda'), 'x');
    expect((await operationError(open)).code).toBe('storage');
  });

  it('is not marked when another one of the guest is refused', async () => {
    const { dir, ports } = await opening(blank);
    await makeDisk(dir, 'xvdb', used);
    const both = [facts(), facts({ name: 'xvdb' })];
    const open = () => openMirrorCopies(ports, of, specOf('xvda', 'xvdb'), both);
    expect((await operationError(open)).message).toContain('disk xvdb of the guest');
    expect(await markOf(ports)).toBe(null);
  });
});

describe('what a disk on the backup holds', () => {
  const half = Buffer.concat([blank.subarray(sizeBytes / 2), used.subarray(sizeBytes / 2)]);
  const blocks = sizeBytes / digestBlockBytes;

  it('is told of what was a copy of the guest’s before, as it is now', async () => {
    const { apply, open } = await opening(half, {}, facts(), {});
    const [disk] = await open();
    const before = await disk?.digests(0, blocks);
    expect(before?.length).toBe(blocks * digestBytes);
    const of = (block: number) => before?.toString('hex', block * 32, block * 32 + 32);
    expect(of(1)).toBe(of(0));
    expect(of(blocks - 1)).not.toBe(of(0));
    await disk?.take(0, encodeRecord({ at: 0, length: 512, flags: 0 }, Buffer.alloc(512, 1)));
    await disk?.settle();
    expect((await disk?.digests(0, 1))?.equals(before?.subarray(0, 32) ?? blank)).toBe(false);
    expect((await disk?.digests(blocks - 1, 1))?.toString('hex')).toBe(of(blocks - 1));
    await apply.closeAll();
  });

  it('is not told of a new one, which has nothing of the guest’s', async () => {
    const { apply, open } = await opening(blank);
    const [disk] = await open();
    expect(await disk?.digests(0, blocks)).toHaveLength(0);
    await apply.closeAll();
  });

  it('is not told of one that is rolled back, which is closed with what was read', async () => {
    const { open } = await opening(used, {}, facts(), {});
    const [disk] = await open();
    disk?.end(0);
    await disk?.digests(0, 1);
    await disk?.rollBack();
    await disk?.settle();
    expect(await disk?.digests(0, 1)).toHaveLength(0);
  });

  it.each([
    [0, 0],
    [0, 300],
    [blocks, 1],
    [blocks - 1, 2],
  ])('is an error of the protocol where it has them not: from %i, %i', async (first, count) => {
    const { apply, open } = await opening(used, {}, facts(), {});
    const [disk] = await open();
    const error = await operationError(async () => disk?.digests(first, count));
    expect(error.code).toBe('protocol');
    await apply.closeAll();
  });

  it('is lost where it cannot be read', async () => {
    const { dir, apply, open } = await opening(used, {}, facts(), {});
    const [disk] = await open();
    const lost: string[] = [];
    disk?.listen({ whole() {}, lost: (reason) => lost.push(reason) });
    expect(await disk?.digests(0, 2)).toHaveLength(2 * digestBytes);
    truncateSync(join(dir, 'xvda'), digestBlockBytes);
    expect(await disk?.digests(0, 2)).toHaveLength(0);
    expect(lost).toHaveLength(1);
    expect(lost[0]).toMatch(/cannot be used: .*cannot be read, at byte/);
    expect(await disk?.digests(0, 1)).toHaveLength(0);
    await apply.closeAll();
  });
});

describe('what a primary cannot have sent', () => {
  async function opened(): Promise<{ disk: BackupDisk; close: () => Promise<void> }> {
    const { apply, open } = await opening(blank);
    const [disk] = await open();
    if (disk === undefined) throw new Error('no disk');
    disk.listen({ whole() {}, lost() {} });
    return { disk, close: () => apply.closeAll() };
  }

  it.each<[string, Buffer]>([
    ['a place beyond the disk', encodeRecord({ at: sizeBytes, length: 512, flags: 0 })],
    ['half a sector', encodeRecord({ at: 256, length: 512, flags: 0 })],
    ['unknown flags', encodeRecord({ at: 0, length: 512, flags: 64 })],
    ['both at once', encodeRecord({ at: 0, length: 512, flags: 12 })],
  ])('is an error of the protocol: %s', async (_what, record) => {
    const { disk, close } = await opened();
    const error = await operationError(() => disk.take(0, record));
    expect(error.code).toBe('protocol');
    expect(error.message).toContain('disk xvda: ');
    await close();
  });

  it('is an epoch that ends within a record', async () => {
    const { disk, close } = await opened();
    await disk.take(0, encodeRecord({ at: 0, length: 512, flags: 0 }, Buffer.alloc(511)));
    expect((await operationError(() => disk.end(0))).code).toBe('protocol');
    await close();
  });

  it('is more than an epoch may have', async () => {
    const { disk, close } = await opened();
    disk.end(0);
    const record = encodeRecord({ at: 0, length: 1 << 20, flags: 0 }, Buffer.alloc(1 << 20));
    const fill = async () => {
      for (let mib = 0; mib < 400; mib += 1) await disk.take(1, record);
    };
    expect((await operationError(fill)).code).toBe('limit');
    await close();
  });

  it('makes whoever gives more wait while much of it is not written', async () => {
    const { disk, close } = await opened();
    disk.end(0);
    const pieces = 2 * (diskRoomBytes >> 20);
    const zeroes = encodeRecord({ at: 0, length: 4 << 20, flags: recordFlags.zeroes });
    const record = encodeRecord({ at: 0, length: 1 << 20, flags: 0 }, Buffer.alloc(1 << 20));
    for (let mib = 0; mib < pieces; mib += 1) await disk.take(1, record);
    disk.end(1);
    disk.commit(1);
    // Whether it has to wait or not, it goes on in the end.
    await disk.take(2, zeroes);
    disk.end(2);
    disk.commit(2);
    await disk.settle();
    await close();
  });
});

describe.each<SectorBytes>([512, 4096])('a file with sectors of %i bytes', (sectorBytes) => {
  it.each(clauses)('$name', async (clause) => {
    await clause.run((size) => openBench(size, 'file'), sectorBytes);
  });
});

// As root on a machine with loop devices. They cannot be made to fail, as the file can; and what
// dies at which step is the same for both.
const ofFiles = /an error there|costs the guest no error/;
const ofDevices = clauses.filter(({ name }) => !ofFiles.test(name));

describe.skipIf(!isLoopThere()).each<SectorBytes>([512, 4096])(
  'a block device with sectors of %i bytes',
  (sectorBytes) => {
    it.each(ofDevices)('$name', async (clause) => {
      await clause.run((size) => openBench(size, 'device'), sectorBytes);
    });
  },
);
