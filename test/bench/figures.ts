/** Statistics of measured figures. Every function takes at least one value. */

/** The value below which FRACTION (0..1) of them lie. */
export function quantile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((x, y) => x - y);
  const at = Math.min(sorted.length - 1, Math.floor(sorted.length * fraction));
  const found = sorted[at];
  if (found === undefined) throw new Error('no figures');
  return found;
}

/**
 * The value at the fastest tenth: what the code costs by itself. Whatever else runs on the machine
 * only ever adds to a time, so both sides of a ratio are taken there.
 */
export const undisturbed = (values: readonly number[]) => quantile(values, 0.1);

export const median = (values: readonly number[]) => quantile(values, 0.5);

export function mean(values: readonly number[]): number {
  if (values.length === 0) throw new Error('no figures');
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** The line through the points with the least squares; its slope is in units of y per unit of x. */
export function lineThrough(points: readonly Point[]): { slope: number; intercept: number } {
  const mx = mean(points.map(({ x }) => x));
  const my = mean(points.map(({ y }) => y));
  const spread = points.reduce((sum, { x }) => sum + (x - mx) ** 2, 0);
  const together = points.reduce((sum, { x, y }) => sum + (x - mx) * (y - my), 0);
  const slope = spread === 0 ? 0 : together / spread;
  return { slope, intercept: my - slope * mx };
}
