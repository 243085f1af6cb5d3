/** The program that is bundled with a bug in it: NAME FROM COUNT; says what caught the bug. */
import { realMachines } from './machines.ts';
import { planOf } from './plan.ts';
import { shellMutants } from './shell-mutants.ts';
import { runPlan } from './world.ts';

const [name, from, count] = process.argv.slice(2);
const mutant = shellMutants.find((one) => one.name === name);
const by = mutant?.by;
if (by === undefined || typeof by === 'string') throw new Error(`not for the simulator: ${name}`);

for (let seed = Number(from); seed < Number(from) + Number(count); seed += 1) {
  const plan = by.tweak?.(planOf(seed)) ?? planOf(seed);
  let caught: string | null = null;
  try {
    const { violation, expected } = await runPlan(plan, realMachines);
    if (violation !== null && expected === null) caught = `${violation.rule}: ${violation.text}`;
  } catch (error) {
    caught = `error: ${error instanceof Error ? error.message : String(error)}`;
  }
  if (caught === null) continue;
  process.stdout.write(`${seed} ${caught}\n`);
  break;
}
process.exit(0);
