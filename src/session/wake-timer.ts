/**
 * One timer for a state machine that says when it wants to be looked at. It fires at the earliest
 * time that was asked for since it last fired, within bounds: an event may bring that time
 * closer (an acknowledgement, after which the next checkpoint is 10 ms away), and a timer that was
 * set for a heartbeat before must not make it wait.
 */
import type { Cancel, Clock, Timers } from '../host/clock.ts';

export interface WakeTimerParts {
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly timers: Timers;
  /** From being asked to firing, ms: at least, and at most. */
  readonly minMs: number;
  readonly maxMs: number;
  /** With the time at which it was due. */
  readonly onWake: (dueMs: number) => void;
}

export class WakeTimer {
  readonly #parts: WakeTimerParts;
  #cancel: Cancel | null = null;
  #dueMs = 0;

  constructor(parts: WakeTimerParts) {
    this.#parts = parts;
  }

  /** To be called after everything that may have changed the time; null: as late as may be. */
  wakeAt(atMs: number | null): void {
    const { clock, timers, minMs, maxMs, onWake } = this.#parts;
    const nowMs = clock.nowMs();
    const dueMs = nowMs + Math.min(maxMs, Math.max(minMs, (atMs ?? Infinity) - nowMs));
    if (this.#cancel !== null && this.#dueMs <= dueMs) return;
    this.stop();
    this.#dueMs = dueMs;
    this.#cancel = timers.after(dueMs - nowMs, () => {
      this.#cancel = null;
      onWake(dueMs);
    });
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }
}
