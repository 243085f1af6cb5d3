/**
 * The contract of the output buffer on a model of the kernel. The same clauses run on a real one
 * in the lab: test/lab/scenarios/plug-contract.ts.
 */
import { describe, expect, it } from 'vitest';
import { clauses } from './contract.ts';
import { fakeBench } from './fake-kernel.ts';

describe('the output buffer', () => {
  it.each(clauses.map((clause) => [clause.name, clause] as const))('%s', async (_, clause) => {
    const bench = await fakeBench({ interfaceCount: clause.interfaceCount });
    try {
      await clause.run(bench);
      expect(bench.kernel.actions.size).toBe(0);
    } finally {
      await bench.close();
    }
  });
});
