/**
 * Goal: a few hundred runs with every commit. `npm run sim -- --seeds 10000` runs more of the same.
 */
import { describe, expect, it } from 'vitest';
import { runSeeds } from './campaign.ts';
import { realMachines } from './machines.ts';
import { runWorld } from './world.ts';

const seeds = 400;

describe('simulator', () => {
  const summary = runSeeds(1, seeds);

  it('breaks no rule', () => {
    const broken = summary.failures.map(({ seed, violation }) => ({ seed, ...violation }));
    expect(broken).toEqual([]);
  });

  it('ends in the same ways as before; what -n cannot prevent is counted', async () => {
    const { endings, expected } = summary;
    const text = `${JSON.stringify({ seeds, endings, expected }, null, 2)}\n`;
    await expect(text).toMatchFileSnapshot('testdata/endings.json');
  });

  it('is decided by its seed alone', () => {
    const first = runWorld(17, realMachines, true);
    const second = runWorld(17, realMachines, true);
    expect(second.transcript).toEqual(first.transcript);
    expect(first.transcript.length).toBeGreaterThan(10);
  });
});
