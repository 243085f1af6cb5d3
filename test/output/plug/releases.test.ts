/** Releases off the main thread: order, what goes in one, and who waits for them. */
import { expect, it } from 'vitest';
import { Releases } from '../../../src/output/plug/releases.ts';

/** A kernel that is done with a release when it is told. */
function slowKernel() {
  const begun: number[] = [];
  const ends: ((error?: Error) => void)[] = [];
  const releases = new Releases((epoch) => {
    begun.push(epoch);
    return new Promise((resolve, reject) => {
      ends.push((error) => (error === undefined ? resolve() : reject(error)));
    });
  });
  return { releases, begun, ends };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

it('go one at a time, and what waits goes in one, up to the newest', async () => {
  const { releases, begun, ends } = slowKernel();
  const done: number[] = [];
  for (const epoch of [1, 2, 4, 3]) void releases.upTo(epoch).then(() => done.push(epoch));
  await turn();
  expect(begun).toEqual([4]);
  void releases.upTo(5).then(() => done.push(5));
  void releases.upTo(6).then(() => done.push(6));
  await turn();
  expect([begun, done]).toEqual([[4], []]);
  ends[0]?.();
  await turn();
  expect([begun, done]).toEqual([
    [4, 6],
    [1, 2, 4, 3],
  ]);
  ends[1]?.();
  await turn();
  expect(done).toEqual([1, 2, 4, 3, 5, 6]);
});

it('that fail say so to who asked, and stop nobody behind them', async () => {
  const { releases, begun, ends } = slowKernel();
  const failed = releases.upTo(1).catch((error: Error) => error.message);
  await turn();
  const next = releases.upTo(2);
  ends[0]?.(new Error('the kernel refuses'));
  expect(await failed).toBe('the kernel refuses');
  await turn();
  ends[1]?.();
  await next;
  expect(begun).toEqual([1, 2]);
});

it('are waited for', async () => {
  const { releases, ends } = slowKernel();
  let isIdle = false;
  await releases.idle();
  void releases.upTo(1);
  await turn();
  void releases.upTo(2);
  void releases.idle().then(() => {
    isIdle = true;
  });
  ends[0]?.();
  await turn();
  expect(isIdle).toBe(false);
  ends[1]?.();
  await turn();
  expect(isIdle).toBe(true);
});
