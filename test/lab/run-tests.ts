/**
 * `npm run test:lab` and `npm run lab:soak`: the scenarios of scenarios/ on two real Xen hosts.
 *
 * Prints a line per scenario and `N passed, N failed` last. What failed is named with what was
 * expected and what was seen, and the logs of both hosts are kept in a folder. Without root or a
 * needed tool everything is skipped with the reason; under CI that is a failure.
 */
import { writeFileSync } from 'node:fs';
import { collectEvidence } from './evidence.ts';
import { isRunning } from './host.ts';
import { bootSeconds, down, type Lab, LabError, openLab, RefusedError } from './lab.ts';
import { waitForTurn } from './lock.ts';
import {
  currentCommit,
  figureRows,
  figureTable,
  ResultStore,
  scenarioTable,
  type TrialResult,
} from './results.ts';
import { Budget } from './scenarios/budget.ts';
import { chooseForCi, turns } from './scenarios/ci-choice.ts';
import { chooseScenarios, scenarios } from './scenarios/index.ts';
import { randomOf } from './scenarios/random.ts';
import type { Scenario } from './scenarios/scenario.ts';
import { Trial } from './scenarios/trial.ts';
import { hostIds } from './settings.ts';
import { parseTestOptions, type TestOptions } from './test-options.ts';

const inCi = Boolean(process.env['CI']);
const begunMs = Date.now();

function say(text: string): void {
  const seconds = ((Date.now() - begunMs) / 1000).toFixed(1).padStart(7);
  console.log(`${seconds} s  ${text}`);
}

/** Of CI's own; without a limit it never ends. */
let budget = new Budget(Number.POSITIVE_INFINITY);
/** How long the last boots of a host took. */
const lastBoot = () => Math.max(0, ...bootSeconds.slice(-2));

/** The work, given up when CI has no more time for it. */
function inTime(work: Promise<void>): Promise<void> {
  const leftMs = budget.overdueMs - Date.now();
  if (leftMs === Number.POSITIVE_INFINITY) return work;
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(new LabError('given up: CI has no more time'));
    const timer = setTimeout(giveUp, Math.max(0, leftMs));
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Whether a trial may begin: of the core as long as there is time, of the rest if it will do. */
function isTimeFor({ tier, seconds }: Scenario): boolean {
  const nowMs = Date.now();
  return tier === 'core' ? !budget.isOver(nowMs) : budget.fits(seconds, nowMs, lastBoot());
}

/** A trial that is void begins again; one that is void so often fails, whatever the machine. */
const attemptsMax = 3;

async function runTrial(
  lab: Lab,
  scenario: Scenario,
  index: number,
  options: TestOptions,
): Promise<TrialResult> {
  const voids: string[] = [];
  for (;;) {
    const { result, isVoid } = await attempt(lab, scenario, index, voids.length, options);
    if (isVoid === null) return { ...result, voids };
    voids.push(isVoid);
    say(`  VOID, ${isVoid}`);
    if (voids.length < attemptsMax) continue;
    const problems = [`void ${attemptsMax} times`, ...voids, ...result.problems];
    return { ...result, ok: false, problems, voids };
  }
}

async function attempt(
  lab: Lab,
  scenario: Scenario,
  index: number,
  attempts: number,
  options: TestOptions,
): Promise<{ result: TrialResult; isVoid: string | null }> {
  const startMs = performance.now();
  const sequence = attempts === 0 ? '' : ` again ${attempts}`;
  const random = randomOf(options.seed, `${scenario.name} ${index}${sequence}`);
  const trial = new Trial(lab, random, options, (text) => say(`  ${text}`));
  try {
    await trial.begin();
    await inTime(scenario.run(trial, index));
  } catch (error) {
    trial.problems.push(error instanceof Error ? error.message : String(error));
  }
  let evidence: string | null = null;
  const keepEvidence = async () => {
    const name = `${scenario.name}-${index}`;
    evidence ??= await collectEvidence(lab, name, trial.beaconsSoFar, trial.problems);
  };
  const isVoid = await trial.voidBecause().catch(() => null);
  // Before `end` boots what is dead: the survivors' state is what tells.
  if (trial.problems.length > 0) await keepEvidence();
  const before = trial.problems.length;
  try {
    await trial.end();
  } catch (error) {
    trial.problems.push(error instanceof Error ? error.message : String(error));
  }
  if (trial.problems.length > 0) await keepEvidence();
  const result = {
    scenario: scenario.name,
    index,
    seed: options.seed,
    ok: trial.problems.length === 0,
    seconds: Math.round((performance.now() - startMs) / 100) / 10,
    problems: trial.problems,
    voids: [],
    evidence,
    figures: trial.figures,
  };
  // Whatever a machine is like, never do two hosts speak: what the end finds is never void.
  return { result, isVoid: trial.problems.length > before ? null : isVoid };
}

/** Which trials of a scenario are meant, by their index. */
function trialsOf(scenario: Scenario, options: TestOptions): readonly number[] {
  if (options.ci && options.runs === null) return chooseForCi(currentCommit()).trialsOf(scenario);
  const wanted = options.runs ?? (options.soak ? scenario.trials.soak : scenario.trials.ci);
  // One that was named is meant to run.
  return Array.from({ length: Math.max(1, wanted) }, (_, index) => index);
}

/** What CI runs on this commit, said. */
function chosenForCi(): readonly Scenario[] {
  const { turn, core, chosen, left } = chooseForCi(currentCommit());
  const namesOf = (some: readonly Scenario[]) => some.map(({ name }) => name).join(', ');
  say(`the core, on every commit: ${namesOf(core)}`);
  say(`in turn, by the commit's hash (${turn + 1} of ${turns}): ${namesOf(chosen)}`);
  say(`left for other commits: ${namesOf(left)}`);
  return [...core, ...chosen];
}

/** All trials of a scenario that are not done yet; the answer is all that are. */
async function runScenario(
  lab: Lab,
  scenario: Scenario,
  options: TestOptions,
  store: ResultStore | null,
): Promise<TrialResult[]> {
  const trials = trialsOf(scenario, options);
  say(`${scenario.name}: ${scenario.proves}`);
  const results: TrialResult[] = [];
  for (const [number, index] of trials.entries()) {
    let result = store?.find(scenario.name, index);
    if (result === undefined && !isTimeFor(scenario)) continue;
    if (result === undefined) {
      result = await runTrial(lab, scenario, index, options);
      budget.ran(scenario.seconds, result.seconds);
      store?.add(result);
      const outcome = result.ok ? 'ok' : `FAILED, logs in ${result.evidence}`;
      say(`  trial ${number + 1} of ${trials.length}: ${outcome} (${result.seconds} s)`);
    }
    results.push(result);
  }
  if (results.length < trials.length) {
    const which = `${trials.length - results.length} of ${trials.length} trials`;
    console.log(`left ${scenario.name}: ${which}, there is no time for them`);
  }
  if (results.length === 0) return [];
  const seconds = results.reduce((sum, { seconds: s }) => sum + s, 0).toFixed(0);
  const failed = results.filter((result) => !result.ok);
  if (failed.length === 0) console.log(`ok ${scenario.name} (${seconds} s)`);
  for (const { problems, evidence, index } of failed) {
    const reason = problems.join('\n    ');
    console.log(`FAILED ${scenario.name}: trial ${index + 1}: ${reason}\n    logs: ${evidence}`);
  }
  return results;
}

async function runAll(lab: Lab, chosen: readonly Scenario[], options: TestOptions) {
  await lab.install();
  const commit = currentCommit();
  const { images } = lab;
  const of = [images.suite, options.kind, options.vcpus];
  const store = options.soak ? new ResultStore(commit, of, options) : null;
  say(`${images.suite}, Xen ${images.hypervisor.version}, ${images.accelerator}`);
  say(`commit ${commit}; seed ${options.seed}`);
  if (store !== null) say(`results are kept in ${store.path}: ${store.results.length} so far`);
  const results: TrialResult[] = [];
  for (const scenario of chosen) {
    results.push(...(await runScenario(lab, scenario, options, store)));
  }
  return results;
}

interface Summary {
  readonly results: readonly TrialResult[];
  /** Why nothing was run. */
  readonly skipped: string | null;
}

/** The yardstick of all times above. */
function bootTimes(): string {
  if (bootSeconds.length === 0) return 'none was booted';
  const sorted = [...bootSeconds].sort((x, y) => x - y);
  const [median, worst] = [sorted[(sorted.length - 1) >> 1] ?? 0, sorted.at(-1) ?? 0];
  return `${median.toFixed(1)} s (median of ${sorted.length}, worst ${worst.toFixed(1)} s)`;
}

/** Writes the reports and prints the last lines; true when all is well. */
function report(chosen: readonly Scenario[], options: TestOptions, summary: Summary): boolean {
  const { results, skipped } = summary;
  const tests = chosen.map((scenario) => {
    const own = results.filter((result) => result.scenario === scenario.name);
    const reasons = own.flatMap((result) => result.problems);
    // What of the core CI had no time for was not shown, and no commit may pass without it.
    if (own.length === 0 && scenario.tier === 'core') reasons.push('not begun: no time was left');
    const begun = own.length > 0 || reasons.length > 0;
    const ran = !begun ? 'left' : reasons.length === 0 ? 'passed' : 'failed';
    const state = skipped !== null ? 'skipped' : ran;
    const seconds = own.reduce((sum, result) => sum + result.seconds, 0);
    return { name: scenario.name, state, trials: own.length, seconds, reasons };
  });
  const count = (state: string) => tests.filter((test) => test.state === state).length;
  const counts = {
    passed: count('passed'),
    failed: count('failed'),
    skipped: count('skipped'),
  };
  const seed = options.seed;
  const reportPath = process.env['TSREMUS_LAB_REPORT'];
  if (reportPath) {
    writeFileSync(reportPath, `${JSON.stringify({ ...counts, seed, tests }, null, 1)}\n`);
  }
  if (options.json !== null) {
    const all = {
      ...counts,
      seed,
      commit: currentCommit(),
      tests,
      figures: figureRows(results),
      bootSeconds,
    };
    writeFileSync(options.json, `${JSON.stringify({ ...all, results }, null, 1)}\n`);
  }
  if (results.length > 0) {
    console.log(`\n${scenarioTable(results)}\n\n${figureTable(results)}`);
    console.log(`\nthis machine boots a host in: ${bootTimes()}`);
  }
  for (const { name, state, trials, reasons } of tests) {
    if (state === 'failed' && trials === 0) console.log(`FAILED ${name}: ${reasons.join('; ')}`);
  }
  if (skipped !== null) console.log(`skipped: ${skipped}`);
  const failed = counts.failed + (inCi ? counts.skipped : 0);
  const tail = counts.skipped > 0 && !inCi ? `, ${counts.skipped} skipped` : '';
  console.log(`\n${counts.passed} passed, ${failed} failed${tail}`);
  return failed === 0;
}

async function main(): Promise<boolean> {
  const options = parseTestOptions(process.argv.slice(2));
  if (options.list) {
    for (const { name, tier, proves } of scenarios) {
      console.log(`${name.padEnd(24)}${tier.padEnd(6)}${proves}`);
    }
    return true;
  }
  if (options.minutes !== null) budget = new Budget(begunMs + options.minutes * 60_000);
  const chosen = options.ci
    ? chosenForCi()
    : chooseScenarios(options.names, options.soak, options.kind);
  await waitForTurn(say);
  // A lab that was up before belongs to somebody who wants it up.
  const keep = options.keep || (!inCi && hostIds.some(isRunning));
  let lab: Lab;
  try {
    lab = await openLab(options.soak ? 'soak' : 'lab tests', say, options);
  } catch (error) {
    if (!(error instanceof LabError) || error instanceof RefusedError) throw error;
    const hint = error.hint === undefined ? '' : `; try: ${error.hint}`;
    return report(chosen, options, { results: [], skipped: `${error.message}${hint}` });
  }
  let results: TrialResult[];
  try {
    results = await runAll(lab, chosen, options);
  } finally {
    lab.close();
    if (!keep) await down();
  }
  return report(chosen, options, { results, skipped: null });
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  if (error instanceof LabError && error.hint) console.error(error.hint);
  process.exitCode = 1;
}
