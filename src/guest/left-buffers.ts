/**
 * Output buffers that no session looks after: the process was killed and its run-time state is
 * gone, or only devices or the buffer's own state file are left. Nothing leaves their guests, so
 * they are shown, and ended, as held sessions are. The file says whose a buffer is, else what is
 * written on its devices. Reads files and sysfs and nothing else.
 */
import { join } from 'node:path';
import { type Advice, adviceLines } from '../core/texts/advice.ts';
import type { Clock } from '../host/clock.ts';
import { errnoCode, errorText, OperationError } from '../host/errors.ts';
import type { Store } from '../host/store.ts';
import { parseAlias } from '../output/plug/device-note.ts';
import { type Devices, ownerOfQueue } from '../output/plug/interfaces.ts';
import { type BufferState, readState } from '../output/plug/state-file.ts';
import {
  type BrokenEntry,
  isSettled,
  type Listing,
  type Registry,
  type SessionEntry,
} from '../registry/port.ts';
import type { SessionStatus } from '../registry/status.ts';
import type { LeftGuest } from './recovery.ts';

/** Where leftovers are looked for. */
export interface LeftBufferPorts {
  /** The run directory: the buffers' state files lie there beside the sessions' own. */
  readonly dir: string;
  readonly registry: Registry;
  readonly store: Store;
  readonly clock: Clock;
  readonly devices: Devices;
}

/** A domain with a buffer of ours, by whatever shows it. */
interface FoundBuffer {
  readonly domid: number;
  readonly statePath: string | null;
  /** Null: devices of our names are all there is, and nothing is written on them. */
  readonly state: BufferState | null;
}

const statePattern = /\.network\.json$/;

async function buffersOf({
  dir,
  store,
  devices,
}: LeftBufferPorts): Promise<{ readonly found: FoundBuffer[]; readonly broken: BrokenEntry[] }> {
  const found: FoundBuffer[] = [];
  const broken: BrokenEntry[] = [];
  for (const name of await store.listDir(dir)) {
    if (!statePattern.test(name)) continue;
    const statePath = join(dir, name);
    try {
      const state = await readState(statePath);
      if (state !== null) found.push({ domid: state.domid, statePath, state });
    } catch (error) {
      // Nobody but the administrator can clear it: whose it is stood in it.
      const hint = error instanceof OperationError ? error.hint : undefined;
      const reason = hint === undefined ? errorText(error) : `${errorText(error)}; ${hint}`;
      broken.push({ statusPath: statePath, reason });
    }
  }
  for (const name of devices.names()) {
    const domid = ownerOfQueue(name)?.domid;
    if (domid === undefined) continue;
    const at = found.findIndex((one) => one.domid === domid);
    if (at >= 0 && found[at]?.state !== null) continue;
    const note = parseAlias(devices.alias(name));
    const state = note === null ? null : { schema: 1 as const, domid, interfaces: [], ...note };
    found.splice(at < 0 ? found.length : at, 1, { domid, statePath: null, state });
  }
  return { found, broken };
}

/** True when a session answers for the buffer: it lives, or `stop` clears it with what it left. */
function isLookedAfter({ domid, state }: FoundBuffer, { sessions }: Listing): boolean {
  return sessions.some(({ status, liveness }) => {
    if (status.role !== 'primary' || (liveness !== 'alive' && isSettled(status))) return false;
    return status.domid === domid || (state !== null && status.uuid === state.uuid);
  });
}

/** The run directory may be gone with all that was in it. */
function isMissing(error: unknown): boolean {
  return error instanceof OperationError && errnoCode(error.detail.cause) === 'ENOENT';
}

function nextFor({ state }: FoundBuffer, domain: string): string[] {
  if (state?.may_open) return adviceLines([{ kind: 'stop-retry', domain }]);
  const peer = state?.peer?.host;
  const first: Advice =
    peer === undefined
      ? { kind: 'stop-find-out', domain }
      : { kind: 'stop-ask-and-clear', domain, peer };
  return adviceLines([first, { kind: 'stop-vouch', domain, peer: peer ?? '' }]);
}

/** What is known of it, in the form of a session that is held. */
function statusOf(buffer: FoundBuffer, now: string): SessionStatus {
  const { domid, state } = buffer;
  const domain = state?.domain ?? String(domid);
  const { peer = null, watch, may_open: mayOpen } = state ?? {};
  return {
    ...{ schema: 1, domain, domid, uuid: state?.uuid ?? '', session: state?.session ?? '' },
    ...{ role: 'primary', peer: peer?.host ?? '', state: 'held', outcome: 'held' },
    ...{ epoch: null, ack_time: null, ack_age_ms: null, late_after_ms: 0, buffered: true },
    ...{ heartbeat_timeout_ms: peer?.heartbeat_timeout_ms ?? 0, seed_percent: null, epochs: [] },
    ...{ bytes_sent: 0, bytes_raw: 0, codec: null, pages: null, histograms: null, schedule: null },
    ...{ pending_max: null, in_flight: null, memory: null, stalls: 0, stalled_ms: 0 },
    ...{ degraded: null, output: null, guest_paused: false, buffer_only: true },
    reason: `an output buffer of domain ${domid} is left here, and no session looks after it`,
    next: nextFor(buffer, domain),
    ...{ started: now, updated: now, pid: 0, pid_start: 0, boot_id: '' },
    transport: peer === null ? null : { host: peer.host, ssh_command: peer.ssh_command },
    ...(watch === undefined ? {} : { watch }),
    ...(mayOpen === undefined ? {} : { may_open: mayOpen }),
  };
}

/**
 * What a dead session of the guest left on the primary, or its buffer where the session's own state
 * is lost; null: nothing is left any more.
 */
export async function leftOf(
  ports: LeftBufferPorts,
  { ref, session }: LeftGuest,
): Promise<SessionStatus | null> {
  let sessions: readonly SessionEntry[];
  try {
    sessions = (await listAll(ports)).sessions;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
  const { uuid, id } = ref;
  const its = sessions.find(({ status, liveness }) => {
    if (status.role !== 'primary' || liveness === 'alive' || isSettled(status)) return false;
    if (status.buffer_only) return status.uuid === uuid || status.domid === id;
    return status.uuid === uuid && status.session === session;
  });
  return its === undefined ? null : { ...its.status, uuid, session };
}

/**
 * Every session of the registry, and every buffer that none looks after as one that is held.
 * Throws as `sessions` does, but for a missing directory only where no buffer is left either.
 */
export async function listAll(ports: LeftBufferPorts): Promise<Listing> {
  // Twice, around the sessions: a buffer that a session makes or removes meanwhile is no leftover.
  const before = await buffersOf(ports);
  let listing: Listing = { sessions: [], broken: [] };
  let missing: unknown = null;
  try {
    listing = ports.registry.sessions();
  } catch (error) {
    if (!isMissing(error)) throw error;
    missing = error;
  }
  const { found, broken } = await buffersOf(ports);
  const left = found.filter((one) => {
    return before.found.some(({ domid }) => domid === one.domid) && !isLookedAfter(one, listing);
  });
  if (missing !== null && left.length === 0) throw missing;
  const now = ports.clock.wall().toISOString();
  const entries = left.map((buffer): SessionEntry => {
    const statusPath = buffer.statePath ?? '';
    return { status: statusOf(buffer, now), liveness: 'dead', statusPath, socketPath: '' };
  });
  return {
    sessions: [...listing.sessions, ...entries],
    broken: [...listing.broken, ...broken],
  };
}
