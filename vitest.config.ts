import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Whole sessions of many processes last longest. */
const isLong = ({ moduleId }: TestSpecification) => /\/test\/(e2e|bench|sim)\//.test(moduleId);

/** A fresh clone knows no times: what lasts longest begins first, so that nothing long is last. */
class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
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
    testTimeout: 90_000,
    hookTimeout: 30_000,
  },
});
