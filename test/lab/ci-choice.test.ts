/** Which lab tests CI runs on a commit; no lab is needed. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
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
