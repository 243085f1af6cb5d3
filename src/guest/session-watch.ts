/**
 * The watch over a session's guest: taken when the session begins, and given on to its guard when
 * it ends and the guest runs on here. xl's daemon may have gone by then (xen/other-watcher.ts).
 */
import type { HeldOutcome } from '../core/outcomes.ts';
import type { PrimaryOutcome } from '../core/primary/types.ts';
import { adviceLine } from '../core/texts/advice.ts';
import { OperationError } from '../host/errors.ts';
import type { GuestLeft, GuestRef } from '../hypervisor/port.ts';
import type { Duties, StartGuard } from './guard.ts';
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
   * The session ended so, and `left` is how its operation left the guest. `wasSuspended`: it was,
   * by a checkpoint, so xl's daemon may be gone. Returns why nobody sees to what is left to be
   * done; null when somebody does, or nobody need.
   */
  async end(
    outcome: PrimaryOutcome | HeldOutcome,
    guestEnd: GuestEnd | null,
    wasSuspended: boolean,
    left: GuestLeft,
  ): Promise<string | null> {
    switch (outcome.kind) {
      case 'held':
        this.abandon();
        return null;
      case 'taken-over':
        return null;
      case 'guest-ended':
        if (!guestEnd?.isRunning || guestEnd.guest === null) return null;
        return this.#giveOn(guestEnd.guest, { end: this.#mustWatch(true), lateSuspend: false });
      default: {
        const lateSuspend = left !== 'runs';
        const end = this.#mustWatch(wasSuspended);
        return this.#giveOn(this.#parts.guest.ref, { end, lateSuspend });
      }
    }
  }

  /** Nobody else need be there who carries out what the guest's end asks for. */
  #mustWatch(wasSuspended: boolean): boolean {
    return this.#parts.wait && (wasSuspended || this.#watch?.wasTaken === true);
  }

  async #giveOn(guest: GuestRef, wanted: Duties): Promise<string | null> {
    const { hypervisor, guest: own, log } = this.#parts;
    const other = wanted.end ? hypervisor.otherWatcher(guest, own.name) : null;
    if (other !== null) log.info(`${other} watches the guest`);
    const duties = { ...wanted, end: wanted.end && other === null };
    if (!duties.end && !duties.lateSuspend) return null;
    this.#release();
    this.#isGivenOn = true;
    if (await this.#guard.watch(guest, duties)) return null;
    const late = 'it may suspend yet, as it was asked to, and nobody resumes it then';
    const what = duties.lateSuspend ? late : 'nobody carries out what its own end asks for';
    return `its guard has gone: ${what}`;
  }

  /** Nobody has decided: the guard stands in from the moment at which this process has gone. */
  abandon(): void {
    this.#isGivenOn = true;
  }

  /** The session is over: what was not given on is let go. */
  async close(): Promise<void> {
    // It never began, and somebody watched before: back to that.
    if (!this.#isGivenOn && this.#watch?.wasTaken) {
      const duties = { end: this.#mustWatch(false), lateSuspend: false };
      await this.#giveOn(this.#parts.guest.ref, duties);
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
