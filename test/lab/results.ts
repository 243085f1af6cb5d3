/**
 * What trials brought: kept in a file, so that a soak of hours can be ended and taken up again,
 * and shown as a table. Results are of one commit, on one suite and with the kinds of guests that
 * were asked for; those of another one are not mixed in.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheDir, checkoutDir } from './settings.ts';

export interface TrialResult {
  readonly scenario: string;
  readonly index: number;
  readonly seed: number;
  readonly ok: boolean;
  readonly seconds: number;
  readonly problems: readonly string[];
  /** Why it had to begin again, once for each time: a host of this machine had stood still. */
  readonly voids: readonly string[];
  /** Where the logs of a failed trial are. */
  readonly evidence: string | null;
  readonly figures: Readonly<Record<string, readonly number[]>>;
}

/** The checkout's commit; uncommitted changes make it another one. */
export function currentCommit(): string {
  try {
    const argv = ['describe', '--always', '--dirty', '--abbrev=12', '--exclude=*'];
    const options = { cwd: checkoutDir, encoding: 'utf8', stdio: 'pipe' } as const;
    return execFileSync('git', argv, options).trim();
  } catch {
    return 'no-commit'; // an unpacked archive
  }
}

export class ResultStore {
  readonly path: string;
  readonly results: TrialResult[];

  /** `of` names what the results are of, beside the commit. */
  constructor(
    commit: string,
    of: readonly (string | number | null)[],
    { fresh }: { readonly fresh: boolean },
  ) {
    const dir = process.env['TSREMUS_LAB_SOAK'] || join(cacheDir, 'soak');
    mkdirSync(dir, { recursive: true });
    this.path = join(dir, `${[commit, ...of].filter((word) => word !== null).join('-')}.json`);
    if (fresh) rmSync(this.path, { force: true });
    this.results = existsSync(this.path)
      ? (JSON.parse(readFileSync(this.path, 'utf8')) as TrialResult[])
      : [];
  }

  find(scenario: string, index: number): TrialResult | undefined {
    return this.results.find((r) => r.scenario === scenario && r.index === index);
  }

  add(result: TrialResult): void {
    this.results.push(result);
    writeFileSync(`${this.path}.new`, `${JSON.stringify(this.results, null, 1)}\n`);
    renameSync(`${this.path}.new`, this.path);
  }
}

export interface FigureRow {
  readonly scenario: string;
  readonly figure: string;
  readonly count: number;
  readonly median: number;
  readonly worst: number;
}

/** Every measured figure of every scenario. The worst one is the largest: all of them are costs. */
export function figureRows(results: readonly TrialResult[]): FigureRow[] {
  const values = new Map<string, number[]>();
  for (const result of results) {
    for (const [figure, seen] of Object.entries(result.figures)) {
      const key = `${result.scenario} ${figure}`;
      values.set(key, [...(values.get(key) ?? []), ...seen]);
    }
  }
  return [...values].map(([key, seen]) => {
    const [scenario = '', figure = ''] = key.split(' ');
    const sorted = [...seen].sort((x, y) => x - y);
    const median = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
    return { scenario, figure, count: sorted.length, median, worst: sorted.at(-1) ?? 0 };
  });
}

/** The table that is printed at the end. */
export function figureTable(results: readonly TrialResult[]): string {
  const lines = [['scenario', 'figure', 'count', 'median', 'worst']];
  for (const row of figureRows(results)) {
    const numbers = [row.count, row.median, row.worst].map(String);
    lines.push([row.scenario, row.figure, ...numbers]);
  }
  const widths = [0, 1, 2, 3, 4].map((column) =>
    Math.max(...lines.map((cells) => (cells[column] ?? '').length)),
  );
  const pad = (cell: string, column: number) =>
    column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  return lines.map((cells) => cells.map(pad).join('  ').trimEnd()).join('\n');
}

/** One line per scenario: trials, failures, time. */
export function scenarioTable(results: readonly TrialResult[]): string {
  const names = [...new Set(results.map((result) => result.scenario))];
  const lines = names.map((name) => {
    const own = results.filter((result) => result.scenario === name);
    const failed = own.filter((result) => !result.ok).length;
    const seconds = own.reduce((sum, result) => sum + result.seconds, 0);
    const trials = `${own.length} trial${own.length === 1 ? '' : 's'}`;
    const voids = own.reduce((sum, result) => sum + (result.voids?.length ?? 0), 0);
    const again = voids === 0 ? '' : `, ${voids} begun again`;
    const time = `${Math.round(seconds)} s`;
    return `${name.padEnd(24)}${trials.padStart(10)}, ${failed} failed, ${time}${again}`;
  });
  return lines.join('\n');
}
