/**
 * Goal: a few hundred runs with every commit, and the proof that the checker sees.
 * `npm run sim -- --seeds 10000` runs more of the same.
 */
import { describe, expect, it } from 'vitest';
import { huntMutants, mutantSeedsMax, runSeeds } from './campaign.ts';
import { realMachines } from './machines.ts';
import { mutants } from './mutants.ts';
import { planOf } from './plan.ts';
import { runPlan, runWorld } from './world.ts';

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

  it('breaks no rule in the plans that are made for rare mutants', { timeout: 600_000 }, () => {
    const all = mutants.flatMap(({ tweak }) => (tweak === undefined ? [] : [tweak]));
    const tweaks = new Set(all);
    expect(tweaks.size).toBeGreaterThan(5);
    for (const tweak of tweaks) {
      for (let seed = 1; seed <= 60; seed += 1) {
        const { violation, expected } = runPlan(tweak(planOf(seed)), realMachines);
        expect(expected === null ? violation : null, `seed ${seed}`).toBeNull();
      }
    }
  });

  it('catches every mutant', { timeout: 600_000 }, () => {
    const survivors = huntMutants(mutantSeedsMax).filter(({ seed }) => seed === null);
    expect(survivors).toEqual([]);
  });
});
