/** What there is on this host: its sessions, and the output buffers that none looks after. */
import type { Environment } from '../config/settings.ts';
import { type LeftBufferPorts, listAll } from '../guest/left-buffers.ts';
import type { HostPorts } from '../host/ports.ts';
import { openDevices } from '../output/plug/interfaces.ts';
import type { Listing } from '../registry/port.ts';
import { thisHost, thisRegistry } from './host.ts';

/** Where leftovers of this host are looked for. */
export function leftBufferPorts(host: HostPorts): LeftBufferPorts {
  const { settings, store, clock } = host;
  const dir = settings.runDirectory;
  return { dir, registry: thisRegistry(host), store, clock, devices: openDevices() };
}

/** Every session of this host, and every buffer that none looks after as one that is held. */
export function listEverything(env: Environment): Promise<Listing> {
  return listAll(leftBufferPorts(thisHost(env)));
}
