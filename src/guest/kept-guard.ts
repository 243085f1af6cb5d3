/**
 * A session's guard, kept alive: its death is noticed and it is started again. In between nobody
 * would resume a guest that protect leaves suspended, so that is a problem to be shown.
 */
import { type Cancel, every, sleep, type Time, within } from '../host/clock.ts';
import { errorText, OperationError } from '../host/errors.ts';
import type { Log } from '../host/log.ts';
import type { GuestRef } from '../hypervisor/port.ts';
import type { Duties, Guard, Guarded, StartGuard } from './guard.ts';
import { beatMs } from './stopped-protect.ts';

/** Pauses between starts grow from the one to the other, ms: a guard that dies at once is dear. */
const retryMsMin = 1_000;
const retryMsMax = 60_000;
/** One that lived for so long did not die of its start. */
const soundMs = 60_000;
/** How long somebody who needs a guard waits for one that is just being started, ms. */
const readyMsMax = 10_000;

export interface KeptGuardParts extends Time {
  readonly startGuard: StartGuard;
  readonly guarded: Guarded;
  readonly log: Log;
  /** The problem is another one than before. */
  readonly onChange: () => void;
}

export class KeptGuard {
  readonly #parts: KeptGuardParts;
  #guard: Guard;
  #startedMs: number;
  #retryMs = 0;
  #problem: string | null = null;
  #isOver = false;
  readonly #stopBeating: Cancel;

  constructor(parts: KeptGuardParts) {
    this.#parts = parts;
    this.#startedMs = parts.clock.nowMs();
    this.#guard = this.#start();
    this.#stopBeating = every(parts.timers, beatMs, () => this.#guard.beat());
  }

  #over(): void {
    this.#isOver = true;
    this.#stopBeating();
  }

  /** Resolves when the first guard watches; rejects with OperationError when it could not start. */
  async begin(): Promise<void> {
    try {
      await this.#guard.ready;
    } catch (error) {
      this.#over();
      throw new OperationError('command-failed', `the guard did not start: ${errorText(error)}`, {
        op: 'start-guard',
        cause: error,
      });
    }
  }

  /** Why nobody stands by the guest, a sentence without final stop; null: somebody does. */
  get problem(): string | null {
    return this.#problem;
  }

  /** The guest runs on as `guest`: false when no guard can watch it. */
  async watch(guest: GuestRef, duties: Duties): Promise<boolean> {
    const { timers, startGuard, guarded } = this.#parts;
    await within(timers, readyMsMax, this.#guard.ready, () => {}).catch(() => {});
    this.#over();
    if (await this.#guard.watch(guest, duties)) return true;
    // It died just now: what is owed to the guest is the next one's to do.
    const next = startGuard(guarded);
    try {
      await next.ready;
      return await next.watch(guest, duties);
    } catch {
      return false;
    }
  }

  /** Nobody need stand by. */
  done(): void {
    this.#over();
    this.#guard.done();
  }

  #start(): Guard {
    const { startGuard, guarded, clock } = this.#parts;
    this.#startedMs = clock.nowMs();
    const guard = startGuard(guarded);
    void guard.gone.then((how) => {
      if (!this.#isOver && guard === this.#guard) void this.#restart(`its guard died (${how})`);
    });
    return guard;
  }

  async #restart(why: string): Promise<void> {
    const { clock, timers, log } = this.#parts;
    const isSound = clock.nowMs() - this.#startedMs >= soundMs;
    if (isSound) this.#retryMs = 0;
    this.#tell(`${why}: nobody would resume the guest if this process died in a checkpoint`);
    for (;;) {
      if (this.#retryMs > 0) await sleep(timers, this.#retryMs);
      if (this.#isOver) return;
      this.#retryMs = Math.min(retryMsMax, Math.max(retryMsMin, 2 * this.#retryMs));
      this.#guard = this.#start();
      try {
        await this.#guard.ready;
        log.info('the guard was started again');
        this.#tell(null);
        return;
      } catch (error) {
        const failed = `its guard died and cannot be started again (${errorText(error)})`;
        this.#tell(`${failed}: nobody would resume the guest if this process died in a checkpoint`);
      }
    }
  }

  #tell(problem: string | null): void {
    if (this.#isOver) return;
    if (problem !== null) this.#parts.log.error(problem);
    this.#problem = problem;
    this.#parts.onChange();
  }
}
