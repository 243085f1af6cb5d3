/**
 * What a session put under a guest's volumes, written down before it is: the next command finds it
 * where session and disk guard both died, and takes it away. In the run directory, which is gone
 * after a boot, as the devices are.
 */
import { join } from 'node:path';
import { errorText } from '../../host/errors.ts';
import type { MirrorPorts } from './host.ts';
import { repairVolume, type Volume } from './volume.ts';

/** One session's volumes. */
export interface MirrorNote {
  readonly schema: 1;
  readonly uuid: string;
  readonly domain: string;
  readonly session: string;
  readonly volumes: readonly Volume[];
}

/** Where notes are kept: src/disk/mirror/host.ts. */
export type NotePorts = Pick<MirrorPorts, 'store' | 'folder'>;

const bytesMax = 256 * 1024;
const ending = '.volumes.json';

/** Of a host's run directory: locks, and notes. */
export const mirrorFolder = (runDirectory: string) => join(runDirectory, 'disks');

const pathOf = (folder: string, uuid: string) => join(folder, `${uuid}${ending}`);

export async function writeNote({ store, folder }: NotePorts, note: MirrorNote): Promise<void> {
  await store.ensureDir(folder);
  await store.writeDurably(pathOf(folder, note.uuid), `${JSON.stringify(note)}\n`);
}

export async function removeNote({ store, folder }: NotePorts, uuid: string): Promise<void> {
  await store.removeFile(pathOf(folder, uuid));
}

function isVolume(value: unknown): value is Volume {
  if (typeof value !== 'object' || value === null) return false;
  return ['name', 'under', 'lock', 'vgLock'].every((key) => {
    return typeof (value as Record<string, unknown>)[key] === 'string';
  });
}

function noteIn(text: string | null): MirrorNote | null {
  let value: unknown;
  try {
    value = JSON.parse(text ?? '');
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const { schema, volumes, ...rest } = value as Record<string, unknown>;
  const isWhole = ['uuid', 'domain', 'session'].every((key) => typeof rest[key] === 'string');
  if (schema !== 1 || !isWhole || !Array.isArray(volumes) || !volumes.every(isVolume)) return null;
  return value as MirrorNote;
}

/** What sessions of this host put under volumes, as far as their notes can be read. */
export async function listNotes({ store, folder }: NotePorts): Promise<MirrorNote[]> {
  const names = await store.listDir(folder);
  const found: MirrorNote[] = [];
  for (const name of names.filter((one) => one.endsWith(ending))) {
    const note = noteIn(await store.readText(join(folder, name), bytesMax));
    if (note !== null) found.push(note);
  }
  return found;
}

/**
 * Takes away what a dead session of the guest left; sentences of what was done and what could not
 * be. Never rejects.
 */
export async function repairLeft(ports: MirrorPorts, uuid: string): Promise<readonly string[]> {
  const said: string[] = [];
  try {
    for (const note of (await listNotes(ports)).filter((one) => one.uuid === uuid)) {
      let isWhole = true;
      for (const volume of note.volumes) {
        try {
          const took = await repairVolume(ports, volume);
          if (took) said.push(`a dead session's mirror of ${volume.name} was taken away`);
        } catch (error) {
          isWhole = false;
          said.push(
            `what a dead session left of ${volume.name} is still there: ${errorText(error)}`,
          );
        }
      }
      if (isWhole) await removeNote(ports, uuid);
    }
  } catch (error) {
    said.push(`what a dead session left of disks could not be looked for: ${errorText(error)}`);
  }
  return said;
}
