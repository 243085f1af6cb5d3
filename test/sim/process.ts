/**
 * A process that runs one machine: feeds events, carries out effects in order. It can be killed
 * or stopped (SIGSTOP) at any moment, between two effects too; while it is stopped, what
 * would have reached it waits, as it does in the kernel.
 */
import type { Timeline } from './link.ts';

export interface Machine<S, E, F> {
  readonly step: (state: S, event: E) => { readonly state: S; readonly effects: readonly F[] };
  readonly perform: (effect: F) => void;
  /** Called after every step, before its effects. */
  readonly observe: (event: E, state: S, effects: readonly F[]) => void;
  /** Called before every effect; may kill or stop the process. */
  readonly beforeEffect: () => void;
}

export class SimProcess<S, E, F> {
  readonly #timeline: Timeline;
  readonly #machine: Machine<S, E, F>;
  readonly #events: E[] = [];
  #effects: readonly F[] = [];
  #nextEffect = 0;
  #isBusy = false;
  #waiting: (() => void)[] = [];
  isAlive = true;
  isStopped = false;
  state: S;

  constructor(timeline: Timeline, initial: S, machine: Machine<S, E, F>) {
    this.#timeline = timeline;
    this.#machine = machine;
    this.state = initial;
  }

  /** Runs `what` in this process: at once, after it continues, or never. */
  run(what: () => void): void {
    if (!this.isAlive) return;
    if (this.isStopped) this.#waiting.push(what);
    else what();
  }

  later(delayMs: number, what: () => void): void {
    this.#timeline.after(delayMs, () => this.run(what));
  }

  dispatch(event: E): void {
    if (!this.isAlive) return;
    this.#events.push(event);
    if (!this.isStopped) this.#work();
  }

  kill(): void {
    this.isAlive = false;
    this.#waiting = [];
  }

  stop(): void {
    this.isStopped = true;
  }

  /** SIGCONT: what waited is served now, in the order in which it came. */
  continue(): void {
    if (!this.isAlive || !this.isStopped) return;
    this.isStopped = false;
    this.#work();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const what of waiting) this.run(what);
  }

  #work(): void {
    if (this.#isBusy) return;
    this.#isBusy = true;
    while (this.isAlive && !this.isStopped) {
      if (this.#nextEffect < this.#effects.length) {
        this.#machine.beforeEffect();
        if (!this.isAlive || this.isStopped) break;
        const effect = this.#effects[this.#nextEffect] as F;
        this.#nextEffect += 1;
        this.#machine.perform(effect);
        continue;
      }
      const event = this.#events.shift();
      if (event === undefined) break;
      const { state, effects } = this.#machine.step(this.state, event);
      this.state = state;
      this.#effects = effects;
      this.#nextEffect = 0;
      this.#machine.observe(event, state, effects);
    }
    this.#isBusy = false;
  }
}
