/**
 * Finds the output buffers of this host by what their sessions left: the state files, and where
 * those are lost the devices' names and what is written on them. Reads files and sysfs and nothing
 * else, and knows nothing of sessions that live.
 */
import { join } from 'node:path';
import { errnoCode, errorText, OperationError } from '../../host/errors.ts';
import type { Store } from '../../host/store.ts';
import type { BufferOwner, BuffersHere, FoundBuffer } from '../port.ts';
import { type DeviceNote, parseAlias } from './device-note.ts';
import { type Devices, ownerOfQueue } from './interfaces.ts';
import { type BufferState, readState } from './state-file.ts';

export interface BufferPlaces {
  /** The folder with the buffers' state files. */
  readonly dir: string;
  readonly store: Store;
  readonly devices: Devices;
}

const statePattern = /\.network\.json$/;

export async function findBuffers({ dir, store, devices }: BufferPlaces): Promise<BuffersHere> {
  const found: FoundBuffer[] = [];
  const broken: { readonly path: string; readonly reason: string }[] = [];
  for (const name of await store.listDir(dir)) {
    if (!statePattern.test(name)) continue;
    const statePath = join(dir, name);
    try {
      const state = await readState(store, statePath);
      if (state !== null) found.push({ id: state.domid, statePath, owner: ownerOf(state) });
    } catch (error) {
      // Whoever may not read it is shown what the devices say.
      if (error instanceof OperationError && errnoCode(error.detail.cause) === 'EACCES') continue;
      // Nobody but the administrator can clear it: whose it is stood in it.
      const hint = error instanceof OperationError ? error.hint : undefined;
      const reason = hint === undefined ? errorText(error) : `${errorText(error)}; ${hint}`;
      broken.push({ path: statePath, reason });
    }
  }
  for (const name of devices.names()) {
    const id = ownerOfQueue(name)?.domid;
    if (id === undefined) continue;
    const at = found.findIndex((one) => one.id === id);
    if (at >= 0 && found[at]?.owner !== null) continue;
    const note = parseAlias(devices.alias(name));
    const owner = note === null ? null : ownerOf(note);
    found.splice(at < 0 ? found.length : at, 1, { id, statePath: null, owner });
  }
  return { found, broken };
}

function ownerOf(left: DeviceNote | BufferState): BufferOwner {
  const { domain, uuid, session, peer = null, watch } = left;
  return {
    ...{ domain, uuid, session },
    peer: peer === null ? null : peerOf(peer),
    watch: watch ?? null,
    mayOpen: 'may_open' in left && left.may_open === true,
  };
}

function peerOf(peer: DeviceNote['peer']): NonNullable<BufferOwner['peer']> {
  const { host, ssh_command: sshCommand, heartbeat_timeout_ms: heartbeatTimeoutMs } = peer;
  return { host, sshCommand, heartbeatTimeoutMs };
}
