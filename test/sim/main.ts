/**
 * The simulator's command line:
 *
 *     npm run sim -- --seeds N [--from K]     N runs, on every processor; exits 1 when one breaks
 *                                             a rule
 *     npm run sim -- --seed K [--verbose]     one run; --verbose prints its transcript
 *     npm run sim -- --mutants [--seeds N]    every deliberate bug must be caught within N seeds
 */
import { parseArgs } from 'node:util';
import { type Catch, huntMutants, mutantSeedsMax, runSeedsInParallel } from './campaign.ts';
import { realMachines } from './machines.ts';
import { planOf } from './plan.ts';
import { huntShellMutants, shellSeedsMax } from './shell-hunt.ts';
import { type RunResult, runWorld } from './world.ts';

/** Transcripts of failing seeds that are printed in full. */
const transcriptsMax = 3;

const seedsDefault = 1_000;

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function table(counts: Readonly<Record<string, number>>): string {
  const lines = Object.entries(counts).map(
    ([key, count]) => `${String(count).padStart(8)}  ${key}`,
  );
  return lines.length === 0 ? '    none' : lines.join('\n');
}

async function printRun(seed: number, isVerbose: boolean): Promise<RunResult> {
  const result = await runWorld(seed, realMachines, isVerbose);
  if (isVerbose) {
    const { config } = planOf(seed);
    print(`seed ${seed}: ${JSON.stringify(config)}`);
    for (const line of result.transcript) print(line);
  }
  const { violation, expected } = result;
  if (violation === null) print(`seed ${seed}: ${[result.ending, ...result.beside].join(', ')}`);
  else print(`seed ${seed}: ${expected ?? 'FAILED'}: ${violation.rule}: ${violation.text}`);
  return result;
}

async function runMany(from: number, count: number): Promise<number> {
  const startedMs = performance.now();
  const summary = await runSeedsInParallel(from, count);
  const seconds = (performance.now() - startedMs) / 1000;
  print(`endings:\n${table(summary.endings)}`);
  print(`expected with -n (nobody is there to pause the guest):\n${table(summary.expected)}`);
  const { failures, runs, steps } = summary;
  for (const [index, { seed }] of failures.entries()) {
    await printRun(seed, index < transcriptsMax);
  }
  const pace = `${Math.round(runs / seconds)} seeds/s, ${Math.round(steps / runs)} steps each`;
  print(`${runs - failures.length} passed, ${failures.length} failed (${pace})`);
  return failures.length === 0 ? 0 : 1;
}

async function runMutants(seedsMax: number): Promise<number> {
  const say = ({ mutant, seed, rule }: Catch): void => {
    const caught = seed === 0 ? 'unit test' : `seed ${seed}`;
    const verdict = seed === null ? `SURVIVED ${seedsMax} seeds` : caught;
    print(`${mutant.padEnd(58)} ${verdict.padEnd(12)} ${rule}`);
  };
  const ofMachines = await huntMutants(seedsMax);
  for (const one of ofMachines) say(one);
  const ofShell = await huntShellMutants(Math.min(seedsMax, shellSeedsMax), say);
  const catches = [...ofMachines, ...ofShell];
  const survivors = catches.filter(({ seed }) => seed === null).length;
  print(`${catches.length - survivors} caught, ${survivors} survived`);
  return survivors === 0 ? 0 : 1;
}

function wholeNumber(name: string, text: string | undefined, fallback: number): number {
  const value = text === undefined ? fallback : Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  process.stderr.write(`--${name} must be a whole number, not ${text}\n`);
  process.exit(64);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string' },
      from: { type: 'string' },
      seed: { type: 'string' },
      verbose: { type: 'boolean', default: false },
      mutants: { type: 'boolean', default: false },
    },
  });
  if (values.mutants) return runMutants(wholeNumber('seeds', values.seeds, mutantSeedsMax));
  if (values.seed !== undefined) {
    const result = await printRun(wholeNumber('seed', values.seed, 1), values.verbose);
    return result.violation === null || result.expected !== null ? 0 : 1;
  }
  const from = wholeNumber('from', values.from, 1);
  return runMany(from, wholeNumber('seeds', values.seeds, seedsDefault));
}

process.exitCode = await main();
