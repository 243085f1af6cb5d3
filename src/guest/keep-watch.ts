/**
 * The watch over a guest that runs on here after its protection: what its configuration says of its
 * end is carried out, and whatever its session left to be seen stays true.
 */
import { runDirectory } from '../config/settings.ts';
import { errorText } from '../host/errors.ts';
import type { Log } from '../host/log.ts';
import { openSessionLog } from '../host/session-log.ts';
import type { Hypervisor } from '../hypervisor/port.ts';
import { amendStatus } from '../registry/run-directory.ts';
import type { SessionStatus } from '../registry/status.ts';
import { leftoverOf } from './left-buffers.ts';
import { settleLeftover } from './recovery.ts';
import { watchGuest } from './watch.ts';

export interface Watched {
  readonly domid: number;
  readonly uuid: string;
  readonly name: string;
  /** The session that protected it last. */
  readonly session: string;
}

export interface WatchOrder {
  readonly isStopped: () => boolean;
  /** The session died: a copy may live, so the guest's end needs permission. */
  readonly isOrphan: boolean;
}

/** Between two attempts to ask the backup, ms: each is a run of the transport. */
const askEveryMs = 5_000;
const pollMs = 500;

/** What is left to be seen of the session, with the guest's further fate. */
class Notes {
  readonly #watched: Watched;
  readonly log: Log;
  #before: string | null | undefined;

  constructor(watched: Watched, log: Log) {
    this.#watched = watched;
    this.log = log;
  }

  #amend(text: string, change: (status: SessionStatus) => Partial<SessionStatus>): void {
    this.log.info(text);
    try {
      amendStatus(runDirectory(process.env), this.#watched, (status) => {
        this.#before ??= status.reason;
        const reason = this.#before === null ? text : `${this.#before}; since then ${text}`;
        return { ...status, ...change(status), reason };
      });
    } catch (error) {
      this.log.error(errorText(error));
    }
  }

  restarted(domid: number): void {
    const text = `it was booted anew, as domain ${domid}`;
    this.#amend(text, (status) => ({
      domid,
      state: 'unprotected',
      outcome: status.outcome ?? 'guest-ended',
    }));
  }

  takenOver(): void {
    const text = 'the guest here ended by itself and was destroyed';
    this.#amend(text, () => ({ domid: null, state: 'ended', outcome: 'taken-over' }));
  }

  ended(text: string): void {
    this.#amend(text, () => ({ domid: null, state: 'ended', outcome: 'guest-ended' }));
  }
}

/**
 * Waits until a dead session's guest may end here, false when it may not: its copy took over, or
 * the watch is over. Somebody who stops the session meanwhile has settled it.
 */
async function permission(
  watched: Watched,
  isStopped: () => boolean,
  notes: Notes,
): Promise<boolean> {
  let nextMs = 0;
  while (!isStopped()) {
    // A session whose state is lost was not settled: its buffer, which nobody opened, says so.
    const leftover = await leftoverOf(runDirectory(process.env), watched);
    if (leftover === null) return true;
    if (performance.now() >= nextMs) {
      const { outcome } = await settleLeftover(leftover, { force: false });
      if (outcome.kind === 'stopped') return true;
      if (outcome.kind === 'taken-over') notes.takenOver();
      if (outcome.kind !== 'held') return false;
      notes.log.info(`its end waits for leave: ${outcome.reason}`);
      nextMs = performance.now() + askEveryMs;
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  return false;
}

/** Watches until the guest is gone or preserved, or `isStopped`. Never rejects. */
export async function keepWatch(
  xen: Hypervisor,
  watched: Watched,
  { isStopped, isOrphan }: WatchOrder,
): Promise<void> {
  const log = openSessionLog(`${watched.name}.watch`, process.env);
  const notes = new Notes(watched, log);
  log.info(`watches domain ${watched.domid}${isOrphan ? ', whose protect died' : ''}`);
  let orphan = isOrphan;
  try {
    const config = await xen.config(watched.domid);
    const end = await watchGuest(xen, watched, config, {
      log: (text) => log.info(text),
      stopped: isStopped,
      restarted(domid) {
        orphan = false;
        notes.restarted(domid);
      },
      permitted: async () => !orphan || (await permission(watched, isStopped, notes)),
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
