/**
 * What was taken, to be given back: the last first, each once, whatever becomes of the others. The
 * order in which a session ends is that in which it began, turned round; nothing else decides it.
 */
import { errorText } from '../host/errors.ts';

export type GiveBack = () => void | Promise<void>;

export class Teardown {
  readonly #taken: { readonly name: string; readonly giveBack: GiveBack }[] = [];
  readonly #say: (text: string) => void;

  /** `say`: what could not be given back, a sentence without final stop. */
  constructor(say: (text: string) => void) {
    this.#say = say;
  }

  /** Something was taken. */
  took(name: string, giveBack: GiveBack): void {
    this.#taken.push({ name, giveBack });
  }

  /** Names in the order in which they are given back. */
  get order(): readonly string[] {
    return this.#taken.map(({ name }) => name).reverse();
  }

  /** Gives everything back. Never rejects. */
  async run(): Promise<void> {
    for (let last = this.#taken.pop(); last !== undefined; last = this.#taken.pop()) {
      try {
        await last.giveBack();
      } catch (error) {
        this.#say(`${last.name} could not be given back: ${errorText(error)}`);
      }
    }
  }
}
