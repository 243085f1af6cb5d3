/** A pair of hosts per test; when the test fails, what both hosts logged is printed. */
import { test } from 'vitest';
import { Pair } from './pair.ts';

export const it = test.extend<{ pair: Pair }>({
  pair: async ({ onTestFailed }, use) => {
    const pair = new Pair();
    let report = '';
    onTestFailed(() => void process.stderr.write(report));
    try {
      await use(pair);
      report = pair.report();
    } finally {
      pair.close();
    }
  },
});
