import { defineConfig } from 'vitest/config';

// forks, not threads: ffi-napi crashes at the exit of a worker thread.
export default defineConfig({
  test: {
    pool: 'forks',
    include: ['test/**/*.test.ts'],
    exclude: ['node_modules/**'],
    testTimeout: 90_000,
    hookTimeout: 30_000,
  },
});
