/**
 * The contract of the output buffer on a model of the kernel. The same clauses run on a real one
 * in the lab: test/lab/scenarios/plug-contract.ts.
 */
import { describe, expect, it } from 'vitest';
import { clauses } from './contract.ts';
import { fakeBench } from './fake-kernel.ts';

describe.each([
  ['', true],
  [' of a kernel without cls_matchall', false],
])('the output buffer%s', (_, hasMatchall) => {
  it.each(clauses.map((clause) => [clause.name, clause] as const))('%s', async (_name, clause) => {
    const bench = await fakeBench({ interfaceCount: clause.interfaceCount });
    bench.kernel.hasMatchall = hasMatchall;
    try {
      await clause.run(bench);
      expect(bench.kernel.actions.size).toBe(0);
    } finally {
      await bench.close();
    }
  });
});
