/**
 * Goal: a few hundred runs with every commit. `npm run sim -- --seeds 10000` runs more of the same.
 */
import { describe, expect, it } from 'vitest';
import { runSeeds } from './campaign.ts';
import { realMachines } from './machines.ts';
import { runWorld } from './world.ts';

const seeds = 400;

const summary = await runSeeds(1, seeds);

describe('simulator', () => {
  it('breaks no rule', () => {
    const broken = summary.failures.map(({ seed, violation }) => ({ seed, ...violation }));
    expect(broken).toEqual([]);
  });

  it('ends in the same ways as before; what -n cannot prevent is counted', async () => {
    const { endings, expected } = summary;
    const text = `${JSON.stringify({ seeds, endings, expected }, null, 2)}\n`;
    await expect(text).toMatchFileSnapshot('testdata/endings.json');
  });

  it('is decided by its seed alone', async () => {
    for (let seed = 17; seed < 27; seed += 1) {
      const first = await runWorld(seed, realMachines, true);
      const second = await runWorld(seed, realMachines);
      expect(second.hash).toBe(first.hash);
      expect(second.steps).toBe(first.steps);
      expect(first.transcript.length).toBeGreaterThan(3);
    }
  });

  it('hashes all that happens: another seed has another hash', async () => {
    const { hash } = await runWorld(17, realMachines);
    expect((await runWorld(18, realMachines)).hash).not.toBe(hash);
  });
});
