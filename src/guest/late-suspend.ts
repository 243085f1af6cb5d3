/**
 * A guest that was asked to suspend does it when it gets to it, whatever became of who asked:
 * whoever asked watches until it has done so and runs again, or is gone.
 *
 * Xen waits a minute and takes nothing back but a request through XenStore that was not even read
 * (libxl_dom_suspend.c, domain_suspend_common_pvcontrol_suspending). A guest answers late when it
 * is paused, starved of processors, or long at freezing itself; Linux gives that up after 20 s
 * (kernel/power/process.c) and has then forgotten the request.
 */
import { sleep, type Time } from '../host/clock.ts';
import { errorText } from '../host/errors.ts';
import type { GuestRef, Hypervisor } from '../hypervisor/port.ts';
import type { Say } from './life.ts';

/** For so long it is looked at often and resumed at once: Xen itself waits 60 s. */
export const soonMs = 65_000;
const soonPollMs = 50;
const laterPollMs = 500;
/**
 * Found suspended later than that, it is resumed once it has stayed so for as long: who saves it
 * destroys it right after its last look.
 */
const confirmMs = 2_000;
/**
 * A guest that has run for so long and has not answered never will. Time in which it is paused does
 * not count: paused it cannot.
 */
export const answerMsMax = 600_000;

export interface LatePorts extends Time {
  readonly hypervisor: Hypervisor;
}

/** Whom it may concern. */
export interface LateGuest {
  readonly ref: GuestRef;
  readonly name: string;
}

export interface LateOrder {
  readonly say: Say;
  /** Asked at each look; true ends the watch. */
  readonly isStopped: () => boolean;
}

/** How the watch over a late suspend ended. */
export type LateEnd =
  /** It suspended, and runs again. */
  | 'resumed'
  /** It ended by itself, or is gone. */
  | 'gone'
  /** It ran on for so long that the request must be lost. */
  | 'unanswered'
  | 'stopped';

class LateWatch {
  readonly #ports: LatePorts;
  readonly #guest: GuestRef;
  readonly #name: string;
  readonly #say: Say;
  readonly #beganMs: number;
  #lookedMs: number;
  #ranMs = 0;
  /** Since when it is seen suspended; null: it is not. */
  #suspendedFromMs: number | null = null;
  /** What was said last: once each. */
  #said = '';

  constructor(ports: LatePorts, { ref, name }: LateGuest, say: Say) {
    this.#ports = ports;
    this.#guest = ref;
    this.#name = name;
    this.#say = say;
    this.#beganMs = ports.clock.nowMs();
    this.#lookedMs = this.#beganMs;
  }

  #sayOnce(text: string): void {
    if (text !== this.#said) this.#say(text);
    this.#said = text;
  }

  get isSoon(): boolean {
    return this.#ports.clock.nowMs() - this.#beganMs < soonMs;
  }

  async look(): Promise<LateEnd | null> {
    const { hypervisor, clock } = this.#ports;
    const info = await hypervisor.info(this.#guest);
    if (info === null || info.state === 'dying' || info.state === 'ended') return 'gone';
    const nowMs = clock.nowMs();
    // A stall of this process is no time in which the guest was seen to run.
    const passedMs = Math.min(nowMs - this.#lookedMs, 2 * laterPollMs);
    this.#lookedMs = nowMs;
    if (info.state === 'suspended') return this.#suspended(nowMs);
    this.#suspendedFromMs = null;
    if (!info.paused) this.#ranMs += passedMs;
    return this.#ranMs < answerMsMax ? null : 'unanswered';
  }

  async #suspended(nowMs: number): Promise<LateEnd | null> {
    const { hypervisor } = this.#ports;
    this.#suspendedFromMs ??= nowMs;
    const other = hypervisor.otherSaver(this.#guest, this.#name);
    if (other !== null) {
      this.#sayOnce(`${other} has domain ${this.#guest.id} suspended: it is left alone`);
      this.#suspendedFromMs = null;
      return null;
    }
    if (!this.isSoon && nowMs - this.#suspendedFromMs < confirmMs) return null;
    await hypervisor.resume(this.#guest);
    this.#say(`domain ${this.#guest.id} was suspended, and is resumed`);
    return 'resumed';
  }

  failed(error: unknown): void {
    this.#sayOnce(errorText(error));
  }
}

/** Watches a guest that may suspend late, and resumes it then. Never rejects. */
export async function awaitLateSuspend(
  ports: LatePorts,
  guest: LateGuest,
  { say, isStopped }: LateOrder,
): Promise<LateEnd> {
  const watch = new LateWatch(ports, guest, say);
  while (!isStopped()) {
    try {
      const end = await watch.look();
      if (end !== null) return end;
    } catch (error) {
      watch.failed(error);
    }
    await sleep(ports.timers, watch.isSoon ? soonPollMs : laterPollMs);
  }
  return 'stopped';
}
