/** What there is on this host: its sessions, and the output buffers that none looks after. */
import { statfsSync } from 'node:fs';
import type { Environment } from '../config/settings.ts';
import { mirrorsLeftText } from '../core/texts/disks-left.ts';
import { type LeftBufferPorts, listAll } from '../guest/left-buffers.ts';
import type { HostPorts } from '../host/ports.ts';
import { findBuffers } from '../output/plug/find.ts';
import { openDevices } from '../output/plug/interfaces.ts';
import type { Listing, SessionEntry } from '../registry/port.ts';
import { thisHost, thisRegistry } from './host.ts';

/** Where leftovers of this host are looked for. */
export function leftBufferPorts(host: HostPorts): LeftBufferPorts {
  const { settings, store, clock } = host;
  const places = { dir: settings.runDirectory, store, devices: openDevices() };
  return { registry: thisRegistry(host), clock, findBuffers: () => findBuffers(places) };
}

/** Every session of this host, and every buffer that none looks after as one that is held. */
export function listEverything(env: Environment): Promise<Listing> {
  return listAll(leftBufferPorts(thisHost(env)));
}

/** The directories that sessions write to and that have no room left, sentences. */
export function fullDisks(env: Environment): string[] {
  const { runDirectory, logDirectory } = thisHost(env).settings;
  return [
    [runDirectory, 'status is not kept up to date'],
    [logDirectory, 'logs have gaps'],
  ].flatMap(([dir = '', what]) => (isFull(dir) ? [`${dir} is full: ${what}`] : []));
}

/** What dead sessions left under volumes of their guests, sentences. */
export async function leftMirrors(
  env: Environment,
  sessions: readonly SessionEntry[],
): Promise<string[]> {
  const host = thisHost(env);
  const { listNotes, mirrorFolder } = await import('../disk/mirror/left.ts');
  const notes = await listNotes({ ...host, folder: mirrorFolder(host.settings.runDirectory) });
  const isAlive = (session: string) =>
    sessions.some(({ status, liveness }) => status.session === session && liveness === 'alive');
  return notes
    .filter(({ session }) => !isAlive(session))
    .map(({ domain, volumes }) =>
      mirrorsLeftText(
        domain,
        volumes.map(({ name }) => name),
      ),
    );
}

function isFull(dir: string): boolean {
  try {
    const { bavail, files, ffree } = statfsSync(dir);
    return bavail === 0 || (files > 0 && ffree === 0);
  } catch {
    return false; // not there yet
  }
}
