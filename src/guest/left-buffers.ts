/**
 * Output buffers that no session looks after: the process was killed and its run-time state is
 * gone, or only devices or the buffer's own state file are left. Nothing leaves their guests, so
 * they are shown, and ended, as held sessions are.
 */
import { type Advice, adviceLines } from '../core/texts/advice.ts';
import type { Clock } from '../host/clock.ts';
import { errnoCode, OperationError } from '../host/errors.ts';
import type { BuffersHere, FoundBuffer } from '../output/port.ts';
import { isSettled, type Listing, type Registry, type SessionEntry } from '../registry/port.ts';
import type { SessionStatus } from '../registry/status.ts';
import type { LeftGuest } from './recovery.ts';

/** Where leftovers are looked for. */
export interface LeftBufferPorts {
  readonly registry: Registry;
  readonly clock: Clock;
  /** The output buffers of this host, whoever looks after them. */
  findBuffers(): Promise<BuffersHere>;
}

/** True when a session answers for the buffer: it lives, or `stop` clears it with what it left. */
function isLookedAfter({ id, owner }: FoundBuffer, { sessions }: Listing): boolean {
  return sessions.some(({ status, liveness }) => {
    if (status.role !== 'primary' || (liveness !== 'alive' && isSettled(status))) return false;
    return status.domid === id || (owner !== null && status.uuid === owner.uuid);
  });
}

/** The run directory may be gone with all that was in it. */
function isMissing(error: unknown): boolean {
  return error instanceof OperationError && errnoCode(error.detail.cause) === 'ENOENT';
}

function nextFor({ owner }: FoundBuffer, domain: string): string[] {
  if (owner?.mayOpen) return adviceLines([{ kind: 'stop-retry', domain }]);
  const peer = owner?.peer?.host;
  const first: Advice =
    peer === undefined
      ? { kind: 'stop-find-out', domain }
      : { kind: 'stop-ask-and-clear', domain, peer };
  return adviceLines([first]);
}

/** What is known of it, in the form of a session that is held. */
function statusOf(buffer: FoundBuffer, now: string): SessionStatus {
  const { id, owner } = buffer;
  const domain = owner?.domain ?? String(id);
  const { peer = null, watch = null, mayOpen = false } = owner ?? {};
  return {
    ...{ schema: 1, domain, domid: id, uuid: owner?.uuid ?? '', session: owner?.session ?? '' },
    ...{ role: 'primary', peer: peer?.host ?? '', state: 'held', outcome: 'held' },
    ...{ epoch: null, ack_time: null, ack_age_ms: null, late_after_ms: 0, buffered: true },
    ...{ heartbeat_timeout_ms: peer?.heartbeatTimeoutMs ?? 0, seed_percent: null, epochs: [] },
    ...{ bytes_sent: 0, bytes_raw: 0, codec: null, pages: null, histograms: null, schedule: null },
    ...{ pending_max: null, in_flight: null, memory: null, stalls: 0, stalled_ms: 0 },
    ...{ degraded: null, output: null, guest_paused: false, buffer_only: true },
    reason: `an output buffer of domain ${id} is left here, and no session looks after it`,
    next: nextFor(buffer, domain),
    ...{ started: now, updated: now, pid: 0, pid_start: 0, boot_id: '' },
    transport: peer === null ? null : { host: peer.host, ssh_command: peer.sshCommand },
    ...(watch === null ? {} : { watch }),
    ...(mayOpen ? { may_open: true } : {}),
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
  const before = await ports.findBuffers();
  let listing: Listing = { sessions: [], broken: [] };
  let missing: unknown = null;
  try {
    listing = ports.registry.sessions();
  } catch (error) {
    if (!isMissing(error)) throw error;
    missing = error;
  }
  const { found, broken } = await ports.findBuffers();
  const left = found.filter((one) => {
    return before.found.some(({ id }) => id === one.id) && !isLookedAfter(one, listing);
  });
  if (missing !== null && left.length === 0) throw missing;
  const now = ports.clock.wall().toISOString();
  const entries = left.map((buffer): SessionEntry => {
    const statusPath = buffer.statePath ?? '';
    return { status: statusOf(buffer, now), liveness: 'dead', statusPath, socketPath: '' };
  });
  const unusable = broken.map(({ path, reason }) => ({ statusPath: path, reason }));
  return {
    sessions: [...listing.sessions, ...entries],
    broken: [...listing.broken, ...unusable],
  };
}
