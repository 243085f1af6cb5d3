/**
 * A histogram in fixed memory: how often what was measured, from which percentiles are read. Count,
 * sum, minimum and maximum are exact; a percentile is off by at most half the width of its bucket,
 * 9 percent. Values are sorted by their logarithm, eight buckets to a doubling.
 */

/** Buckets to a doubling. */
const perDoubling = 8;
/** The smallest value that has a bucket of its own; smaller ones share the first. */
const smallest = 2 ** -10;
/** From 1/1024 to 2^46: microseconds to centuries in ms, bytes to terabytes. */
const buckets = 56 * perDoubling;

/** What a histogram says; keys as in JSON. Null: nothing was measured. */
export interface HistogramSummary {
  readonly count: number;
  readonly sum: number;
  readonly min: number | null;
  readonly p50: number | null;
  readonly p90: number | null;
  readonly p99: number | null;
  readonly max: number | null;
}

export class Histogram {
  readonly #counts = new Uint32Array(buckets);
  #count = 0;
  #sum = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = Number.NEGATIVE_INFINITY;

  get count(): number {
    return this.#count;
  }

  /** Adds a value of 0 or more; anything else is a bug of the caller's. */
  add(value: number): void {
    if (!(value >= 0 && Number.isFinite(value))) throw new Error(`${value} cannot be measured`);
    const at = bucketOf(value);
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.#count += 1;
    this.#sum += value;
    this.#min = Math.min(this.#min, value);
    this.#max = Math.max(this.#max, value);
  }

  /** The value below which the share `share` (0 to 1) of all values lies; null for none. */
  percentile(share: number): number | null {
    if (this.#count === 0) return null;
    const rank = Math.max(1, Math.ceil(share * this.#count));
    let seen = 0;
    for (let at = 0; at < buckets; at++) {
      seen += this.#counts[at] ?? 0;
      if (seen >= rank) return Math.min(this.#max, Math.max(this.#min, middleOf(at)));
    }
    return this.#max;
  }

  summary(): HistogramSummary {
    const some = this.#count > 0;
    return {
      count: this.#count,
      sum: rounded(this.#sum),
      min: some ? rounded(this.#min) : null,
      p50: roundedOrNull(this.percentile(0.5)),
      p90: roundedOrNull(this.percentile(0.9)),
      p99: roundedOrNull(this.percentile(0.99)),
      max: some ? rounded(this.#max) : null,
    };
  }
}

function bucketOf(value: number): number {
  if (value <= smallest) return 0;
  const at = Math.floor(Math.log2(value / smallest) * perDoubling);
  return Math.min(buckets - 1, Math.max(0, at));
}

/** The geometric middle: wrong by the same factor in both directions. */
function middleOf(bucket: number): number {
  return smallest * 2 ** ((bucket + 0.5) / perDoubling);
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function roundedOrNull(value: number | null): number | null {
  return value === null ? null : rounded(value);
}
