/**
 * Runs tasks in the order in which they were given: they start in that order, some at a time, and
 * settle in that order.
 */
export class InOrder {
  #free: number;
  readonly #queue: (() => void)[] = [];
  #last: Promise<unknown> = Promise.resolve();

  constructor(tasksMax: number) {
    this.#free = tasksMax;
  }

  /** The result of `task`, once those of all earlier tasks are there. */
  run<T>(task: () => Promise<T>): Promise<T> {
    const before = this.#last;
    const own = this.#slot()
      .then(task)
      .finally(() => this.#release());
    const result = Promise.allSettled([before, own]).then(() => own);
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Resolves when everything given so far has settled. */
  async idle(): Promise<void> {
    await this.#last;
  }

  #slot(): Promise<void> {
    if (this.#free === 0) return new Promise((resolve) => this.#queue.push(resolve));
    this.#free -= 1;
    return Promise.resolve();
  }

  #release(): void {
    const next = this.#queue.shift();
    if (next) next();
    else this.#free += 1;
  }
}
