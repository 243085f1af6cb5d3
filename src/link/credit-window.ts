/**
 * How much DATA may be on its way. Pure.
 *
 * Problem: whatever is handed to a transport cannot be overtaken any more, so a heartbeat behind
 * 8 MiB in the buffers of ssh, the kernel and a slow line is late by all of that.
 * Chosen: the receiver reports what it has used up (CREDIT); at most `windowBytes` are sent beyond
 * that. How long a byte waits for its credit, beyond the shortest such time ever seen, is time in a
 * queue. While that is below half of the target and the window is what holds data back, the window
 * grows; above the target it shrinks. So a fast or long line is filled and a slow one not clogged.
 *
 *   W1  credited <= sent
 *   W2  sent - credited <= max(windowBytes, one chunk)
 */
import { OperationError } from '../host/errors.ts';

export interface CreditWindowOptions {
  readonly initialBytes: number;
  readonly minBytes: number;
  readonly maxBytes: number;
  /** Time that a byte may spend queued, ms. */
  readonly targetDelayMs: number;
}

export const creditWindowDefaults: CreditWindowOptions = {
  initialBytes: 1024 * 1024,
  minBytes: 512 * 1024,
  maxBytes: 8 * 1024 * 1024,
  targetDelayMs: 100,
};

interface Mark {
  readonly sentBytes: number;
  readonly atMs: number;
}

export class CreditWindow {
  readonly #options: CreditWindowOptions;
  #windowBytes: number;
  #sentBytes = 0;
  #creditedBytes = 0;
  /** When each chunk went out; bounded by the window, since credited ones are dropped. */
  #marks: Mark[] = [];
  #shortestMs = Number.POSITIVE_INFINITY;
  #heldBack = false;
  /**
   * The window shrinks once per trip: credit for bytes sent before the last cut says nothing new.
   */
  #cutAtBytes = 0;

  constructor(options: CreditWindowOptions = creditWindowDefaults) {
    this.#options = options;
    this.#windowBytes = options.initialBytes;
  }

  get windowBytes(): number {
    return this.#windowBytes;
  }

  get inFlightBytes(): number {
    return this.#sentBytes - this.#creditedBytes;
  }

  /** True when a chunk of this size may go out now. A chunk may always go when nothing is out. */
  canSend(bytes: number): boolean {
    const inFlight = this.inFlightBytes;
    const can = inFlight === 0 || inFlight + bytes <= this.#windowBytes;
    if (!can) this.#heldBack = true;
    return can;
  }

  onSent(bytes: number, nowMs: number): void {
    this.#sentBytes += bytes;
    this.#marks.push({ sentBytes: this.#sentBytes, atMs: nowMs });
  }

  /** The peer's CREDIT; throws an OperationError `protocol` when it cannot be true. */
  onCredit(totalBytes: number, nowMs: number): void {
    if (totalBytes > this.#sentBytes || totalBytes < this.#creditedBytes) {
      throw new OperationError(
        'protocol',
        `protocol error in credit: field bytes is ${totalBytes}, ` +
          `must be from ${this.#creditedBytes} to ${this.#sentBytes}`,
        { op: 'read-message', subject: 'bytes' },
      );
    }
    this.#creditedBytes = totalBytes;
    let newest: Mark | undefined;
    while (this.#marks[0] !== undefined && this.#marks[0].sentBytes <= totalBytes) {
      newest = this.#marks.shift();
    }
    if (newest !== undefined) this.#adapt(nowMs - newest.atMs, newest.sentBytes);
  }

  #adapt(delayMs: number, markBytes: number): void {
    const { minBytes, maxBytes, targetDelayMs } = this.#options;
    this.#shortestMs = Math.min(this.#shortestMs, delayMs);
    const queuedMs = delayMs - this.#shortestMs;
    if (queuedMs > targetDelayMs && markBytes > this.#cutAtBytes) {
      this.#windowBytes = Math.max(minBytes, Math.floor(this.#windowBytes * 0.7));
      this.#cutAtBytes = this.#sentBytes;
    } else if (queuedMs < targetDelayMs / 2 && this.#heldBack) {
      this.#windowBytes = Math.min(maxBytes, Math.floor(this.#windowBytes * 1.05));
    }
    this.#heldBack = false;
  }
}
