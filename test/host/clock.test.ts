/** The clock of leases: it goes on while the host is suspended, and never goes back. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { suspendProof, systemClock } from '../../src/host/clock.ts';

/** A host whose monotonic clock stands still in a suspend, as CLOCK_MONOTONIC does. */
function host() {
  let runMs = 1_000;
  let asleepMs = 50_000;
  const nowMs = suspendProof(
    () => runMs,
    () => Math.floor((runMs + asleepMs) / 10) * 10,
  );
  return {
    nowMs,
    run: (ms: number) => {
      runMs += ms;
    },
    suspend: (ms: number) => {
      asleepMs += ms;
    },
  };
}

describe('the clock', () => {
  it('goes on in a suspended host', () => {
    const { nowMs, run, suspend } = host();
    const beganMs = nowMs();
    run(500);
    expect(nowMs() - beganMs).toBe(500);
    suspend(60_000);
    run(10);
    expect(nowMs() - beganMs).toBeGreaterThanOrEqual(60_500);
    expect(nowMs() - beganMs).toBeLessThanOrEqual(60_520);
    suspend(5_000);
    run(10);
    expect(nowMs() - beganMs).toBeGreaterThanOrEqual(65_500);
  });

  it('is that of the kernel where nothing was suspended, and never goes back', () => {
    const steps = fc.array(fc.tuple(fc.nat(40), fc.constantFrom(0, 0, 0, 200, 3_600_000)));
    fc.assert(
      fc.property(steps, (all) => {
        const { nowMs, run, suspend } = host();
        const beganMs = nowMs();
        let beforeMs = beganMs;
        let [ranMs, asleepMs] = [0, 0];
        for (const [ms, sleepMs] of all) {
          run(ms);
          suspend(sleepMs);
          ranMs += ms;
          asleepMs += sleepMs;
          const atMs = nowMs();
          expect(atMs).toBeGreaterThanOrEqual(beforeMs);
          beforeMs = atMs;
        }
        run(10);
        const count = all.filter(([, sleepMs]) => sleepMs > 0).length;
        const awayMs = Math.abs(nowMs() - beganMs - ranMs - 10 - asleepMs);
        expect(awayMs).toBeLessThanOrEqual(10 * Math.min(1, count));
      }),
    );
  });

  it('of the system goes on', async () => {
    const beganMs = systemClock.nowMs();
    await new Promise((resolve) => setTimeout(resolve, 30));
    const tookMs = systemClock.nowMs() - beganMs;
    expect(tookMs).toBeGreaterThan(25);
  });
});
