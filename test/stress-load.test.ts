/** The load of `npm test -- --stress` (scripts/load.mjs). */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { isRunning, until } from './e2e/process.ts';

const load = join(import.meta.dirname, '../scripts/load.mjs');

/** Starts two processes, says their ids, and ends as told on its stdin: in order, or not. */
const starter = `
  import { startLoad } from ${JSON.stringify(load)};
  const { pids, end } = await startLoad(2);
  console.log(JSON.stringify(pids));
  process.stdin.once('data', async () => {
    await end();
    process.exit(0);
  });
`;

// Proves: nothing of the load outlives whoever started it: neither an end in order, nor Ctrl-C,
// nor a death without a last word.
it.each([
  ['ends it', (child: ReturnType<typeof spawn>) => child.stdin?.write('end\n')],
  ['is interrupted', (child: ReturnType<typeof spawn>) => child.kill('SIGINT')],
  ['is killed', (child: ReturnType<typeof spawn>) => child.kill('SIGKILL')],
] as const)('the load ends with a starter that %s', async (_how, end) => {
  const argv = ['--input-type=module', '-e', starter];
  const child = spawn(process.execPath, argv, { stdio: ['pipe', 'pipe', 'inherit'] });
  const gone = once(child, 'exit');
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  const pids = JSON.parse(said.toString()) as number[];
  expect(pids.filter(isRunning)).toHaveLength(2);
  end(child);
  await gone;
  await until('the load has ended', () => !pids.some(isRunning));
});
