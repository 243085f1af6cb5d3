/**
 * The watch over a guest that runs on here after its protection: what its configuration says of its
 * end is carried out, and whatever its session left to be seen stays true.
 */
import { mayEndHere } from '../core/permission/recovery.ts';
import { sleep } from '../host/clock.ts';
import { errorText } from '../host/errors.ts';
import type { Log, ProcessLog } from '../host/log.ts';
import type { GuestRef } from '../hypervisor/port.ts';
import type { Registry } from '../registry/port.ts';
import type { SessionStatus } from '../registry/status.ts';
import type { Leftovers } from './recovery.ts';
import { type WatchPorts, watchGuest } from './watch.ts';

export interface Watched {
  readonly ref: GuestRef;
  readonly name: string;
  /** The session that protected it last. */
  readonly session: string;
}

export interface WatchOrder {
  readonly isStopped: () => boolean;
  /** The session died: a copy may live, so the guest's end needs permission. */
  readonly isOrphan: boolean;
}

export interface KeepWatchPorts extends WatchPorts {
  readonly registry: Registry;
  readonly leftovers: Leftovers;
  /** Notes in the record of a copy that took over that it ended by itself; nothing: it did not. */
  noteEnded(watched: Watched): Promise<void>;
  openLog(name: string): ProcessLog;
}

/** Between two attempts to ask the backup, ms: each is a run of the transport. */
const askEveryMs = 5_000;
const pollMs = 500;

/**
 * The session of which something is left to be seen. One that could not even begin left what stood
 * there before it: that speaks of the guest that runs on here, and would speak of it for ever.
 */
function seenOf({ ref, session }: Watched, registry: Registry): string {
  const its = registry.sessions().sessions.filter(({ status }) => status.uuid === ref.uuid);
  if (its.some(({ status }) => status.session === session)) return session;
  const before = its.find(({ status: { state }, liveness }) => {
    return liveness !== 'alive' && (state === 'unprotected' || state === 'active');
  });
  return before?.status.session ?? session;
}

/** What is left to be seen of the session, with the guest's further fate. */
class Notes {
  readonly #watched: Watched;
  readonly #registry: Registry;
  readonly log: Log;
  #before: string | null | undefined;
  #isTakenOver = false;

  constructor(watched: Watched, registry: Registry, log: Log) {
    this.#watched = watched;
    this.#registry = registry;
    this.log = log;
  }

  #amend(text: string, change: (status: SessionStatus) => Partial<SessionStatus>): void {
    this.log.info(text);
    const { uuid } = this.#watched.ref;
    try {
      const session = seenOf(this.#watched, this.#registry);
      this.#registry.amend({ uuid, session }, (status) => {
        this.#before ??= status.reason;
        const reason = this.#before === null ? text : `${this.#before}; since then ${text}`;
        return { ...status, ...change(status), reason };
      });
    } catch (error) {
      this.log.error(errorText(error));
    }
  }

  restarted({ id }: GuestRef): void {
    const text = `it was booted anew, as domain ${id}`;
    this.#amend(text, ({ role, outcome }) => ({
      domid: id,
      state: role === 'primary' ? 'unprotected' : 'active',
      outcome: outcome ?? 'guest-ended',
    }));
  }

  takenOver(): void {
    this.#isTakenOver = true;
    const text = 'the guest here was destroyed';
    this.#amend(text, () => ({ domid: null, state: 'ended', outcome: 'taken-over' }));
  }

  /** What a takeover made of it stays so: the guest lives, on the other host. */
  ended(text: string): void {
    if (this.#isTakenOver) return this.log.info(text);
    this.#amend(text, ({ role }) => ({
      domid: null,
      state: 'ended',
      // Of a copy that took over its end is no other outcome (src/session/backup/facts.ts).
      outcome: role === 'primary' ? 'guest-ended' : 'activated',
    }));
  }
}

/**
 * Waits until a dead session's guest may end here, false when it may not: its copy took over, or
 * the watch is over. Somebody who stops the session meanwhile has settled it.
 */
async function permission(
  { leftovers, clock, timers }: KeepWatchPorts,
  watched: Watched,
  isStopped: () => boolean,
  notes: Notes,
): Promise<boolean> {
  let nextMs = Number.NEGATIVE_INFINITY;
  while (!isStopped()) {
    // A session whose state is lost was not settled: its buffer, which nobody opened, says so.
    const left = await leftovers.of(watched);
    if (left === null) return true;
    if (clock.nowMs() >= nextMs) {
      const { outcome } = await leftovers.settle(left, { force: false, destroy: false });
      if (outcome.kind === 'taken-over') notes.takenOver();
      const may = mayEndHere(outcome.kind);
      if (may !== 'later') return may === 'now';
      notes.log.info(`its end waits for leave: ${'reason' in outcome ? outcome.reason : ''}`);
      nextMs = clock.nowMs() + askEveryMs;
    }
    await sleep(timers, pollMs);
  }
  return false;
}

/** Watches until the guest is gone or preserved, or `isStopped`. Never rejects. */
export async function keepWatch(
  ports: KeepWatchPorts,
  watched: Watched,
  { isStopped, isOrphan }: WatchOrder,
): Promise<void> {
  const log = ports.openLog(`${watched.name}.watch`);
  const notes = new Notes(watched, ports.registry, log);
  log.info(`watches domain ${watched.ref.id}${isOrphan ? ', whose protect died' : ''}`);
  let orphan = isOrphan;
  try {
    const spec = await ports.hypervisor.spec(watched.ref);
    const end = await watchGuest(ports, watched.ref, spec, {
      say: (text) => log.info(text),
      stopped: isStopped,
      restarted(guest) {
        orphan = false;
        notes.restarted(guest);
      },
      permitted: async () => !orphan || (await permission(ports, watched, isStopped, notes)),
      ending: () => ports.noteEnded(watched),
    });
    if (end === null) log.info('the watch was ended');
    else notes.ended(end);
  } catch (error) {
    notes.ended(`nobody watches it: ${errorText(error)}`);
    log.error(errorText(error));
  } finally {
    log.close();
  }
}
