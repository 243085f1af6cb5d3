/**
 * Goal: the proof that the tests see the shell: every deliberate bug in the sources that ship is
 * caught, by the simulator or by the unit test that is named for it.
 */
import { describe, expect, it } from 'vitest';
import { realMachines } from './machines.ts';
import { planOf } from './plan.ts';
import { huntShellMutants, shellSeedsMax } from './shell-hunt.ts';
import { shellMutants } from './shell-mutants.ts';
import { mutated } from './source-mutation.ts';
import { runPlan } from './world.ts';

describe('the mutants of the shell', () => {
  it('are many, and each has a name of its own', () => {
    const names = new Set(shellMutants.map(({ name }) => name));
    expect(names.size).toBe(shellMutants.length);
    expect(names.size).toBeGreaterThanOrEqual(50);
  });

  // A source that changed has to be mutated anew.
  it.each(shellMutants)('stand in the sources, once: $name', (mutant) => {
    expect(mutated(mutant)).not.toBe('');
  });

  it('are caught in plans that break no rule without them', async () => {
    for (const { name, by } of shellMutants) {
      if (typeof by === 'string' || by.tweak === undefined) continue;
      for (let seed = by.seed; seed < by.seed + 8; seed += 1) {
        const { violation, expected } = await runPlan(by.tweak(planOf(seed)), realMachines);
        expect(expected === null ? violation : null, `${name}, seed ${seed}`).toBeNull();
      }
    }
  });

  it('are all caught', async () => {
    const survivors = (await huntShellMutants(shellSeedsMax)).filter(({ seed }) => seed === null);
    expect(survivors).toEqual([]);
  });
});
