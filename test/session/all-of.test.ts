/** Works that are under way at the same time. */
import { expect, it } from 'vitest';
import { allOf } from '../../src/session/all-of.ts';

// Proves: the failure that came first is told, after everything has settled; a connection that is
// still being made is neither left behind nor waited for in full.
it('rejects with the first failure once all have settled', async () => {
  let giveUp: () => void = () => {};
  let settled = false;
  const slow = new Promise<void>((_, reject) => {
    giveUp = () => reject(new Error('gave up'));
  }).finally(() => {
    settled = true;
  });
  const broken = Promise.reject(new Error('the guard did not start'));
  const all = allOf([slow, broken], () => giveUp());
  await expect(all).rejects.toThrow('the guard did not start');
  expect(settled).toBe(true);
});

it('resolves when all have, and gives nothing up', async () => {
  let given = 0;
  await allOf([Promise.resolve(), Promise.resolve()], () => {
    given += 1;
  });
  expect(given).toBe(0);
});
