/**
 * A person's word, on the host where a copy took over: the guest that went on here is lost. Then,
 * and only then, does its record promise, so that the other host may go on with what it has.
 *
 *   L1  nothing is said of a guest that is here, or that a process of ours looks after: lostRefusal
 *   L2  it is looked for once more when the word is given, right before it is written down
 */
import { lostRefusal } from '../core/permission/record.ts';
import { adviceLine } from '../core/texts/advice.ts';
import { ambiguousText, guestsOf, type Named, whoIsMeant } from '../core/who.ts';
import { OperationError } from '../host/errors.ts';
import type { Store } from '../host/store.ts';
import type { Hypervisor } from '../hypervisor/port.ts';
import { listRecords } from '../permission/prune.ts';
import type { PermissionRecord, RecordState } from '../permission/record.ts';
import type { Registry } from '../registry/port.ts';
import { lookFor } from './look-for.ts';

export interface LostPorts {
  readonly registry: Registry;
  readonly store: Store;
  /** Where the records are. */
  readonly stateDirectory: string;
  hypervisor(): Promise<Hypervisor>;
  record(uuid: string, session: string): PermissionRecord;
}

/** A guest that went on here by its record, and is not here. */
export interface LostGuest {
  readonly domain: string;
  readonly uuid: string;
  /** The host that may go on then. */
  readonly peer: string;
  /** When it took over, time of day. */
  readonly since: string;
  /** From which epoch; null: it does not say. */
  readonly epoch: number | null;
  readonly sessions: readonly string[];
}

function refused(domain: string, reason: string): OperationError {
  return new OperationError('split-brain-risk', `${domain} is not lost: ${reason}`, {
    op: 'lose-guest',
    subject: domain,
  });
}

/** A process that has the session, or carries out what the guest's own end asks for. */
function isLookedAfter(registry: Registry, uuid: string): boolean {
  if (registry.watcherOf(uuid) !== null) return true;
  try {
    return registry.sessions().sessions.some(({ status, liveness }) => {
      return status.uuid === uuid && liveness === 'alive' && status.outcome === null;
    });
  } catch {
    return false; // no run directory: nothing has run here since this host was booted
  }
}

async function check(
  ports: LostPorts,
  state: RecordState,
  guest: { readonly domain: string; readonly uuid: string },
): Promise<void> {
  const { domain, uuid } = guest;
  const { found } = await lookFor(await ports.hypervisor(), { name: domain, uuid });
  const reason = lostRefusal(state, found, isLookedAfter(ports.registry, uuid));
  if (reason !== null) throw refused(domain, reason);
}

/** Of each session of the guest that went on here: what its record says. */
async function takeovers(ports: LostPorts, wanted: string): Promise<RecordOf[]> {
  const found: RecordOf[] = [];
  for (const { uuid, session } of await listRecords(ports.stateDirectory, ports.store)) {
    const state = await ports.record(uuid, session).read();
    const domain = String(state?.standby.facts['domain'] ?? uuid);
    if (state?.permission === 'active')
      found.push({ name: domain, uuid, id: null, session, state });
  }
  const meant = whoIsMeant(wanted, found);
  if (meant.kind === 'nobody') return [];
  const newest = inOrder(meant.all).at(-1);
  if (newest === undefined || guestsOf(meant.all).length === 1) return inOrder(meant.all);
  throw new OperationError('ambiguous', ambiguousText(wanted, meant.all), {
    op: 'find-takeover',
    subject: wanted,
    hint: adviceLine({
      kind: 'again-of',
      argv: ['stop', '--lost', newest.uuid],
      who: 'the one that took over last',
    }),
  });
}

function inOrder(found: readonly RecordOf[]): RecordOf[] {
  return [...found].sort((one, other) =>
    one.state.standby.at.localeCompare(other.state.standby.at),
  );
}

interface RecordOf extends Named {
  readonly session: string;
  readonly state: RecordState;
}

/**
 * The guest called `wanted` (name or UUID) that went on here and is not here; changes nothing.
 * Throws `no-copy` where none took over, `split-brain-risk` where it is here.
 */
export async function findLost(ports: LostPorts, wanted: string): Promise<LostGuest> {
  const records = await takeovers(ports, wanted);
  const newest = records.at(-1);
  if (newest === undefined) {
    throw new OperationError('no-such-session', `no copy of ${wanted} took over on this host`, {
      op: 'find-takeover',
      subject: wanted,
    });
  }
  const { uuid, name: domain, state } = newest;
  await check(ports, state, { domain, uuid });
  const epoch = state.decision?.facts['epoch'];
  return {
    domain,
    uuid,
    peer: String(state.standby.facts['peer'] ?? ''),
    since: state.outcome?.at ?? state.standby.at,
    epoch: typeof epoch === 'number' ? epoch : null,
    sessions: records.filter((one) => one.uuid === uuid).map(({ session }) => session),
  };
}

/** Writes the word down; durable when it returns. Throws as `findLost`, and `storage`. */
export async function loseGuest(ports: LostPorts, guest: LostGuest): Promise<void> {
  const { uuid, domain, sessions } = guest;
  for (const session of sessions) {
    const record = ports.record(uuid, session);
    const state = await record.read();
    if (state === null || state.permission === 'lost') continue;
    await check(ports, state, { domain, uuid }); // L2
    await record.lose({ domain, why: 'a person said that it is lost' });
  }
  forget(ports.registry, uuid);
}

/** What the session that took over left to be seen is not so any more. */
function forget(registry: Registry, uuid: string): void {
  let entries: ReturnType<Registry['sessions']>['sessions'];
  try {
    entries = registry.sessions().sessions;
  } catch {
    return;
  }
  for (const entry of entries) {
    const { status, liveness } = entry;
    const isIts = status.uuid === uuid && status.role === 'backup';
    if (isIts && liveness !== 'alive') registry.forget(entry);
  }
}
