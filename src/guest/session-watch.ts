/**
 * The watch over a session's guest: taken when the session begins, and given on to its guard when
 * it ends and the guest runs on here. xl's daemon may have gone by then (other-watcher.ts).
 */
import { runDirectory } from '../config/settings.ts';
import type { PrimaryOutcome } from '../core/primary/types.ts';
import { adviceLine } from '../core/texts/advice.ts';
import { errorText, OperationError } from '../host/errors.ts';
import type { Log } from '../host/log.ts';
import type { Hypervisor } from '../hypervisor/port.ts';
import { otherWatcher } from '../hypervisor/xen/other-watcher.ts';
import type { HeldOutcome } from '../session/options.ts';
import type { Guest } from '../session/primary/preflight.ts';
import { type Guard, startGuard } from './guard.ts';
import { type GuestEnd, settleGuestEnd } from './guest-end.ts';
import { takeWatch, type Watch } from './watch-claim.ts';

export interface SessionWatchParts {
  readonly xen: Hypervisor;
  readonly guest: Guest;
  readonly session: string;
  /** False with -e: nobody watches. */
  readonly wait: boolean;
  readonly log: Log;
}

export class SessionWatch {
  readonly #parts: SessionWatchParts;
  readonly #guard: Guard;
  #watch: Watch | null = null;
  #isGivenOn = false;

  constructor(parts: SessionWatchParts) {
    this.#parts = parts;
    const { guest, session, wait } = parts;
    const { domid, uuid, name } = guest;
    this.#guard = startGuard({ domid, uuid, name, session, wait });
  }

  /** Takes the watch. Errors: the guard did not start; the guest is not as it was looked at. */
  async begin(): Promise<void> {
    const { xen, guest } = this.#parts;
    try {
      await this.#guard.ready;
    } catch (error) {
      throw new OperationError('command-failed', `the guard did not start: ${errorText(error)}`, {
        op: 'start-guard',
        cause: error,
      });
    }
    this.#watch = await takeWatch(runDirectory(process.env), guest);
    const info = await xen.info(guest.domid);
    if (info !== null && info.uuid === guest.uuid && !info.shutdown && !info.dying) return;
    throw new OperationError('no-such-domain', `${guest.name} ended just now`, {
      op: 'take-watch',
      subject: guest.name,
      hint: adviceLine({ kind: 'list-guest', domain: guest.name }),
    });
  }

  /** Carries out what the guest's end asks for. */
  settle(): Promise<GuestEnd> {
    const { xen, guest, wait, log } = this.#parts;
    return settleGuestEnd(xen, guest, wait, log);
  }

  /**
   * The session ended so. `wasSuspended`: the guest was, by a checkpoint, so xl's daemon may be
   * gone. Returns why nobody sees to the guest's own end; null when somebody does, or nobody need.
   */
  async end(
    outcome: PrimaryOutcome | HeldOutcome,
    guestEnd: GuestEnd | null,
    wasSuspended: boolean,
  ): Promise<string | null> {
    switch (outcome.kind) {
      case 'held':
        this.abandon();
        return null;
      case 'taken-over':
        return null;
      case 'guest-ended':
        if (!guestEnd?.isRunning || guestEnd.domid === null) return null;
        return this.#giveOn(guestEnd.domid, true);
      default:
        return this.#giveOn(this.#parts.guest.domid, wasSuspended);
    }
  }

  async #giveOn(domid: number, wasSuspended: boolean): Promise<string | null> {
    const { guest, wait, log } = this.#parts;
    if (!wait || (!wasSuspended && this.#watch?.wasTaken !== true)) return null;
    const other = otherWatcher({ ...guest, domid });
    if (other !== null) {
      log.info(`${other} watches the guest`);
      return null;
    }
    this.#release();
    this.#isGivenOn = true;
    if (await this.#guard.watch(domid)) return null;
    return 'its guard has gone: nobody carries out what its own end asks for';
  }

  /** Nobody has decided: the guard stands in from the moment at which this process has gone. */
  abandon(): void {
    this.#isGivenOn = true;
  }

  /** The session is over: what was not given on is let go. */
  async close(): Promise<void> {
    // It never began, and somebody watched before: back to that.
    if (!this.#isGivenOn && this.#watch?.wasTaken) {
      await this.#giveOn(this.#parts.guest.domid, false);
    }
    if (this.#isGivenOn) return;
    this.#guard.done();
    this.#release();
  }

  #release(): void {
    this.#watch?.release();
    this.#watch = null;
  }
}
