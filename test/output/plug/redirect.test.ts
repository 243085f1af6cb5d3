/**
 * The redirect of a kernel without cls_matchall, with real frames, where this machine lets us.
 */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { measuredInNamespace } from './in-namespace.ts';

const main = join(import.meta.dirname, 'redirect-main.ts');

// Proves: u32 takes frames of every kind, the shortest, too; the action below it is turned at a
// barrier, whoever tells the kernel; and at the end nothing of it is left and frames go the
// straight way.
it.for(['netlink', 'tc'])(
  'takes every frame with u32, is turned by %s, and goes',
  async (way, { skip }) => {
    const { skip: why, ...found } = await measuredInNamespace(main, way);
    skip(why !== undefined, `no real frames: ${String(why)}`);
    expect(found).toEqual({
      kinds: 15,
      missed: { toFirst: [], toSecond: [], gone: [] },
      late: 0,
      left: [],
      news: ['this kernel has no cls_matchall: u32 takes every frame instead'],
    });
  },
);
