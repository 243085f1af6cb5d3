/** The second hold with real frames, where this machine lets us. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { measuredInNamespace } from './in-namespace.ts';

// Proves: what is redirected comes back past the second hold, and not one frame gets out when the
// ingress qdisc goes under a stream of them, nor after; that without the hold they do get out is
// what shows it. It can be removed twice, and made anew.
it('lets nothing out where the redirect is taken away', async ({ skip }) => {
  const main = join(import.meta.dirname, 'hold-main.ts');
  const { skip: why, ...found } = await measuredInNamespace(main);
  skip(why !== undefined, `no real frames: ${String(why)}`);
  expect(found).toEqual({
    ...{ redirected: 20, bare: 0, raced: true, escaped: 0 },
    ...{ open: 20, again: 0, gone: 20 },
  });
});
