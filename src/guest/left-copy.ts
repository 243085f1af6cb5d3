/**
 * A copy that a dead process left on the backup's host: found by the record and by looking, run on
 * a person's word, or given up on it. What may be done core/permission/left-copy.ts says.
 *
 * Whoever acts for the dead owner claims the session first, a run that promises (answer.ts) as
 * well: the one must not destroy what the other is about to run.
 */
import type { BackupOutcome } from '../core/backup/types.ts';
import {
  type LeftCopy,
  leftCopyOf,
  leftCopyRefusal,
  neededToRunLeft,
} from '../core/permission/left-copy.ts';
import type { Agreement, Said } from '../core/permission/tie.ts';
import { adviceLine } from '../core/texts/advice.ts';
import type { Time } from '../host/clock.ts';
import { errorText, OperationError } from '../host/errors.ts';
import type { Log } from '../host/log.ts';
import type { Processes } from '../host/process-id.ts';
import type { Store } from '../host/store.ts';
import type { GuestRef, Hypervisor } from '../hypervisor/port.ts';
import { listRecords } from '../permission/prune.ts';
import type { PermissionRecord, RecordState } from '../permission/record.ts';
import type { Claim, Registry } from '../registry/port.ts';
import type { SessionStatus } from '../registry/status.ts';
import { destroyCopy } from './destroy-copy.ts';
import type { StartGuard } from './guard.ts';
import { lookFor } from './look-for.ts';

/** What is needed to find one. */
export interface LeftCopyPorts {
  readonly processes: Pick<Processes, 'state'>;
  readonly store: Store;
  /** Where the records are. */
  readonly stateDirectory: string;
  /** Opened when it is needed. */
  hypervisor(): Promise<Hypervisor>;
  record(uuid: string, session: string): PermissionRecord;
}

/** What is needed to let one run. */
export interface RunCopyPorts extends LeftCopyPorts, Time {
  readonly registry: Registry;
  readonly startGuard: StartGuard;
  readonly log: Log;
  /** Tells the network where the guest is now. Never rejects. */
  announce(guest: GuestRef): Promise<void>;
}

/** Which session's copy. */
export interface CopyName {
  readonly domain: string;
  readonly uuid: string;
  readonly session: string;
}

/** A copy whose owner is dead. */
export interface FoundCopy extends CopyName {
  /** The host that it came from. */
  readonly peer: string;
  /** The epoch that it is of; null: the record does not say. */
  readonly epoch: number | null;
  readonly agreed: Agreement;
  /** What a person has to say at least. */
  readonly needs: Exclude<Said, 'nothing'>;
  readonly left: LeftCopy;
}

function describe(name: CopyName, state: RecordState, left: LeftCopy): FoundCopy {
  const epoch = state.decision?.facts['epoch'];
  return {
    ...{ domain: name.domain, uuid: name.uuid, session: name.session },
    peer: String(state.standby.facts['peer'] ?? ''),
    epoch: typeof epoch === 'number' ? epoch : null,
    agreed: state.withoutWitness,
    needs: neededToRunLeft(state.withoutWitness),
    left,
  };
}

async function judged(
  name: CopyName,
  ports: LeftCopyPorts,
): Promise<{ readonly state: RecordState | null; readonly left: LeftCopy }> {
  const state = await ports.record(name.uuid, name.session).read();
  const isOpen = state?.permission === 'activating' || state?.permission === 'active';
  if (!isOpen) return { state, left: leftCopyOf(state, 'gone') };
  const { found } = await lookFor(await ports.hypervisor(), { ...name, name: name.domain });
  return { state, left: leftCopyOf(state, found) };
}

/** What is left of this session's copy, whose process is known to be dead. */
export async function lookAtCopy(name: CopyName, ports: LeftCopyPorts): Promise<LeftCopy> {
  return (await judged(name, ports)).left;
}

/**
 * The sessions of a guest (name or UUID) on this host whose owner is dead, the newest first, each
 * with what is left of its copy. Throws what looking throws.
 */
export async function leftCopies(wanted: string, ports: LeftCopyPorts): Promise<FoundCopy[]> {
  const found: { readonly copy: FoundCopy; readonly at: string }[] = [];
  for (const { uuid, session } of await listRecords(ports.stateDirectory, ports.store)) {
    const before = await ports.record(uuid, session).read();
    const domain = String(before?.standby.facts['domain'] ?? uuid);
    if (before === null || (domain !== wanted && uuid !== wanted.toLowerCase())) continue;
    if (ports.processes.state(before.standby.by) === 'alive') continue;
    // Read again: the owner may have decided just before it went.
    const name = { domain, uuid, session };
    const { state, left } = await judged(name, ports);
    if (state !== null) found.push({ copy: describe(name, state, left), at: state.standby.at });
  }
  return found.sort((one, other) => other.at.localeCompare(one.at)).map(({ copy }) => copy);
}

/** The one that can still be run, or that runs and is not known to; else the newest; null: none. */
export async function findLeftCopy(
  wanted: string,
  ports: LeftCopyPorts,
): Promise<FoundCopy | null> {
  const copies = await leftCopies(wanted, ports);
  const isThere = ({ left }: FoundCopy) => left.kind === 'whole' || left.kind === 'runs';
  return copies.find(isThere) ?? copies[0] ?? null;
}

function refused({ domain }: CopyName, why: string, hint?: string): OperationError {
  return new OperationError('split-brain-risk', `failover of ${domain} is refused: ${why}`, {
    ...{ op: 'failover', subject: domain },
    hint: hint ?? adviceLine({ kind: 'show', domain }),
  });
}

/** Who else acts for the dead owner answers a primary that lives, or begins a session with it. */
export async function claimCopy({ uuid, domain }: CopyName, registry: Registry): Promise<Claim> {
  return registry.claimSession({ uuid, domain, role: 'backup' });
}

/**
 * Lets the copy run, on what a person `said`; resolves when it does, with what to tell him. Throws
 * `split-brain-risk` where it may not, `already-protected` where another process acts for its owner
 * now, `storage` where that cannot be recorded, `hypervisor` where it does not come up: then the
 * record has the decision, and the same again goes on from there.
 */
export async function runLeftCopy(
  copy: FoundCopy,
  said: Said,
  ports: RunCopyPorts,
): Promise<string> {
  const claim = await claimCopy(copy, ports.registry);
  let isDone = false;
  try {
    const guest = await activate(copy, said, ports);
    publish(copy, guest, claim);
    isDone = true;
    await ports.announce(guest);
    claim.release('keep-status');
    return await watched(copy, guest, claim.unsettled?.watch !== false, ports);
  } finally {
    claim.release(isDone ? 'keep-status' : 'as-before');
  }
}

const ordered = 'the administrator ordered it, its process was dead';

/** The steps of the dead owner that are left, in its order: the record first. */
async function activate(copy: FoundCopy, said: Said, ports: RunCopyPorts): Promise<GuestRef> {
  const { domain, uuid, session } = copy;
  const record = ports.record(uuid, session);
  // As it is now: a person took his time to answer.
  const { left } = await judged(copy, ports);
  const why = leftCopyRefusal(left, copy.agreed, said);
  if (why !== null) throw refused(copy, why);
  if (left.kind === 'whole' && !left.isActive) {
    const { epoch } = copy;
    const moved = await record.move('activating', 'active', { epoch, why: ordered, said });
    if (moved.permission !== 'active') throw refused(copy, `the record says ${moved.permission}`);
    ports.log.info(`the record says active: ${ordered}`);
  }
  const hypervisor = await ports.hypervisor();
  const { guest, found } = await lookFor(hypervisor, { name: domain, uuid });
  if (guest === null) throw gone(copy);
  if (left.kind === 'whole' && found === 'paused') {
    await hypervisor.unpause(guest);
    const now = await lookFor(hypervisor, { name: domain, uuid });
    if (now.found !== 'running') throw gone(copy);
  }
  await record.noteRunning({ by: 'failover' });
  ports.log.info(`domain ${guest.id} runs`);
  return guest;
}

function gone({ domain }: CopyName): OperationError {
  return new OperationError('hypervisor', `the copy of ${domain} does not run`, {
    ...{ op: 'failover', subject: domain },
    hint: adviceLine({ kind: 'list-guest', domain }),
  });
}

/** What its session would have said of itself: status on this host shows it from now on. */
function publish({ epoch }: FoundCopy, { id }: GuestRef, claim: Claim): void {
  const left = claim.unsettled;
  if (left === null) return;
  const outcome: BackupOutcome['kind'] = 'activated';
  claim.publish({
    ...left,
    ...{ state: 'active', outcome, domid: id, next: [], degraded: null },
    reason: `took over from epoch ${epoch ?? left.epoch ?? 0}: ${ordered}`,
  });
}

/** A guard sees to the guest's own end, as its session would have. */
async function watched(
  { domain, session }: FoundCopy,
  guest: GuestRef,
  wait: boolean,
  { registry, startGuard, hypervisor }: RunCopyPorts,
): Promise<string> {
  const runs = `${domain} runs here`;
  const unwatched = 'nobody carries out what its own end asks for';
  if (!wait) return `${runs}; ${unwatched} (-e)`;
  try {
    const other = (await hypervisor()).otherWatcher(guest, domain);
    if (other !== null || registry.watcherOf(guest.uuid) !== null) return runs;
    const guard = startGuard({ ref: guest, name: domain, session, wait: true });
    await guard.ready;
    if (await guard.watch(guest, { end: true, lateSuspend: false })) return runs;
    return `${runs}, but ${unwatched}: its guard does not watch`;
  } catch (error) {
    return `${runs}, but ${unwatched}: ${errorText(error)}`;
  }
}

/**
 * Gives up a whole copy that is active by its record and never ran, by a person's word: destroyed,
 * and then lost. One that is not active yet goes as for a primary that asks (answer.ts).
 */
export async function loseLeftCopy(name: CopyName, ports: LeftCopyPorts): Promise<void> {
  await destroyCopy(await ports.hypervisor(), { ...name, name: name.domain }, 'waiting-or-built');
  const why = 'a person gave up the copy that nobody had let run';
  await ports.record(name.uuid, name.session).lose({ domain: name.domain, why });
}

/** A copy that took over, and that a guard watches, ended by itself; any other guest: nothing. */
export async function noteCopyEnded(record: PermissionRecord): Promise<void> {
  const state = await record.read();
  if (state?.permission === 'active') await record.noteEnded({ by: 'guard' });
}

/** What is left to be seen of a session whose copy was given up for a primary that asked. */
export function promisedStatus(left: SessionStatus): SessionStatus {
  const outcome: BackupOutcome['kind'] = 'promised';
  const reason = 'its process died, and its copy was given up for a primary that asked';
  return { ...left, state: 'ended', outcome, domid: null, next: [], degraded: null, reason };
}
