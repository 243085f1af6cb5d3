/** When a session looks at its machine. */
import { expect, it } from 'vitest';
import { WakeTimer } from '../../src/session/wake-timer.ts';

/** A clock that the test moves, with the timers that hang on it. */
function world() {
  let nowMs = 1000;
  const waiting = new Map<object, { atMs: number; run: () => void }>();
  const woken: number[] = [];
  const timer = new WakeTimer({
    clock: { nowMs: () => nowMs },
    timers: {
      after(delayMs, run) {
        const key = {};
        waiting.set(key, { atMs: nowMs + delayMs, run });
        return () => void waiting.delete(key);
      },
      soon: () => () => {},
    },
    minMs: 5,
    maxMs: 100,
    onWake: () => woken.push(nowMs),
  });
  const passTo = (toMs: number) => {
    nowMs = toMs;
    for (const [key, { atMs, run }] of [...waiting]) {
      if (atMs > nowMs || !waiting.delete(key)) continue;
      run();
    }
  };
  return { timer, woken, waiting, passTo };
}

// Proves: a time that comes closer is kept, whatever the timer was set for before. Without it a
// session with -i 10 took a checkpoint every 100 ms.
it('fires at the earliest time that was asked for', () => {
  const { timer, woken, waiting, passTo } = world();
  timer.wakeAt(1090);
  timer.wakeAt(1020);
  timer.wakeAt(1050);
  expect(waiting.size).toBe(1);
  passTo(1019);
  expect(woken).toEqual([]);
  passTo(1020);
  expect(woken).toEqual([1020]);
  passTo(1200);
  expect(woken).toEqual([1020]);
});

it('keeps within its bounds', () => {
  const { timer, woken, passTo } = world();
  timer.wakeAt(900);
  passTo(1004);
  expect(woken).toEqual([]);
  passTo(1005);
  timer.wakeAt(null);
  passTo(1104);
  expect(woken).toEqual([1005]);
  passTo(1105);
  expect(woken).toEqual([1005, 1105]);
});

it('fires no more once it was stopped', () => {
  const { timer, woken, waiting, passTo } = world();
  timer.wakeAt(1010);
  timer.stop();
  timer.stop();
  passTo(2000);
  expect([woken, waiting.size]).toEqual([[], 0]);
});
