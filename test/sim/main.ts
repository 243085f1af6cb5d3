/** `npm run sim -- --seeds N [--from K] | --seed K --verbose | --mutants`. */
import { parseArgs } from 'node:util';
import { stepBackup } from '../../src/core/backup.ts';
import { stepPrimary } from '../../src/core/primary.ts';
import { runWorld } from './world.ts';

const real = { stepPrimary, stepBackup };
const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    from: { type: 'string' },
    seed: { type: 'string' },
    verbose: { type: 'boolean' },
  },
});
if (values.seed) {
  const r = runWorld(Number(values.seed), real, true);
  console.log(r.transcript.join('\n'));
  console.log(r.violation, r.expected, r.ending, r.steps);
} else {
  const from = Number(values.from ?? 1),
    n = Number(values.seeds ?? 1000);
  const endings = new Map<string, number>();
  let steps = 0;
  const t0 = Date.now();
  let fails = 0;
  for (let s = from; s < from + n; s++) {
    const r = runWorld(s, real);
    steps += r.steps;
    let key = r.ending;
    if (r.violation) {
      key = r.expected ? `EXPECTED ${r.expected}` : `FAIL ${r.violation.rule}`;
      if (!r.expected && fails++ < 10) console.log(s, r.violation);
    }
    endings.set(key, (endings.get(key) ?? 0) + 1);
  }
  console.log(
    [...endings]
      .sort((x, y) => y[1] - x[1])
      .map(([k, v]) => `${String(v).padStart(6)} ${k}`)
      .join('\n'),
  );
  console.log(n / ((Date.now() - t0) / 1000), 'seeds/s', steps / n, 'steps');
}
