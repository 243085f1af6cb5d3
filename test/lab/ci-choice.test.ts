/** Which lab tests CI runs on a commit; no lab is needed. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Budget } from './scenarios/budget.ts';
import { chooseForCi, turnCommits, turns } from './scenarios/ci-choice.ts';
import { scenarios } from './scenarios/index.ts';
import { kinds, rules, type Scenario } from './scenarios/scenario.ts';

/** As git names commits, one after the other. */
const commits = Array.from({ length: 5_000 }, (_, number) =>
  createHash('sha1').update(`commit ${number}`).digest('hex').slice(0, 12),
);
const choices = commits.map((commit) => chooseForCi(commit));
const namesOf = (some: readonly Scenario[]) => some.map(({ name }) => name);

describe('the core', () => {
  const { core } = chooseForCi('any');

  // Proves: no commit passes CI without a trial of each rule and of each leading kind.
  it.each([...Object.keys(rules), ...Object.keys(kinds)])('has a test for %s', (name) => {
    const showing = core.filter(({ shows }) => shows.some((shown) => shown === name));
    const trials = showing.flatMap((scenario) => chooseForCi('any').trialsOf(scenario));
    expect(trials.length).toBeGreaterThan(0);
  });

  // Proves: on a machine two thirds as quick as a quiet one it has its 30 minutes.
  it('takes twenty minutes on a quiet machine', () => {
    for (const choice of choices.slice(0, 100)) {
      const times = core.map((scenario) => choice.trialsOf(scenario).length * scenario.seconds);
      expect(times.reduce((sum, seconds) => sum + seconds)).toBeLessThanOrEqual(21 * 60);
    }
  });

  it('is the same on every commit', () => {
    for (const choice of choices.slice(0, 100)) expect(choice.core).toEqual(core);
  });
});

describe('the rest', () => {
  const rest = scenarios.filter(({ tier }) => tier === 'turn');

  it('is chosen by the hash alone', () => {
    for (const [index, commit] of commits.slice(0, 100).entries()) {
      const again = chooseForCi(`${commit}-dirty`);
      expect(namesOf(again.chosen)).toEqual(namesOf(choices[index]?.chosen ?? []));
      for (const scenario of scenarios) {
        expect(again.trialsOf(scenario)).toEqual(choices[index]?.trialsOf(scenario));
      }
    }
  });

  it('is chosen or left, and nothing is both', () => {
    for (const { chosen, left } of choices.slice(0, 100)) {
      expect([...namesOf(chosen), ...namesOf(left)].sort()).toEqual(namesOf(rest).sort());
    }
  });

  // Proves: in nearly all rows of so many commits each one's turn comes, and none waits for ever.
  it(`has had its turn within ${turnCommits} commits`, () => {
    const rows = choices.slice(0, -turnCommits).map((_, from) => {
      const seen = choices.slice(from, from + turnCommits).flatMap(({ chosen }) => chosen);
      return new Set(seen).size === rest.length;
    });
    expect(rows.filter((isWhole) => !isWhole).length / rows.length).toBeLessThanOrEqual(1 / 500);
    expect(turns * (1 - 1 / turns) ** turnCommits).toBeLessThan(1 / 400);
  });
});

describe('the trials', () => {
  // Proves: where CI takes fewer trials than there are variants, each variant has its commits.
  it('of one scenario are all there are, over the commits', () => {
    for (const scenario of scenarios.filter(({ tier }) => tier !== 'soak')) {
      const seen = choices.flatMap((choice) => choice.trialsOf(scenario));
      const all = Array.from({ length: scenario.trials.ci }, (_, index) => index);
      expect([...new Set(seen)].sort(), scenario.name).toEqual(all);
    }
  });

  it('are none in CI only where the soak alone has it', () => {
    for (const { name, tier, trials } of scenarios) {
      expect(trials.ci === 0, name).toBe(tier === 'soak');
    }
  });
});

describe('the time that CI has', () => {
  const minute = 60_000;

  it('is for the core as long as there is any, and then for none', () => {
    const budget = new Budget(10 * minute);
    expect(budget.isOver(10 * minute - 1)).toBe(false);
    expect(budget.isOver(10 * minute)).toBe(true);
    expect(budget.overdueMs).toBeGreaterThan(10 * minute);
  });

  it('is for others when they end in time on this machine', () => {
    const budget = new Budget(10 * minute);
    expect(budget.fits(60, 9 * minute, 17)).toBe(true);
    expect(budget.fits(60, 9 * minute + 1, 17)).toBe(false);
    // It boots hosts three times as slowly.
    expect(budget.fits(60, 7 * minute, 51)).toBe(true);
    expect(budget.fits(60, 8 * minute, 51)).toBe(false);
    // Or it is quick there, and slow at what was run so far.
    budget.ran(60, 60);
    budget.ran(60, 300);
    expect(budget.slowness(17)).toBe(3);
    expect(budget.fits(60, 8 * minute, 17)).toBe(false);
    // A quicker one is not relied on.
    expect(new Budget(0).slowness(1)).toBe(1);
  });

  it('is without end where nobody set one', () => {
    const budget = new Budget(Number.POSITIVE_INFINITY);
    expect(budget.isOver(Number.MAX_SAFE_INTEGER)).toBe(false);
    expect(budget.fits(1e9, Number.MAX_SAFE_INTEGER, 1000)).toBe(true);
  });
});
