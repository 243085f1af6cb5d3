/** The contract of the output buffer (test/network) on the kernel of a real dom0. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { checkoutDir } from '../settings.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';

interface Line {
  readonly clause?: string;
  readonly ok?: boolean;
  readonly why?: string;
  readonly interfaces?: number;
  readonly barrier_us?: number;
  readonly release_us?: number;
}

async function bundle(): Promise<string> {
  const outfile = join(checkoutDir, 'native/build/plug-contract.mjs');
  await build({
    entryPoints: [join(checkoutDir, 'test/network/real-main.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
  });
  return readFileSync(outfile, 'utf8');
}

async function contract(trial: Trial): Promise<void> {
  // Beside dist/, from where it finds the native library and its packages.
  const path = '/opt/tsremus/plug-contract.mjs';
  const command = `cat >${path} && node ${path}`;
  const timeoutMs = 600_000;
  const ran = await trial.lab.ssh('a', command, { input: await bundle(), timeoutMs });
  const lines = ran.stdout.trim().split('\n');
  for (const line of lines) {
    const { clause, ok, why, interfaces, barrier_us, release_us } = JSON.parse(line) as Line;
    if (clause !== undefined) trial.check(clause, ok === true, why);
    if (interfaces === undefined) continue;
    trial.measure(`barrier_us_${interfaces}`, barrier_us ?? 0);
    trial.measure(`release_us_${interfaces}`, release_us ?? 0);
  }
  trial.check('the whole contract ran', ran.code === 0, ran.stderr);
}

export const plugContract: Scenario = {
  name: 'plug-contract',
  proves: 'the output buffer does what it has to on the kernel of a real dom0',
  trials: { ci: 0, soak: 2 },
  run: contract,
};
