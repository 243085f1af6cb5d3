/**
 * The loop of the shell around a pure machine: events are queued, each is stepped, its effects are
 * started in the order given, and no event is stepped while the effects of the one before are
 * being started. Slow effects go into a row, where they run one after the other.
 */

export interface Step<State, Effect> {
  readonly state: State;
  readonly effects: readonly Effect[];
}

export class Machine<State, Event, Effect> {
  #state: State;
  readonly #step: (state: State, event: Event) => Step<State, Effect>;
  readonly #perform: (effect: Effect) => void;
  readonly #queue: Event[] = [];
  #stepping = false;

  constructor(
    initial: State,
    step: (state: State, event: Event) => Step<State, Effect>,
    perform: (effect: Effect) => void,
  ) {
    this.#state = initial;
    this.#step = step;
    this.#perform = perform;
  }

  get state(): State {
    return this.#state;
  }

  /** Takes an event; it is stepped at once, or after the one being stepped. */
  dispatch(event: Event): void {
    this.#queue.push(event);
    if (this.#stepping) return;
    this.#stepping = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        const { state, effects } = this.#step(this.#state, next);
        this.#state = state;
        for (const effect of effects) this.#perform(effect);
      }
    } finally {
      this.#stepping = false;
    }
  }
}

/** Runs slow work in order; a failure goes to `onError` and does not stop the rest. */
export class Row {
  #tail: Promise<void> = Promise.resolve();
  readonly #onError: (error: unknown) => void;

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  run(work: () => Promise<void>): void {
    this.#tail = this.#tail.then(work).catch((error: unknown) => this.#onError(error));
  }

  /** Resolves when all work queued so far is done. */
  idle(): Promise<void> {
    return this.#tail;
  }
}
