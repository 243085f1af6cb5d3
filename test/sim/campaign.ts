/** Many runs: what came out of them, counted; and the hunt for mutants. */
import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Part } from './campaign-part.ts';
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

/** Seeds that a process is sent at a time. */
const partSeeds = 50;

/** The same by a process on each processor. Rejects where one of them ends by itself. */
export async function runSeedsInParallel(from: number, count: number): Promise<Summary> {
  const parts: Part[] = [];
  for (let at = 0; at < count; at += partSeeds) {
    parts.push({ from: from + at, count: Math.min(partSeeds, count - at) });
  }
  const wanted = Math.min(availableParallelism(), parts.length);
  return merged((await Promise.all(Array.from({ length: wanted }, () => takeParts(parts)))).flat());
}

/** A process takes the next of `parts`, which others take from too, until none is left. */
function takeParts(parts: Part[]): Promise<Summary[]> {
  const path = fileURLToPath(new URL('campaign-part.ts', import.meta.url));
  const child = fork(path, { serialization: 'advanced' });
  const summaries: Summary[] = [];
  const next = (): void => {
    const part = parts.shift();
    if (part === undefined) child.disconnect();
    else child.send(part);
  };
  return new Promise((resolve, reject) => {
    child.on('message', (summary: Summary) => {
      summaries.push(summary);
      next();
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      if (code === 0) resolve(summaries);
      else reject(new Error(`a process of the simulator ended with ${signal ?? code}`));
    });
    next();
  });
}

function merged(summaries: readonly Summary[]): Summary {
  const total = (of: (one: Summary) => number): number =>
    summaries.reduce((sum, one) => sum + of(one), 0);
  const counted = (of: (one: Summary) => Readonly<Record<string, number>>) => {
    const counts = new Map<string, number>();
    for (const [key, count] of summaries.flatMap((one) => Object.entries(of(one)))) {
      add(counts, key, count);
    }
    return sorted(counts);
  };
  return {
    runs: total(({ runs }) => runs),
    steps: total(({ steps }) => steps),
    endings: counted(({ endings }) => endings),
    expected: counted(({ expected }) => expected),
    failures: summaries.flatMap(({ failures }) => failures).sort((a, b) => a.seed - b.seed),
  };
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

function add(counts: Map<string, number>, key: string, count = 1): void {
  counts.set(key, (counts.get(key) ?? 0) + count);
}

function sorted(counts: Map<string, number>): Record<string, number> {
  const entries = [...counts].sort(([a, m], [b, n]) => n - m || a.localeCompare(b));
  return Object.fromEntries(entries);
}
