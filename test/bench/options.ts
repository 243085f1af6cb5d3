/** The command line of the benchmarks. */
import { parseArgs } from 'node:util';

/**
 * How much of it: `quick` shows in a minute that all runs and says little about speed; `tiny` is
 * for the tests of the benchmarks themselves.
 */
export type Scale = 'tiny' | 'quick' | 'full';

export interface BenchOptions {
  /** The parts to run, in order; empty: all. */
  readonly names: readonly string[];
  readonly scale: Scale;
  readonly json: string | null;
}

export function usage(script: string, parts: readonly string[]): string {
  return `usage: npm run ${script} -- [--quick] [--json FILE] [PART...]
parts: ${parts.join(' ')}`;
}

/** What was asked for, or a sentence that says what is wrong with it. */
export function parseBenchOptions(
  argv: readonly string[],
  parts: readonly string[],
): BenchOptions | string {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: { quick: { type: 'boolean', default: false }, json: { type: 'string' } },
    });
    const unknown = positionals.find((name) => !parts.includes(name));
    if (unknown !== undefined) return `there is no part ${JSON.stringify(unknown)}`;
    return {
      names: positionals,
      scale: values.quick ? 'quick' : 'full',
      json: values.json ?? null,
    };
  } catch (error) {
    return (error as Error).message;
  }
}
