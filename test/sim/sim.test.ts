/**
 * Goal: a few hundred runs with every commit. `npm run sim -- --seeds 10000` runs more of the same.
 */
import { describe, expect, it } from 'vitest';
import { runSeeds } from './campaign.ts';
import { realMachines } from './machines.ts';
import { planOf } from './plan.ts';
import { runPlan, runWorld } from './world.ts';

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
      expect(first.transcript.length).toBeGreaterThan(1);
    }
  });

  // Proves: between HELLO and CONFIG nobody beats; a receive whose primary is gone ends by itself.
  it('lets go of a session whose primary dies before CONFIG', async () => {
    for (const seed of [3, 4, 5]) {
      const trigger = { kind: 'call', host: 'a', what: 'send config', count: 1 } as const;
      const fault = { kind: 'crash', host: 'a', rebootMs: null } as const;
      const plan = { ...planOf(seed), faults: [{ trigger, fault }], cleansUp: false };
      const { violation, transcript } = await runPlan(plan, realMachines, true);
      expect(violation).toBeNull();
      expect(transcript.join('\n')).toMatch(/sent no CONFIG within 120 s/);
    }
  });

  it('hashes all that happens: another seed has another hash', async () => {
    const { hash } = await runWorld(17, realMachines);
    expect((await runWorld(18, realMachines)).hash).not.toBe(hash);
  });
});
