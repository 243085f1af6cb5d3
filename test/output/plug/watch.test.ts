/** What a real kernel tells of changes that somebody else makes, where this machine lets us. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { measuredInNamespace } from './in-namespace.ts';

// Proves: each removal is told and found though nobody looked: the filter, too, which the kernel
// frees only a while later; the action is turned back, the second hold and a device that is down
// are put back by the time it is told.
it('hears of what somebody takes away', async ({ skip }) => {
  const main = join(import.meta.dirname, 'watch-main.ts');
  const { skip: why, ...found } = await measuredInNamespace(main);
  skip(why !== undefined, `no real network: ${String(why)}`);
  expect(found).toEqual({
    ...{ turned: 'turned', turnedBack: 'tsr9.0b', back: '' },
    qdisc: expect.stringMatching(/^unredirected/),
    filter: expect.stringMatching(/^unredirected/),
    hold: expect.stringMatching(/^unredirected.* no-hold$/),
    down: expect.stringMatching(/^unredirected.* device-down$/),
    gone: expect.stringMatching(/^unredirected.* no-device$/),
    ours: 0,
  });
});
