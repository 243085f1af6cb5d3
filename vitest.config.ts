import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** What lasts longest, the longest first: much computing, then whole sessions of processes. */
const long = ['sim/', 'e2e/pipeline', 'bench/', 'e2e/', 'simxl/', 'cli/session'];

function rank({ moduleId }: TestSpecification): number {
  const at = long.findIndex((part) => moduleId.includes(`/test/${part}`));
  return at < 0 ? long.length : at;
}

/** A fresh clone knows no times, and nothing long may come last. */
class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.sort((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  test: {
    // Not threads: ffi-napi crashes at the exit of a worker thread.
    pool: 'forks',
    // Tests of processes wait most of their time. The default leaves one core to nobody.
    maxWorkers: availableParallelism() + 1,
    sequence: { sequencer: LongFirst },
    include: ['test/**/*.test.ts'],
    exclude: ['node_modules/**'],
    // Only a hang gets there, on however busy a machine: how long a test takes is no verdict.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    teardownTimeout: 600_000,
  },
});
