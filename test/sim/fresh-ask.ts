/** A fresh run of the transport that asks for the promise: connect, ask, wait, give up. */
import type { Answer, Answered } from '../../src/core/vocabulary.ts';
import type { answerAsk } from '../../src/session/backup/answer.ts';
import type { SimProcess } from './process.ts';
import { askHostB } from './programs.ts';
import type { World } from './world.ts';

/** Who asks, and hears one of the two at most (`answered` even after it gave up). */
export interface Asker {
  isAlive(): boolean;
  answered(answered: Answered): void;
  failed(reason: string): void;
}

export class FreshAsk {
  readonly #world: World;
  readonly #question: Parameters<typeof answerAsk>[0];
  readonly #asker: Asker;
  #isOver = false;
  /** When the question left, by the asker's clock. */
  #askedAtMs = 0;

  constructor(world: World, question: Parameters<typeof answerAsk>[0], asker: Asker) {
    this.#world = world;
    this.#question = question;
    this.#asker = asker;
  }

  start(): void {
    const { plan, random } = this.#world;
    this.#world.after(plan.askTimeoutMs, () => this.#giveUp('timed out'));
    if (random.chance(plan.misdirected)) {
      this.#later(2 * plan.delayMsMax, () => this.#deliver({ kind: 'unknown' }));
      return;
    }
    this.#connect();
  }

  #later(delayMs: number, what: () => void): void {
    this.#world.after(delayMs, () => {
      if (!this.#isOver && this.#asker.isAlive()) what();
    });
  }

  #giveUp(reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#asker.failed(reason);
  }

  #connect(): void {
    const { plan, network, b } = this.#world;
    this.#later(2 * network.delayMs() + plan.delayMsMax, () => {
      if (!network.isWhole || !b.isUp) {
        this.#later(plan.delayMsMax, () => this.#connect());
        return;
      }
      this.#askedAtMs = this.#world.a.nowMs();
      askHostB(this.#world, this.#question, (process) => this.#again(process)).then(
        (answer) => this.#answered(answer),
        (error: unknown) => this.#failed(String(error)),
      );
    });
  }

  /** It asks again all the time, as long as it is there and can be heard. */
  #again(process: SimProcess): Promise<void> {
    const { network, plan } = this.#world;
    return new Promise((resolve, reject) => {
      process.later(plan.askTimeoutMs / 3, () => reject(new Error('nobody asks any longer')));
      const look = (): void => {
        if (this.#isOver || !this.#asker.isAlive()) return;
        if (network.isCut('ab')) return this.#later(plan.delayMsMax, look);
        this.#later(network.delayMs(), () => process.run(resolve));
      };
      this.#later(0, look);
    });
  }

  #failed(reason: string): void {
    this.#later(this.#world.network.delayMs(), () => this.#giveUp(`no answer: ${reason}`));
  }

  #answered(answer: Answer): void {
    this.#later(this.#world.network.delayMs(), () => {
      if (this.#world.paths.isCut('ba')) return this.#answered(answer);
      this.#deliver(answer);
    });
  }

  #deliver(answer: Answer): void {
    this.#isOver = true;
    this.#asker.answered({ answer, askedAtMs: this.#askedAtMs });
  }
}
