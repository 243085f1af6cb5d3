import { describe, expect, it } from 'vitest';
import { CreditWindow, creditWindowDefaults } from '../../src/link/credit-window.ts';
import { operationError } from './support.ts';

const kib = 1024;
const chunk = 64 * kib;
const options = {
  initialBytes: 256 * kib,
  minBytes: 128 * kib,
  maxBytes: 1024 * kib,
  targetDelayMs: 50,
};

/**
 * Sends as much as the window lets through over a line with this rate and one-way time, for a
 * while; returns the window at the end and the longest time that a byte was queued.
 */
function drive(window: CreditWindow, bytesPerMs: number, tripMs: number, untilMs: number) {
  const queue: { readonly arrivesMs: number; readonly total: number }[] = [];
  let lineFreeMs = 0;
  let total = 0;
  let queuedMs = 0;
  for (let nowMs = 0; nowMs < untilMs; nowMs++) {
    while (window.canSend(chunk)) {
      window.onSent(chunk, nowMs);
      total += chunk;
      queuedMs = nowMs > untilMs / 2 ? Math.max(queuedMs, lineFreeMs - nowMs) : 0;
      lineFreeMs = Math.max(lineFreeMs, nowMs) + chunk / bytesPerMs;
      queue.push({ arrivesMs: lineFreeMs + 2 * tripMs, total });
    }
    while (queue[0] !== undefined && queue[0].arrivesMs <= nowMs) {
      window.onCredit(queue[0].total, nowMs);
      queue.shift();
    }
  }
  return { windowBytes: window.windowBytes, queuedMs, bytesPerMs: total / untilMs };
}

describe('CreditWindow', () => {
  it('W2: lets no more out than the window, and one chunk always', () => {
    const window = new CreditWindow(options);
    expect(window.canSend(10 * 1024 * kib)).toBe(true);
    for (let sent = 0; sent < 4; sent++) {
      expect(window.canSend(chunk)).toBe(true);
      window.onSent(chunk, 0);
    }
    expect(window.canSend(1)).toBe(false);
    window.onCredit(chunk, 1);
    expect(window.inFlightBytes).toBe(3 * chunk);
    expect(window.canSend(chunk)).toBe(true);
  });

  it.each([
    ['more than was sent', 2 * chunk],
    ['less than before', chunk / 2 - 1],
  ])('W1: refuses credit for %s', async (_what, bytes) => {
    const window = new CreditWindow(options);
    window.onSent(chunk, 0);
    window.onCredit(chunk / 2, 1);
    const error = await operationError(() => window.onCredit(bytes, 2));
    expect(error.code).toBe('protocol');
    expect(error.message).toMatch(/field bytes is \d+, must be from 32768 to 65536/);
  });

  it('grows until a long fast line is full', () => {
    // 100 MB/s and 5 ms each way hold 1 MB.
    const { bytesPerMs, windowBytes } = drive(new CreditWindow(options), 100_000, 5, 4000);
    expect(windowBytes).toBe(options.maxBytes);
    expect(bytesPerMs).toBeGreaterThan(80_000);
  });

  it('keeps the queue of a slow line short', () => {
    // 4 MB/s: the default window of 1 MiB would queue for 250 ms.
    const window = new CreditWindow(creditWindowDefaults);
    const { bytesPerMs, queuedMs } = drive(window, 4000, 1, 10_000);
    expect(bytesPerMs).toBeGreaterThan(3900);
    expect(queuedMs).toBeLessThan(2 * creditWindowDefaults.targetDelayMs);
  });

  it('stays within its limits', () => {
    const window = new CreditWindow(options);
    const { windowBytes } = drive(window, 100, 1, 20_000);
    expect(windowBytes).toBeGreaterThanOrEqual(options.minBytes);
  });
});
