/** A fresh run of the transport that asks for the promise: connect, ask, wait, give up. */
import type { Answer } from '../../src/core/vocabulary.ts';
import type { World } from './world.ts';

/** Who asks, and hears one of the two at most (`answered` even after it gave up). */
export interface Asker {
  isAlive(): boolean;
  answered(answer: Answer): void;
  failed(reason: string): void;
}

export class FreshAsk {
  readonly #world: World;
  readonly #asker: Asker;
  #isOver = false;
  /** Given up, but the answer may still come through. */
  #isLate = false;

  constructor(world: World, asker: Asker) {
    this.#world = world;
    this.#asker = asker;
  }

  start(): void {
    const { plan, random } = this.#world;
    this.#world.after(plan.askTimeoutMs, () => {
      if (this.#isOver || this.#isLate) return;
      this.#giveUp('timed out');
    });
    if (random.chance(plan.misdirected)) {
      this.#later(2 * plan.delayMsMax, () => this.#deliver({ kind: 'unknown' }));
      return;
    }
    this.#connect();
  }

  cancel(mayBeLate: boolean): void {
    if (mayBeLate) this.#isLate = true;
    else this.#isOver = true;
  }

  #later(delayMs: number, what: () => void): void {
    this.#world.after(delayMs, () => {
      if (!this.#isOver && this.#asker.isAlive()) what();
    });
  }

  #giveUp(reason: string): void {
    const wasLate = this.#isLate;
    this.cancel(this.#world.plan.hasLateAnswers);
    if (!wasLate) this.#asker.failed(reason);
  }

  #connect(): void {
    const { plan, network, b } = this.#world;
    this.#later(2 * network.delayMs() + plan.tickMs, () => {
      if (this.#isLate) return;
      if (!network.isWhole || !b.isUp) return this.#later(plan.tickMs * 2, () => this.#connect());
      b.ask((answer) => this.#answered(answer));
    });
  }

  /** null: the process that was asked died. */
  #answered(answer: Answer | null): void {
    this.#later(this.#world.network.delayMs(), () => {
      if (this.#world.network.isCut('ba')) return this.#answered(answer);
      if (answer !== null) this.#deliver(answer);
      else if (!this.#isLate) this.#giveUp('the connection ended');
    });
  }

  #deliver(answer: Answer): void {
    this.#isOver = true;
    this.#asker.answered(answer);
  }
}
