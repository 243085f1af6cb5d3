/**
 * Time and chance as ports. Durations are measured on the monotonic clock only; the wall clock is
 * for texts and for the age of files. All of them are handed in, so that tests and the simulator
 * own them; src/app alone hands out those of the system.
 */
import { createRequire } from 'node:module';
import { uptime } from 'node:os';

export interface Clock {
  /**
   * Milliseconds on a clock that steps forward over a suspend of the host and else never; the zero
   * is arbitrary.
   */
  nowMs(): number;
  /** The time of day; may step either way. */
  wall(): Date;
}

/** Time that all processes of a host agree on. */
export interface BootClock {
  /** Milliseconds since the host's boot, its suspends counted; in steps of 10 ms. */
  sinceBootMs(): number;
}

/** Undoes `after`; may be called twice and after the fact. */
export type Cancel = () => void;

export interface Timers {
  /** Calls `run` once, `delayMs` from now or a little later; never earlier. */
  after(delayMs: number, run: () => void): Cancel;
  /** Calls `run` once, after whatever the kernel holds for this process by now was read. */
  soon(run: () => void): Cancel;
}

export interface Chance {
  /** Bytes that nobody can guess. */
  bytes(count: number): Buffer;
  /** A number from 0 (included) to 1 (excluded). */
  share(): number;
}

/** What waits or draws lots gets these, and nothing of the system. */
export interface Time {
  readonly clock: Clock;
  readonly timers: Timers;
}

const require = createRequire(import.meta.url);

/** The host's uptime, which counts its suspends, is looked at so often, ms. */
const uptimeEveryMs = 10;
/** Uptime comes in steps of 10 ms, and is read a moment after the other clock. */
const suspendMsMin = 100;

/**
 * A monotonic clock that goes on while the host is suspended: the kernel's own stands still then,
 * and a lease would outlive the suspend, during which the backup may have activated. `uptimeMs`
 * counts suspends and is coarse; what it gained on `monotonicMs` is added.
 */
export function suspendProof(monotonicMs: () => number, uptimeMs: () => number): () => number {
  let lookedMs = monotonicMs();
  let ahead = uptimeMs() - lookedMs;
  let suspendedMs = 0;
  return () => {
    const nowMs = monotonicMs();
    if (nowMs - lookedMs >= uptimeEveryMs) {
      lookedMs = nowMs;
      const gainedMs = uptimeMs() - nowMs - ahead;
      if (gainedMs >= suspendMsMin) {
        suspendedMs += gainedMs;
        ahead += gainedMs;
      }
    }
    return nowMs + suspendedMs;
  };
}

// os.uptime() is CLOCK_BOOTTIME, by way of /proc/uptime; Node has no other way to that clock.
export const systemBootClock: BootClock = { sinceBootMs: () => uptime() * 1_000 };

export const systemClock: Clock = {
  nowMs: suspendProof(() => performance.now(), systemBootClock.sinceBootMs),
  wall: () => new Date(),
};

export const systemTimers: Timers = {
  after(delayMs, run) {
    // Node counts whole milliseconds from a time that it rounds down, and would fire up to one
    // too early: whoever waits for a moment would wake in vain, and again.
    const timer = setTimeout(run, Math.ceil(delayMs) + 1);
    return () => clearTimeout(timer);
  },
  soon(run) {
    const turn = setImmediate(run);
    return () => clearImmediate(turn);
  },
};

/** Node's own, with the first that draws lots: most commands draw none, and it takes 4 ms. */
function randomBytes(count: number): Buffer {
  const { randomBytes: draw }: typeof import('node:crypto') = require('node:crypto');
  return draw(count);
}

export const systemChance: Chance = {
  bytes: (count) => randomBytes(count),
  share: () => randomBytes(4).readUInt32LE() / 2 ** 32,
};

/** Resolves `delayMs` from now, or a little later. */
export function sleep(timers: Timers, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    timers.after(delayMs, resolve);
  });
}

/** Resolves after whatever the kernel holds for this process by now was read. */
export function nextTurn(timers: Timers): Promise<void> {
  return new Promise((resolve) => {
    timers.soon(resolve);
  });
}

/** Calls `run` again and again, `periodMs` after the last time, until cancelled. */
export function every(timers: Timers, periodMs: number, run: () => void): Cancel {
  let cancel: Cancel = () => {};
  let isOver = false;
  const wait = () => {
    cancel = timers.after(periodMs, () => {
      run();
      if (!isOver) wait();
    });
  };
  wait();
  return () => {
    isOver = true;
    cancel();
  };
}

/** What `work` gives, or what `late` gives when that takes longer than `delayMs`. */
export async function within<T>(
  timers: Timers,
  delayMs: number,
  work: Promise<T>,
  late: () => T,
): Promise<T> {
  let cancel: Cancel = () => {};
  const timeout = new Promise<T>((resolve, reject) => {
    cancel = timers.after(delayMs, () => {
      try {
        resolve(late());
      } catch (error) {
        reject(error);
      }
    });
  });
  return Promise.race([work, timeout]).finally(() => cancel());
}
