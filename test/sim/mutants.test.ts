/** Goal: the proof that the checker sees: it catches every deliberate bug, and nothing else. */
import { describe, expect, it } from 'vitest';
import { huntMutants, mutantSeedsMax } from './campaign.ts';
import { realMachines } from './machines.ts';
import { mutants } from './mutants.ts';
import { planOf } from './plan.ts';
import { runPlan } from './world.ts';

/** Some hundred thousand plans: on a machine with other work to do they take ten times as long. */
const timeout = 3_000_000;

describe('the checker', { timeout }, () => {
  it('breaks no rule in the plans that are made for rare mutants', async () => {
    const all = mutants.flatMap(({ tweak }) => (tweak === undefined ? [] : [tweak]));
    const tweaks = new Set(all);
    expect(tweaks.size).toBeGreaterThan(5);
    for (const tweak of tweaks) {
      for (let seed = 1; seed <= 40; seed += 1) {
        const { violation, expected } = await runPlan(tweak(planOf(seed)), realMachines);
        expect(expected === null ? violation : null, `seed ${seed}`).toBeNull();
      }
    }
  });

  // Each from the seed on that is known to lead to its rare coincidence (Mutant.fromSeed).
  it('catches every mutant', async () => {
    const survivors = (await huntMutants(mutantSeedsMax)).filter(({ seed }) => seed === null);
    expect(survivors).toEqual([]);
  });
});
