/**
 * Time as ports. Durations are measured on the monotonic clock only; the wall clock is for texts
 * and for the age of files. Both are handed in, so that tests and the simulator own them.
 */

export interface Clock {
  /** Milliseconds on a clock that never steps; the zero is arbitrary. */
  nowMs(): number;
  /** The time of day; may step either way. */
  wall(): Date;
}

/** Undoes `after`; may be called twice and after the fact. */
export type Cancel = () => void;

export interface Timers {
  /** Calls `run` once, `delayMs` from now or a little later; never earlier. */
  after(delayMs: number, run: () => void): Cancel;
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wall: () => new Date(),
};

export const systemTimers: Timers = {
  after(delayMs, run) {
    // Node counts whole milliseconds from a time that it rounds down, and would fire up to one
    // too early: whoever waits for a moment would wake in vain, and again.
    const timer = setTimeout(run, Math.ceil(delayMs) + 1);
    return () => clearTimeout(timer);
  },
};
