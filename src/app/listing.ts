/** What there is on this host: its sessions, and the output buffers that none looks after. */
import { statfsSync } from 'node:fs';
import type { Environment } from '../config/settings.ts';
import { type LeftBufferPorts, listAll } from '../guest/left-buffers.ts';
import type { HostPorts } from '../host/ports.ts';
import { findBuffers } from '../output/plug/find.ts';
import { openDevices } from '../output/plug/interfaces.ts';
import type { Listing } from '../registry/port.ts';
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

function isFull(dir: string): boolean {
  try {
    const { bavail, files, ffree } = statfsSync(dir);
    return bavail === 0 || (files > 0 && ffree === 0);
  } catch {
    return false; // not there yet
  }
}
