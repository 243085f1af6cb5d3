/**
 * The largest value of the last two to three seconds: whoever looks every second misses none, and
 * sees none for long. Pure: the time comes with each call.
 */

const bucketMs = 1_000;
const buckets = 3;

export class RecentMost {
  /** Of each second the largest, the newest last. */
  #seconds: { readonly second: number; readonly most: number }[] = [];

  add(value: number, nowMs: number): void {
    const second = Math.floor(nowMs / bucketMs);
    const last = this.#seconds.at(-1);
    if (last?.second !== second) this.#seconds = [...this.#since(second), { second, most: value }];
    else
      this.#seconds = [...this.#seconds.slice(0, -1), { second, most: Math.max(last.most, value) }];
  }

  /** Null: there was none in that time. */
  at(nowMs: number): number | null {
    const kept = this.#since(Math.floor(nowMs / bucketMs));
    return kept.length === 0 ? null : Math.max(...kept.map(({ most }) => most));
  }

  #since(second: number) {
    return this.#seconds.filter((one) => one.second > second - buckets);
  }
}
