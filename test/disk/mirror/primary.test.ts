/**
 * The driver's end on the primary. Goal: a session gets all of a guest's disks or none, hears of
 * each trouble once, and leaves nothing behind; the guest's writes never wait for a process of ours
 * that nobody looks after. Method: a stand-in for the host, which notes what it is asked.
 */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { foreignLookEveryMs } from '../../../src/disk/mirror/guests.ts';
import { listNotes } from '../../../src/disk/mirror/left.ts';
import { openMirrors } from '../../../src/disk/mirror/primary.ts';
import type { PrimaryDisk } from '../../../src/disk/port.ts';
import type { Timers } from '../../../src/host/clock.ts';
import { operationError } from '../../link/support.ts';
import { guestWith, peer, refusal, refuseGuard, StandIn, session, uuid } from './stand-in.ts';

function hostWith(...names: readonly string[]): StandIn {
  const host = new StandIn();
  names.forEach((name, at) => {
    host.addVolume(name, at);
  });
  host.addLegs(0, 1, 2);
  return host;
}

async function open(host: StandIn, ...names: readonly string[]): Promise<PrimaryDisk> {
  const guest = guestWith(...names.map((name) => `/dev/mapper/${name}`));
  const [disk] = await openMirrors(host.ports, guest, session, peer);
  if (disk === undefined) throw new Error('no disk');
  return disk;
}

function listen(disk: PrimaryDisk): string[] {
  const heard: string[] = [];
  disk.listen({
    more: () => heard.push('more'),
    filling: () => heard.push('filling'),
    compare: (first, count) => heard.push(`compare ${count} from ${first}`),
    lost: (reason) => heard.push(reason),
  });
  return heard;
}

const settle = 'udevadm settle --timeout=10';
const opening = ['repair vol', 'under vol', 'open over nbd0', 'guard', settle];
const closing = ['tell guard', 'close 71', 'repair vol'];
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

afterEach(() => void vi.useRealTimers());

describe('a mirror', () => {
  it('is made ready, put in when the session listens, and taken away', async () => {
    const host = hostWith('vol');
    const disk = await open(host, 'vol');
    expect(host.did).toEqual(opening);
    expect(disk).toMatchObject({ name: 'xvda', barrier: 71 });
    expect(disk.facts).toMatchObject({ name: 'xvda', sizeBytes: 1 << 30, sectorBytes: 512 });
    expect([host.marked, disk.facts.generation]).toEqual([['xvda'], 7]);
    expect(await listNotes(host.ports)).toMatchObject([{ uuid, session }]);
    const heard = listen(disk);
    await turn();
    expect(host.did).toEqual([...opening, 'insert', 'copy']);
    await Promise.all([disk.close(), disk.close()]);
    expect(host.did).toEqual([...opening, 'insert', 'copy', ...closing]);
    expect(await listNotes(host.ports)).toEqual([]);
    expect(heard).toEqual([]);
  });

  // Proves: a second guest that is given the volume is found and told of by both numbers, for as
  // long as it has it, and nobody looks once the session is over.
  it('tells of another guest that has the volume, too', async () => {
    const host = hostWith('vol');
    const looks: (() => void)[] = [];
    const timers: Timers = {
      ...host.ports.timers,
      after(delayMs, look) {
        if (delayMs !== foreignLookEveryMs) return host.ports.timers.after(delayMs, look);
        looks.push(look);
        return () => void looks.splice(0);
      },
    };
    const look = async () => {
      looks.shift()?.();
      await turn();
    };
    const guest = guestWith('/dev/mapper/vol');
    const [disk] = await openMirrors({ ...host.ports, timers }, guest, session, peer);
    host.used.push({ major: 253, minor: 0, domid: 5 }, { major: 253, minor: 0, domid: 5 });
    host.used.push({ major: 253, minor: 1, domid: 6 });
    if (disk === undefined) throw new Error('no disk');
    listen(disk);
    await look();
    expect(disk.shared).toBe(null);
    host.used.push({ major: 253, minor: 0, domid: 12 });
    await look();
    await look();
    const text = 'disk xvda was given to domains 5 and 12: what either writes is in the copy';
    expect(disk.shared).toBe(text);
    host.used.pop();
    await look();
    expect(disk.shared).toBe(null);
    const told = host.said.filter((one) => one.includes('disk xvda'));
    expect(told).toEqual([text, "disk xvda is one guest's alone again"]);
    await disk.close();
    expect(looks).toEqual([]);
  });

  it('asks what the other disk holds, and takes what it asked for', async () => {
    const host = hostWith('vol');
    const disk = await open(host, 'vol');
    const heard = listen(disk);
    await turn();
    host.tell('disk-compare', { b: 256, c: 8 });
    expect(heard).toEqual(['compare 8 from 256']);
    disk.digests(256, Buffer.alloc(64));
    expect(host.did.at(-1)).toBe('digests 256 64');
    host.takesDigests = false;
    const error = await operationError(async () => disk.digests(512, Buffer.alloc(64)));
    expect(error).toMatchObject({ code: 'protocol' });
    expect(error.message).toContain('64 bytes from block 512 on were not asked for');
    await disk.close();
    disk.digests(512, Buffer.alloc(64));
    expect(host.did.at(-1)).toBe('repair vol');
  });

  it('ends epoch 0 by itself where no save does, unless it was lost', async () => {
    const host = hostWith('vol');
    const disk = await open(host, 'vol');
    listen(disk);
    await turn();
    disk.endFirst();
    expect(host.did.at(-1)).toBe('seal 0');
    host.tell('failed', { text: 'the disk cannot be read' });
    expect(() => disk.endFirst()).toThrow('the disk cannot be read');
    await disk.close();
  });

  it('is never put in where the session ends before it listens', async () => {
    const host = hostWith('vol');
    await (await open(host, 'vol')).close();
    expect(host.did).toEqual([...opening, ...closing]);
  });

  it('is not put in any more, nor copied, where the session ends meanwhile', async () => {
    const host = hostWith('vol');
    const disk = await open(host, 'vol');
    host.busy = 1_000_000;
    listen(disk);
    await disk.close();
    expect(host.did).toEqual([...opening, ...closing]);
  });

  it('tells its guard which NBD device is its own, its volume and its lock', async () => {
    const host = hostWith('vol');
    host.texts.set('/sys/dev/block/43:0/pid', '77\n');
    host.texts.set('/sys/block/nbd1/holders/dm-3/dev', '253:3\n');
    await open(host, 'vol');
    const words = host.guards[0]?.argv.join(' ');
    expect(words).toContain('--device vol --under tsremus-vol --nbd /dev/nbd2 --size 1073741824');
    expect(words).toContain(`--lock ${host.ports.folder}/vol.lock`);
    expect(words).not.toContain('--vg-lock');
  });

  it('takes the next NBD device where somebody was faster, as often as there is one', async () => {
    const host = hostWith('vol');
    host.onGuard = (guard) => {
      if (host.guards.length < 3) refuseGuard(guard);
      else guard.say('event=connected device=vol');
    };
    await open(host, 'vol');
    const opened = host.did.filter((one) => one.startsWith('open over'));
    expect(opened).toEqual(['open over nbd0', 'open over nbd1', 'open over nbd2']);
    const never = hostWith('vol');
    never.onGuard = refuseGuard;
    const error = await operationError(() => open(never, 'vol'));
    expect(error).toMatchObject({ code: 'limit' });
    expect(never.did.filter((one) => one.startsWith('close'))).toHaveLength(3);
    expect(never.did.at(-1)).toBe('repair vol');
    expect(await listNotes(never.ports)).toEqual([]);
  });

  it('loads the module where there is no NBD device', async () => {
    const host = new StandIn();
    host.addVolume('vol', 0);
    await open(host, 'vol');
    expect(host.did).toContain('modprobe nbd nbds_max=64');
  });

  it('is not begun where its guard does not start, and says why', async () => {
    const host = hostWith('vol');
    host.onGuard = (guard) => {
      guard.say('event=failed device=vol why="/dev/nbd0: No such file"');
      guard.die('exit code 1');
    };
    const error = await operationError(() => open(host, 'vol'));
    expect(error.message).toMatch(
      /^vol cannot be mirrored: the disk guard did not start: .*No such/,
    );
    const silent = hostWith('vol');
    silent.onGuard = (guard) => guard.die('spawn ENOENT');
    const text = (await operationError(() => open(silent, 'vol'))).message;
    expect(text).toMatch(/start: spawn ENOENT$/);
  });

  it('is not begun where its guard says nothing', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const host = hostWith('vol');
    host.onGuard = () => void vi.advanceTimersByTimeAsync(60_100);
    const error = await operationError(() => open(host, 'vol'));
    expect(error.message).toMatch(/start: too late$/);
    expect(host.did).toContain('kill guard');
  });
});

describe('a session', () => {
  it('hears of more, of what fills, and of the end of the first copy', async () => {
    const host = hostWith('vol');
    const disk = await open(host, 'vol');
    const heard = listen(disk);
    let hasCopied = false;
    void disk.nearlyCopied().then(() => {
      hasCopied = true;
    });
    await turn();
    host.tell('disk-more');
    host.tell('disk-full', { b: 7 });
    host.tell('disk-filling');
    await turn();
    expect([heard, hasCopied]).toEqual([['more', 'filling'], false]);
    host.figures = { copiedBytes: 3, toCopyBytes: 4 };
    expect(disk.firstCopy).toEqual({ doneBytes: 3, totalBytes: 4 });
    host.tell('disk-copied');
    await turn();
    expect([heard, hasCopied]).toEqual([['more', 'filling', 'more'], true]);
    host.pieces = [{ epoch: 0, bytes: 5, isEnd: false }];
    expect(disk.read(Buffer.alloc(8))).toEqual({ epoch: 0, bytes: 5, isEnd: false });
    expect(disk.read(Buffer.alloc(8))).toBeNull();
    // What it was in the end is told, whoever looked before.
    host.figures = { copiedBytes: 4, toCopyBytes: 4, equalBytes: 1 };
    await disk.close();
    host.figures = {};
    expect(disk.firstCopy).toEqual({ doneBytes: 4, totalBytes: 4, equalBytes: 1 });
  });

  it('hears once that the capture failed, and gets nothing more', async () => {
    const host = hostWith('vol');
    const disk = await open(host, 'vol');
    const heard = listen(disk);
    await turn();
    host.tell('failed', { a: -5, text: 'vol cannot be read' });
    host.guards[0]?.die('SIGKILL');
    await turn();
    expect(heard).toEqual(['vol: vol cannot be read']);
    expect(() => disk.read(Buffer.alloc(8))).toThrow('vol cannot be read');
    await expect(disk.check(0)).rejects.toThrow('vol cannot be read');
  });

  it('hears that the guard died, before it listens too, not that it ended as told', async () => {
    const host = hostWith('vol');
    const disk = await open(host, 'vol');
    host.guards[0]?.die('SIGKILL');
    await turn();
    expect(listen(disk)).toEqual(['vol: its disk guard died (SIGKILL)']);
    await turn();
    expect(host.did).not.toContain('insert');
    const other = hostWith('vol');
    const closed = await open(other, 'vol');
    const heard = listen(closed);
    await closed.close();
    await turn();
    expect(heard).toEqual([]);
  });

  it('hears that no mirror could be put in', async () => {
    const host = hostWith('vol');
    host.fails.set('insert', [new Error('the device vol has a table that is not ours')]);
    const heard = listen(await open(host, 'vol'));
    await turn();
    expect(heard).toEqual([
      'vol: no mirror could be put in: the device vol has a table that is not ours',
    ]);
    expect(host.did).not.toContain('copy');
  });

  it('asks again where the volume is being changed', async () => {
    const host = hostWith('vol');
    const disk = await open(host, 'vol');
    listen(disk);
    await turn();
    host.busy = 2;
    await disk.check(1);
    expect(host.did.at(-1)).toBe('check');
  });

  it('loses the epoch where the mirror is gone, or is being changed for too long', async () => {
    const host = hostWith('vol');
    const disk = await open(host, 'vol');
    const heard = listen(disk);
    await turn();
    host.fails.set('check', [new Error('the mirror of vol is gone: its table is plain')]);
    await expect(disk.check(1)).rejects.toThrow('is gone: its table is plain');
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    host.busy = 1_000_000;
    const late = expect(disk.check(2)).rejects.toThrow('has been changing vol for 30 s');
    await vi.advanceTimersByTimeAsync(31_000);
    await late;
    expect(heard).toEqual([]);
  });
});

describe('the disks of a guest', () => {
  it('are all opened, or none', async () => {
    const host = hostWith('vol', 'data');
    host.fails.set('open', [refusal('no memory')]);
    const error = await operationError(() => open(host, 'vol', 'data'));
    expect(error.message).toBe('no memory');
    expect(host.did).not.toContain('under data');
    const second = hostWith('vol', 'data');
    let opened = 0;
    second.onGuard = (guard) => {
      if (opened++ === 0) guard.say('event=connected device=vol');
      else guard.die('exit code 1');
    };
    await operationError(() => open(second, 'vol', 'data'));
    expect(second.did.slice(-4)).toEqual(['repair data', 'tell guard', 'close 71', 'repair vol']);
    expect(await listNotes(second.ports)).toEqual([]);
  });

  it('keep their note until the last one is away, and where something is left', async () => {
    const host = hostWith('vol', 'data');
    const guest = guestWith('/dev/mapper/vol', '/dev/mapper/data');
    const [one, other] = await openMirrors(host.ports, guest, session, peer);
    await one?.close();
    expect(await listNotes(host.ports)).toHaveLength(1);
    host.fails.set('repair', [new Error('cannot remove the device tsremus-data: busy')]);
    await other?.close();
    expect(await listNotes(host.ports)).toHaveLength(1);
    expect(host.said.at(-1)).toContain('something is left of the mirror of data: cannot remove');
  });

  // Proves: whoever boots this host next finds no volume of a guest whose copy may have gone on.
  it('are refused after a boot before anything is made, and given back at the end', async () => {
    const host = hostWith('tv-vol', 'tv-data');
    for (const minor of [0, 1]) {
      host.texts.set(`/sys/dev/block/253:${minor}/dm/uuid`, `LVM-${'a'.repeat(64)}\n`);
    }
    const guest = guestWith('/dev/mapper/tv-vol', '/dev/mapper/tv-data');
    const skip = (lvm: string) => `lvchange --quiet --setactivationskip y ${lvm}`;
    const [one, other] = await openMirrors(host.ports, guest, session, peer);
    const begun = ['mark tv/vol hostb', 'mark tv/data hostb', skip('tv/vol'), skip('tv/data')];
    expect(host.did.slice(0, 5)).toEqual([...begun, 'repair tv-vol']);
    await one?.close();
    expect(host.followed).toBe(0);
    await other?.close();
    expect(host.followed).toBe(1);
    const alone = hostWith('tv-vol');
    alone.texts.set('/sys/dev/block/253:0/dm/uuid', `LVM-${'a'.repeat(64)}\n`);
    await openMirrors(alone.ports, guestWith('/dev/mapper/tv-vol'), session, null);
    expect(alone.did.slice(0, 2)).toEqual(['mark tv/vol', 'repair tv-vol']);
    const mute = hostWith('tv-vol');
    mute.texts.set('/sys/dev/block/253:0/dm/uuid', `LVM-${'a'.repeat(64)}\n`);
    mute.fails.set('lvchange', [refusal('lvchange: no')]);
    await operationError(() => {
      return openMirrors(mute.ports, guestWith('/dev/mapper/tv-vol'), session, peer);
    });
    expect(mute.did).toEqual(['mark tv/vol hostb', skip('tv/vol')]);
  });

  it('are no two names of one volume', async () => {
    const host = hostWith('vol');
    const error = await operationError(() => open(host, 'vol', 'vol'));
    expect(error.message).toBe('xvdb and xvda are the same volume, vol');
    expect(host.did).toEqual([]);
  });

  it('are refused where one cannot be mirrored, before anything is made', async () => {
    const host = hostWith('vol');
    host.addVolume('safe', 7, { state: 'other', target: 'crypt' });
    const error = await operationError(() => open(host, 'vol', 'safe'));
    expect(error).toMatchObject({ code: 'unsupported-guest' });
    expect(error.message).toContain('/dev/mapper/safe cannot be replicated: it is encrypted');
    expect(host.did).toEqual([]);
    host.devices.set('/dev/sda3', (8 << 8) | 3);
    host.texts.set('/sys/dev/block/8:3/partition', '3\n');
    const partition = await operationError(() => {
      return openMirrors(host.ports, guestWith('/dev/sda3'), session, peer);
    });
    expect(partition.message).toContain('it is no device-mapper volume');
  });
});

describe('what a dead session left', () => {
  it('is taken away by the next one, which says so', async () => {
    const host = hostWith('vol');
    await open(host, 'vol');
    // It died, and so did its guard, whose number another process has since.
    host.texts.set('/sys/dev/block/43:0/pid', '4711\n');
    host.texts.set('/proc/4711/comm', 'bash\n');
    host.volumes.set('vol', {
      ...{ sizeBytes: 1 << 30, state: 'mirrored', hasUnder: true },
      ...{ leg: { major: 43, minor: 0 }, target: '' },
    });
    host.did.length = 0;
    await open(host, 'vol');
    expect(host.said).toContain("a dead session's mirror of vol was taken away");
    expect(host.did).toEqual(['repair vol', ...opening].map((one) => one.replace('nbd0', 'nbd1')));
  });

  it('is waited for where its guard is at it, and left to it where that goes on', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const host = hostWith('vol');
    const mirrored = { state: 'mirrored', hasUnder: true, leg: { major: 43, minor: 5 } } as const;
    host.addVolume('vol', 0, mirrored);
    host.texts.set('/sys/dev/block/43:5/pid', '4711\n');
    host.texts.set('/proc/4711/comm', 'tsremus-disk-gu\n');
    const refused = operationError(() => open(host, 'vol'));
    // The files are real ones: how often it waits is not known.
    for (let isOver = false; !isOver; ) {
      await vi.advanceTimersByTimeAsync(1_000);
      isOver = await Promise.race([refused.then(() => true), turn().then(() => false)]);
    }
    expect((await refused).message).toBe('the volume vol is mirrored already, by process 4711');
    expect(host.did).toEqual([]);
  });

  it('keeps its guard, which goes on trying, where it does not end', async () => {
    const host = hostWith('vol');
    const disk = await open(host, 'vol');
    const [guard] = host.guards;
    if (guard === undefined) throw new Error('no guard');
    guard.obeys = false;
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    host.fails.set('close', [new Error('somebody else is changing the table of the device vol')]);
    const closed = disk.close();
    await vi.advanceTimersByTimeAsync(21_000);
    await closed;
    expect(host.said.join('\n')).toContain('the disk guard of vol (process 1000) goes on trying');
    expect(host.did).not.toContain('kill guard');
  });
});
