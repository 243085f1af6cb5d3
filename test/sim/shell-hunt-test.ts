/** Runs a unit test with one deliberate bug in the sources: NAME FILE. */
import { startVitest } from 'vitest/node';
import { shellMutants } from './shell-mutants.ts';
import { mutated, mutatedPath } from './source-mutation.ts';

const [name, file = ''] = process.argv.slice(2);
const mutant = shellMutants.find((one) => one.name === name);
if (mutant === undefined) throw new Error(`no such mutant: ${name}`);

const plugin = {
  name: 'mutation',
  enforce: 'pre',
  load: (id: string) => (id === mutatedPath(mutant) ? mutated(mutant) : null),
} as const;

// One failed test catches it.
const options = { watch: false, bail: 1 };
const vitest = await startVitest('test', [file], options, { plugins: [plugin] });
await vitest.close();
