/** The durable marks of guests' disks: what is written is what is read, and nothing else passes. */
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type DiskMark,
  goOnAlone,
  markPath,
  markSource,
  readMark,
  writeMark,
} from '../../../src/disk/mirror/mark.ts';
import { store } from '../../fixtures/here.ts';
import { operationError } from '../../link/support.ts';

const uuid = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
const place = () => ({
  store,
  stateDirectory: join(mkdtempSync(join(tmpdir(), 'tsremus-mark-')), 'lib'),
});

const mark: DiskMark = {
  ...{ uuid, disk: 'xvda', path: '/dev/vg0/web1', role: 'copy', state: 'copying' },
  ...{ generation: 7, parent: 6, session: null, lvm: 'vg0/web1', domain: 'web1' },
  peer: { host: 'hosta', sshCommand: null, heartbeatTimeoutMs: 0 },
};

describe('a mark', () => {
  it('is read as it was written, of one guest and disk', async () => {
    const here = place();
    expect(await readMark(here, uuid, 'xvda')).toBe(null);
    await writeMark(here, mark);
    expect(await readMark(here, uuid, 'xvda')).toEqual(mark);
    expect(await readMark(here, uuid, 'xvdb')).toBe(null);
    await writeMark(here, { ...mark, state: 'whole', generation: 8 });
    expect(await readMark(here, uuid, 'xvda')).toMatchObject({ state: 'whole', generation: 8 });
    expect(readdirSync(join(here.stateDirectory, 'disks'))).toEqual([`${uuid}.xvda`]);
  });

  it.each<[string, (text: string) => string]>([
    ['cut', (text) => text.slice(0, 40)],
    ['empty', () => ''],
    ['no object', () => 'null'],
    ['a list', () => '[]'],
    ['of a later version', (text) => text.replace('"version":1', '"version":2')],
    ['of another guest', (text) => text.replace('6ba7b810', '6ba7b811')],
    ['of another disk', (text) => text.replace('xvda', 'xvdb')],
    ['of no role', (text) => text.replace('"copy"', '"both"')],
    ['of no state', (text) => text.replace('"copying"', '""')],
    ['without a generation', (text) => text.replace('"generation":7', '"generation":null')],
    ['of half a generation', (text) => text.replace('"generation":7', '"generation":7.5')],
    ['of a generation below zero', (text) => text.replace('"parent":6', '"parent":-6')],
    ['of half a session', (text) => text.replace('"session":null', '"session":7')],
    ['without a path', (text) => text.replace('"/dev/vg0/web1"', '1')],
    [
      'with an option for a volume',
      (text) => text.replace('vg0/web1","domain', '-y/web1","domain'),
    ],
    ['of a host that is none', (text) => text.replace('"host":"hosta"', '"host":7')],
    ['very long', (text) => text.padEnd(100_000)],
  ])('that is damaged is no mark, and no missing one: %s', async (_what, damage) => {
    const here = place();
    await writeMark(here, mark);
    const path = markPath(here.stateDirectory, uuid, 'xvda');
    writeFileSync(path, damage(readFileSync(path, 'utf8')));
    const error = await operationError(() => readMark(here, uuid, 'xvda'));
    expect(error.code).toBe('storage');
  });
});

describe('the disk of a guest that runs here', () => {
  const disk = {
    ...{ uuid, disk: 'xvda', path: '/dev/vg0/web1' },
    lvm: 'vg0/web1',
    domain: 'web1',
  };
  const peer = { host: 'hostb', sshCommand: 'ssh -p 2', heartbeatTimeoutMs: 1000 };
  const of = (session: string) => ({ session, peer });

  it('begins with a generation', async () => {
    const here = place();
    expect(await markSource(here, disk, of('s1'))).toBe(1);
    expect(await readMark(here, uuid, 'xvda')).toEqual({
      ...disk,
      ...{ role: 'source', state: 'whole', generation: 1, parent: 0, session: 's1', peer },
    });
  });

  // Proves: what a copy may have gone on from is its parent, and not its descendant, whoever asks
  // how often.
  it('is a new one once the guest has gone on without the copy of its session', async () => {
    const here = place();
    const other = { ...disk, disk: 'xvdb' };
    for (const one of [disk, other]) await markSource(here, one, of('s1'));
    await writeMark(here, { ...mark, disk: 'xvdc' });
    await goOnAlone(here, uuid, 's2');
    expect(await readMark(here, uuid, 'xvda')).toMatchObject({ generation: 1, session: 's1' });
    for (let times = 0; times < 2; times += 1) await goOnAlone(here, uuid, 's1');
    for (const name of ['xvda', 'xvdb']) {
      const alone = { role: 'source', generation: 2, parent: 1, session: null };
      expect(await readMark(here, uuid, name)).toMatchObject(alone);
    }
    expect(await readMark(here, uuid, 'xvdc')).toEqual({ ...mark, disk: 'xvdc' });
    expect(await markSource(here, disk, of('s3'))).toBe(2);
    // Its session ended without a word, and the guest runs.
    expect(await markSource(here, disk, of('s4'))).toBe(3);
    expect(await readMark(here, uuid, 'xvda')).toMatchObject({ parent: 2, session: 's4' });
  });

  // Proves: a copy that may have gone on is not forgotten because disks were copied meanwhile.
  it('keeps the session whose copy may go on where only disks are copied', async () => {
    const here = place();
    expect(await markSource(here, disk, { session: 's0', peer: null })).toBe(1);
    expect(await readMark(here, uuid, 'xvda')).toMatchObject({ session: 's0', peer: null });
    await markSource(here, disk, of('s1'));
    await markSource(here, disk, { session: 's0', peer: null });
    expect(await readMark(here, uuid, 'xvda')).toMatchObject({ session: 's1', peer });
  });

  it('keeps that of the activation here', async () => {
    const here = place();
    await writeMark(here, { ...mark, state: 'whole', generation: 8, parent: 7 });
    expect(await markSource(here, disk, of('s1'))).toBe(8);
    expect(await readMark(here, uuid, 'xvda')).toMatchObject({ role: 'source', parent: 7 });
  });

  it('is a generation of its own where it was a torn copy', async () => {
    const here = place();
    await writeMark(here, mark);
    expect(await markSource(here, disk, of('s1'))).toBe(8);
    expect(await readMark(here, uuid, 'xvda')).toMatchObject({ state: 'whole', parent: 7 });
  });
});
