import { describe, expect, it } from 'vitest';
import { InOrder } from '../../../src/stream/codec/in-order.ts';

/** A promise that the test settles. */
function gate() {
  let open = () => {};
  let fail = (_: Error) => {};
  const promise = new Promise<void>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { promise, open, fail };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('a lane', () => {
  it('starts tasks in order, no more than its number at a time', async () => {
    const lane = new InOrder(2);
    const gates = [gate(), gate(), gate(), gate()];
    const started: number[] = [];
    const all = gates.map(({ promise }, i) =>
      lane.run(() => {
        started.push(i);
        return promise;
      }),
    );
    await turn();
    expect(started).toEqual([0, 1]);
    gates[1]?.open();
    await turn();
    expect(started).toEqual([0, 1, 2]);
    for (const { open } of gates) open();
    await Promise.all(all);
    expect(started).toEqual([0, 1, 2, 3]);
  });

  it('settles tasks in order, whichever is done first, and failures too', async () => {
    const lane = new InOrder(3);
    const gates = [gate(), gate(), gate()];
    const settled: string[] = [];
    gates.forEach(({ promise }, i) => {
      lane
        .run(() => promise)
        .then(
          () => settled.push(`${i} done`),
          () => settled.push(`${i} failed`),
        );
    });
    gates[2]?.open();
    gates[1]?.fail(new Error('no'));
    await turn();
    expect(settled).toEqual([]);
    gates[0]?.open();
    await turn();
    expect(settled).toEqual(['0 done', '1 failed', '2 done']);
  });

  it('is idle when the last task has settled, even if it failed', async () => {
    const lane = new InOrder(1);
    const { promise, fail } = gate();
    const task = lane.run(() => promise);
    task.catch(() => undefined);
    let idle = false;
    const waiting = lane.idle().then(() => {
      idle = true;
    });
    await turn();
    expect(idle).toBe(false);
    fail(new Error('no'));
    await waiting;
  });
});
