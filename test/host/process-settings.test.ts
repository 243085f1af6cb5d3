import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { lowerOomScore } from '../../src/host/process-settings.ts';

const settings = join(import.meta.dirname, '../../src/host/process-settings.ts');

/** Fields of /proc/self/task/N/stat after the name: the 17th is the niceness (proc(5): 19th). */
const script = `
  import { readdirSync, readFileSync } from 'node:fs';
  import { readFile } from 'node:fs/promises';
  import { raisePriority } from ${JSON.stringify(settings)};
  await readFile('/proc/self/stat');
  const said = [];
  raisePriority((text) => said.push(text));
  const threads = readdirSync('/proc/self/task').map((thread) => {
    const stat = readFileSync('/proc/self/task/' + thread + '/stat', 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
  });
  console.log(JSON.stringify({ said, threads }));
`;

// Proves: no thread is left behind, neither one of libuv's nor one of V8's: the main one waits for
// them. Without the right to do so it is said once.
it('raises the priority of every thread, or says that it may not', () => {
  const out = execFileSync(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '-e', script],
    { encoding: 'utf8' },
  );
  const { said, threads } = JSON.parse(out) as { said: string[]; threads: number[] };
  expect(threads.length).toBeGreaterThan(4);
  if (said.length === 0) expect(new Set(threads)).toEqual(new Set([-10]));
  else expect(said).toEqual([expect.stringMatching(/^runs at ordinary priority: /)]);
});

it('goes last among those that are killed for want of memory, or says that it may not', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tsremus-oom-'));
  const said: string[] = [];
  lowerOomScore((text) => said.push(text), join(dir, 'score'));
  expect(readFileSync(join(dir, 'score'), 'utf8')).toBe('-900');
  expect(said).toEqual([]);
  lowerOomScore((text) => said.push(text), join(dir, 'none/score'));
  expect(said).toEqual([expect.stringMatching(/^may be killed when memory is short: ENOENT/)]);
  rmSync(dir, { recursive: true });
});
