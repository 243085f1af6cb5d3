/**
 * The redirect of a kernel without cls_matchall, with real frames, where this machine lets us.
 */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { errorText } from '../../../src/host/errors.ts';
import { run } from '../../../src/host/runner.ts';

const main = join(import.meta.dirname, 'redirect-main.ts');

/** What redirect-main.ts says, run where it can disturb nobody; or why it cannot be run. */
async function measured(way: string): Promise<Record<string, unknown>> {
  const unshare = ['unshare', '--net', '--mount', 'sh', '-c'];
  // sysfs shows the devices of the namespace in which it was mounted.
  const inside = 'mount -t sysfs sysfs /sys && exec "$@"';
  // Only a hang takes as long.
  const bounds = { timeoutMs: 500_000 };
  try {
    await run([...unshare, inside, 'sh', 'true'], bounds);
  } catch (error) {
    return { skip: errorText(error) };
  }
  const node = [process.execPath, '--import', 'tsx', main, way];
  return JSON.parse((await run([...unshare, inside, 'sh', ...node], bounds)).stdout);
}

// Proves: u32 takes frames of every kind, the shortest, too; the action below it is turned at a
// barrier, whoever tells the kernel; and at the end nothing of it is left and frames go the
// straight way.
it.for(['netlink', 'tc'])(
  'takes every frame with u32, is turned by %s, and goes',
  async (way, { skip }) => {
    const { skip: why, ...found } = await measured(way);
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
