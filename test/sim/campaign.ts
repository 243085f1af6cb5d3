/** Many runs: what came out of them, counted; and the hunt for mutants. */
import { realMachines } from './machines.ts';
import { type Mutant, mutants } from './mutants.ts';
import { planOf } from './plan.ts';
import { type RunResult, runPlan, runWorld } from './world.ts';

/** Seeds within which every mutant must be caught. */
export const mutantSeedsMax = 3_000;

export interface Summary {
  readonly runs: number;
  readonly steps: number;
  /** How the good runs ended. */
  readonly endings: Readonly<Record<string, number>>;
  /** What `-n` could not prevent. */
  readonly expected: Readonly<Record<string, number>>;
  readonly failures: readonly RunResult[];
}

/** Runs the seeds `from`, `from + 1`, ... */
export async function runSeeds(
  from: number,
  count: number,
  machines = realMachines,
): Promise<Summary> {
  const endings = new Map<string, number>();
  const expected = new Map<string, number>();
  const failures: RunResult[] = [];
  let steps = 0;
  for (let seed = from; seed < from + count; seed += 1) {
    const result = await runWorld(seed, machines);
    steps += result.steps;
    for (const ending of result.violation === null ? result.beside : []) add(endings, ending);
    if (result.violation === null) add(endings, result.ending);
    else if (result.expected !== null) add(expected, result.expected);
    else failures.push(result);
  }
  return { runs: count, steps, endings: sorted(endings), expected: sorted(expected), failures };
}

export interface Catch {
  readonly mutant: string;
  /** The first seed that caught it; 0: a unit test did; null: it survived. */
  readonly seed: number | null;
  readonly rule: string;
}

/** Each mutant against seeds, from its first one on, until one catches it; `seedsMax` at most. */
export async function huntMutants(seedsMax: number): Promise<Catch[]> {
  const catches: Catch[] = [];
  for (const mutant of mutants) catches.push(await hunt(mutant, seedsMax));
  return catches;
}

export async function hunt(mutant: Mutant, seedsMax: number): Promise<Catch> {
  const { fromSeed = 1 } = mutant;
  for (let seed = fromSeed; seed < fromSeed + seedsMax; seed += 1) {
    const plan = mutant.tweak?.(planOf(seed)) ?? planOf(seed);
    const { violation, expected } = await runPlan(plan, mutant.machines);
    if (violation === null || expected !== null) continue;
    if (mutant.rule !== undefined && violation.rule !== mutant.rule) continue;
    return { mutant: mutant.name, seed, rule: `${violation.rule}: ${violation.text}` };
  }
  return { mutant: mutant.name, seed: null, rule: '' };
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function sorted(counts: Map<string, number>): Record<string, number> {
  const entries = [...counts].sort(([a, m], [b, n]) => n - m || a.localeCompare(b));
  return Object.fromEntries(entries);
}
