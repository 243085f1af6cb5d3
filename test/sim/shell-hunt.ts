/**
 * The hunt for the shell's mutants: each gets a simulator of its own, bundled with the bug in it
 * and run in a process of its own; or the unit test that is named for it.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { Catch } from './campaign.ts';
import { type ShellMutant, shellMutants } from './shell-mutants.ts';
import { mutated, mutatedPath } from './source-mutation.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Seeds, from its first one on, within which a mutant of the shell must be caught. */
export const shellSeedsMax = 100;

/**
 * A mutant may turn a run into a loop without an end: by the seconds that the processor spent on
 * it, however busy the machine is. One in which nothing happens any more ends by itself.
 */
const childCpuSecondsMax = 600;

interface Ended {
  readonly code: number | null;
  readonly said: string;
}

function run(argv: readonly string[]): Promise<Ended> {
  const limited = ['-c', `ulimit -t ${childCpuSecondsMax}; exec "$@"`, 'sh', process.execPath];
  const child = spawn('sh', [...limited, ...argv], {
    cwd: here('../..'),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (bytes: Buffer) => {
      said += bytes;
    });
  }
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, said }));
  });
}

/** The simulator with this bug in it, as one file. */
async function bundle(mutant: ShellMutant, outfile: string): Promise<void> {
  const path = mutatedPath(mutant);
  const contents = mutated(mutant);
  await build({
    entryPoints: [here('shell-hunt-one.ts')],
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'error',
    outfile,
    plugins: [
      {
        name: 'mutation',
        setup({ onLoad }) {
          onLoad({ filter: /\/src\/.*\.ts$/ }, (file) =>
            file.path === path ? { contents, loader: 'ts' } : undefined,
          );
        },
      },
    ],
  });
}

async function bySimulator(mutant: ShellMutant, from: number, seedsMax: number): Promise<Catch> {
  const directory = await mkdtemp(join(tmpdir(), 'tsremus-mutant-'));
  try {
    const file = join(directory, 'simulator.mjs');
    await bundle(mutant, file);
    const { code, said } = await run([file, mutant.name, String(from), String(seedsMax)]);
    const found = /^(\d+) (.*)$/m.exec(said);
    if (code === 0 && found !== null) {
      return { mutant: mutant.name, seed: Number(found[1]), rule: found[2] ?? '' };
    }
    if (code === 0) return { mutant: mutant.name, seed: null, rule: '' };
    throw new Error(`the hunt for "${mutant.name}" ended with code ${code}: ${said}`);
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function byTest(mutant: ShellMutant, test: string): Promise<Catch> {
  const program = here('shell-hunt-test.ts');
  const { code, said } = await run(['--import', 'tsx', program, mutant.name, test]);
  const failed = /Tests .*?(\d+) failed/.exec(said);
  const isCaught = code !== 0 && failed !== null;
  const rule = isCaught ? `${failed[1]} of its tests` : '';
  return { mutant: mutant.name, seed: isCaught ? 0 : null, rule: `${test}: ${rule}` };
}

function hunt(mutant: ShellMutant, seedsMax: number): Promise<Catch> {
  const { by } = mutant;
  return typeof by === 'string' ? byTest(mutant, by) : bySimulator(mutant, by.seed, seedsMax);
}

/** Each mutant of the shell against seeds from its first one on, or against its unit test. */
export async function huntShellMutants(
  seedsMax: number,
  onCatch: (one: Catch) => void = () => {},
  wanted: readonly ShellMutant[] = shellMutants,
): Promise<Catch[]> {
  const catches: Catch[] = [];
  const waiting = [...wanted];
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const one = await hunt(next, seedsMax);
      onCatch(one);
      catches.push(one);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  return catches;
}
