/**
 * Goal: the proof that the tests see the shell: every deliberate bug in the sources that ship is
 * caught, by the simulator or by the unit test that is named for it.
 */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { currentCommit } from '../lab/results.ts';
import { realMachines } from './machines.ts';
import { planOf } from './plan.ts';
import { huntShellMutants, shellSeedsMax } from './shell-hunt.ts';
import { shellMutants } from './shell-mutants.ts';
import { mutated } from './source-mutation.ts';
import { runPlan } from './world.ts';

/** Whose turn it is follows from the commit's hash, as in the lab. */
const turns = 8;
const turn = createHash('sha256').update(currentCommit()).digest().readUInt32LE(0) % turns;

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

  // Each is a build and a run of its own; `npm run sim -- --mutants` hunts them all.
  it(`are caught: those whose turn it is, one in ${turns}`, async () => {
    const wanted = shellMutants.filter((_, index) => index % turns === turn);
    const catches = await huntShellMutants(shellSeedsMax, () => {}, wanted);
    expect(catches.filter(({ seed }) => seed === null)).toEqual([]);
  });
});
