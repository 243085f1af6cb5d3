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

const vitest = await startVitest('test', [file], { watch: false }, { plugins: [plugin] });
await vitest.close();
