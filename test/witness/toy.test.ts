/** The contract of witnesses: a toy keeps it, and each mistake that one could make breaks it. */
import { describe, expect, it } from 'vitest';
import { type Bench, clauses } from './contract.ts';
import { type Mistake, openToyWitness, ToyWitnessHost } from './toy.ts';

function bench(mistake: Mistake | null = null): Bench {
  const host = new ToyWitnessHost(mistake);
  const [primary, backup] = [openToyWitness(host), openToyWitness(host)];
  return {
    primary,
    backup,
    cut() {
      host.isUp = false;
    },
    heal() {
      host.isUp = true;
    },
    loseNextAnswer() {
      host.answersToLose = 1;
    },
    restart: async () => host.restart(),
    loseMemory: async () => host.loseMemory(),
    close() {
      for (const way of [primary, backup]) way.close();
    },
  };
}

describe('a witness', () => {
  it.each(clauses)('$name', async (clause) => {
    const made = bench();
    await clause.run(made);
    made.close();
  });
});

const mistakes: Readonly<Record<Mistake, true>> = {
  'the last one who asks has it': true,
  'any nonce will do': true,
  'a decision makes its registration': true,
  'told before it is durable': true,
  'told from memory': true,
  'anybody may give up': true,
  'whoever forgets, forgets all': true,
  'registered anew is undecided': true,
};

describe('the contract', () => {
  it.each(Object.keys(mistakes) as Mistake[])('finds: %s', async (mistake) => {
    const broken: string[] = [];
    for (const clause of clauses) {
      await clause.run(bench(mistake)).catch(() => broken.push(clause.name));
    }
    expect(broken).not.toEqual([]);
  });
});
