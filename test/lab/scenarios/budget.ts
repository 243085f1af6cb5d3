/**
 * The time that CI has for its lab tests, and what still fits into it. The core is begun as long as
 * there is time at all, and what of it is not is a failure; of the rest only what will be done in
 * time, by what this machine needed for the tests before. Pure.
 */

/** What a quiet machine needs to boot a host, seconds: the scenarios' times are of such a one. */
const quietBootSeconds = 17;
/** Of a trial that hangs, more is not waited for. */
const graceMs = 5 * 60_000;

export class Budget {
  readonly #endMs: number;
  #expectedSeconds = 0;
  #spentSeconds = 0;

  /** `endMs`: by the clock of the other methods' times. */
  constructor(endMs: number) {
    this.#endMs = endMs;
  }

  /** When whatever still runs is given up. */
  get overdueMs(): number {
    return this.#endMs + graceMs;
  }

  /** A trial that takes `expected` seconds on a quiet machine took `spent`. */
  ran(expected: number, spent: number): void {
    this.#expectedSeconds += expected;
    this.#spentSeconds += spent;
  }

  /** By how much this machine is slower than a quiet one; 1 at least. */
  slowness(bootSeconds: number): number {
    const ran = this.#expectedSeconds === 0 ? 1 : this.#spentSeconds / this.#expectedSeconds;
    return Math.max(1, bootSeconds / quietBootSeconds, ran);
  }

  /** Whether there is time left at all. */
  isOver(nowMs: number): boolean {
    return nowMs >= this.#endMs;
  }

  /** Whether what takes `seconds` on a quiet machine ends in time on this one. */
  fits(seconds: number, nowMs: number, bootSeconds: number): boolean {
    return nowMs + seconds * this.slowness(bootSeconds) * 1000 <= this.#endMs;
  }
}
