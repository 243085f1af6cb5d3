/**
 * What a dead session left of its mirrors. Proves: it is found by its note and taken away, whatever
 * else lies beside; what could not be taken away stays noted and is said.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { listNotes, repairLeft, writeNote } from '../../../src/disk/mirror/left.ts';
import { StandIn, session, uuid } from './stand-in.ts';

const other = '00000000-0000-4000-8000-000000000000';

const volume = (name: string) => ({
  ...{ name, under: `tsremus-${name}`, lock: '/x', vgLock: '', lvm: null, sectorBytes: 512 },
});

function left(...names: readonly string[]): StandIn {
  const host = new StandIn();
  names.forEach((name, at) => {
    host.addVolume(name, at, { state: 'mirrored', leg: { major: 43, minor: at } });
  });
  return host;
}

const note = (of: string, ...names: readonly string[]) => {
  return { schema: 1, uuid: of, domain: 'web1', session, volumes: names.map(volume) } as const;
};

describe('what a dead session left', () => {
  it('is nothing where no session ever was', async () => {
    const { ports } = new StandIn();
    expect(await listNotes(ports)).toEqual([]);
    expect(await repairLeft(ports, uuid)).toEqual([]);
  });

  it('is taken away of this guest, and of no other', async () => {
    const host = left('vol', 'data', 'theirs');
    await writeNote(host.ports, note(uuid, 'vol', 'data'));
    await writeNote(host.ports, note(other, 'theirs'));
    expect(await repairLeft(host.ports, uuid)).toEqual([
      "a dead session's mirror of vol was taken away",
      "a dead session's mirror of data was taken away",
    ]);
    expect(host.did).toEqual(['repair vol', 'repair data']);
    expect(await listNotes(host.ports)).toMatchObject([{ uuid: other }]);
    expect(await repairLeft(host.ports, uuid)).toEqual([]);
  });

  it('stays noted where it cannot be taken away', async () => {
    const host = left('vol', 'data');
    await writeNote(host.ports, note(uuid, 'vol', 'data'));
    host.fails.set('repair', [new Error('somebody else is changing the table of the device vol')]);
    expect(await repairLeft(host.ports, uuid)).toEqual([
      'what a dead session left of vol is still there: somebody else is changing the table of ' +
        'the device vol',
      "a dead session's mirror of data was taken away",
    ]);
    expect(await listNotes(host.ports)).toHaveLength(1);
    expect(await repairLeft(host.ports, uuid)).toHaveLength(1);
    expect(await listNotes(host.ports)).toEqual([]);
  });

  it('is found beside what is no note', async () => {
    const host = left('vol');
    await writeNote(host.ports, note(uuid, 'vol'));
    mkdirSync(host.ports.folder, { recursive: true });
    const broken = ['{', '[]', '{"schema":1}', '{"schema":2,"uuid":"","volumes":[]}'];
    broken.forEach((text, at) => {
      writeFileSync(join(host.ports.folder, `${at}.volumes.json`), text);
    });
    writeFileSync(join(host.ports.folder, 'vol.lock'), '');
    expect(await listNotes(host.ports)).toHaveLength(1);
  });

  it('is said to be unknown where the notes cannot be read', async () => {
    const { ports } = new StandIn();
    writeFileSync(join(ports.folder, '..', 'file'), '');
    const [said] = await repairLeft({ ...ports, folder: join(ports.folder, '../file') }, uuid);
    expect(said).toMatch(/^what a dead session left of disks could .*not a directory/);
  });
});
