/**
 * The watch over a session's guest: taken when the session begins, and given on to its guard when
 * it ends and the guest runs on here. xl's daemon may have gone by then (xen/other-watcher.ts).
 */
import type { HeldOutcome } from '../core/outcomes.ts';
import type { PrimaryOutcome } from '../core/primary/types.ts';
import { adviceLine } from '../core/texts/advice.ts';
import { OperationError } from '../host/errors.ts';
import type { GuestRef } from '../hypervisor/port.ts';
import type { StartGuard } from './guard.ts';
import { KeptGuard } from './kept-guard.ts';
import { type EndedGuest, type GuestEnd, type LifePorts, settleGuestEnd } from './life.ts';
import { type ClaimPorts, takeWatch, type Watch } from './watch.ts';

export interface SessionWatchParts extends LifePorts, ClaimPorts {
  readonly startGuard: StartGuard;
  readonly guest: EndedGuest;
  readonly session: string;
  /** False with -e: nobody watches. */
  readonly wait: boolean;
  /** What `problem` says is another thing than before. */
  readonly onChange: () => void;
}

export class SessionWatch {
  readonly #parts: SessionWatchParts;
  readonly #guard: KeptGuard;
  #watch: Watch | null = null;
  #isGivenOn = false;

  constructor(parts: SessionWatchParts) {
    this.#parts = parts;
    const { guest, session, wait } = parts;
    const guarded = { ref: guest.ref, name: guest.name, session, wait };
    this.#guard = new KeptGuard({ ...parts, guarded });
  }

  /** What nobody would do for the guest now, if this process died; null: all is well. */
  get problem(): string | null {
    return this.#guard.problem;
  }

  /** Takes the watch. Errors: the guard did not start; the guest is not as it was looked at. */
  async begin(): Promise<void> {
    const { hypervisor, guest } = this.#parts;
    await this.#guard.begin();
    this.#watch = await takeWatch(this.#parts, { uuid: guest.ref.uuid, name: guest.name });
    const info = await hypervisor.info(guest.ref);
    if (info?.state === 'here') return;
    throw new OperationError('no-such-domain', `${guest.name} ended just now`, {
      op: 'take-watch',
      subject: guest.name,
      hint: adviceLine({ kind: 'list-guest', domain: guest.name }),
    });
  }

  /** Carries out what the guest's end asks for. */
  settle(): Promise<GuestEnd> {
    const { guest, wait } = this.#parts;
    return settleGuestEnd(this.#parts, guest, wait);
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
        if (!guestEnd?.isRunning || guestEnd.guest === null) return null;
        return this.#giveOn(guestEnd.guest, true);
      default:
        return this.#giveOn(this.#parts.guest.ref, wasSuspended);
    }
  }

  async #giveOn(guest: GuestRef, wasSuspended: boolean): Promise<string | null> {
    const { hypervisor, guest: own, wait, log } = this.#parts;
    if (!wait || (!wasSuspended && this.#watch?.wasTaken !== true)) return null;
    const other = hypervisor.otherWatcher(guest, own.name);
    if (other !== null) {
      log.info(`${other} watches the guest`);
      return null;
    }
    this.#release();
    this.#isGivenOn = true;
    if (await this.#guard.watch(guest)) return null;
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
      await this.#giveOn(this.#parts.guest.ref, false);
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
