/**
 * The administrator who finds what a killed `tsremus protect` left: a guest whose plug is closed.
 * `tsremus stop` asks for the promise and does what the answer permits; without one it only
 * offers to destroy the guest, and he tries again later.
 */
import type { Answer } from '../../src/core/vocabulary.ts';
import { FreshAsk } from './fresh-ask.ts';
import type { PrimaryHost } from './primary-host.ts';
import type { World } from './world.ts';

export type CleanUpDeed = 'open' | 'destroy' | 'offer';

/**
 * `answer` null: nobody answered. `_acked`: the newest acknowledgement that the dead process had
 * heard of. That there was none permits nothing: it may have been under way, or lost.
 */
export function cleanUpDeed(answer: Answer | null, _acked: number): CleanUpDeed {
  if (answer?.kind === 'promised') return 'open';
  return answer?.kind === 'active' && answer.running ? 'destroy' : 'offer';
}

export class CleanUp {
  readonly #world: World;
  readonly #host: PrimaryHost;
  /** What was done in the end; null: nothing was permitted yet. */
  done: Exclude<CleanUpDeed, 'offer'> | null = null;

  constructor(world: World, host: PrimaryHost) {
    this.#world = world;
    this.#host = host;
  }

  begin(): void {
    const { plan, random } = this.#world;
    if (!plan.cleansUp) return;
    this.#world.after(plan.config.heartbeatTimeoutMs * random.between(0.1, 4), () => {
      const { isUp, guest } = this.#host;
      if (isUp && guest.isAlive) this.#ask();
    });
  }

  #ask(): void {
    const ask = new FreshAsk(this.#world, {
      isAlive: () => this.#host.isUp && this.done === null,
      answered: (answer) => this.#carryOut(answer),
      failed: () => this.#carryOut(null),
    });
    ask.start();
  }

  #carryOut(answer: Answer | null): void {
    const deed = this.#world.machines.cleanUpDeed(answer, this.#host.process.state.acked);
    this.#world.trace('A', () => `clean-up: ${answer?.kind ?? 'no answer'}: ${deed}`);
    if (deed === 'offer') return this.begin();
    this.done = deed;
    if (deed === 'open') this.#host.open();
    else this.#host.destroy();
    this.#host.guest.isPaused = false;
  }
}
