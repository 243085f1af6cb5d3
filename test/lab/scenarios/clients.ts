/** Clients of a guest that hold on to their connections while something happens to it. */
import { checkNumbers, countUnsaid } from '../commit-check.ts';
import { type GuestOptions, hangMs } from '../lab.ts';
import { guestHistory, startTalk, type Talk, type TalkOptions } from '../traffic.ts';
import type { Trial } from './trial.ts';

/** A guest that is to be spoken to needs no memory to speak of, and its seed takes less time. */
export const small: GuestOptions = { memoryMb: 96 };

/** Answers that show that a connection is alive. */
const aliveCount = 50;
/** A connection that lay idle repeats itself ever more slowly, at last every two minutes. */
export const resumeMs = hangMs;

export class Clients {
  readonly #trial: Trial;
  readonly guest: string;
  readonly talks: readonly Talk[];

  private constructor(trial: Trial, guest: string, talks: readonly Talk[]) {
    this.#trial = trial;
    this.guest = guest;
    this.talks = talks;
  }

  /** One connection over IPv4 and one over IPv6, both with answers. */
  static async connect(trial: Trial, guest: string, options: TalkOptions = {}): Promise<Clients> {
    const connected = [4, 6].map((family) =>
      startTalk(guest, { ...options, family: family as 4 | 6 }),
    );
    // One that connected has to end where the other one does not: it would keep the test running.
    for (const one of await Promise.allSettled(connected)) {
      if (one.status === 'fulfilled') trial.atEnd(() => one.value.stop());
    }
    const clients = new Clients(trial, guest, await Promise.all(connected));
    await clients.waitAlive(0);
    return clients;
  }

  /** Every connection has answers of after that moment. */
  async waitAlive(afterMs: number, timeoutMs = resumeMs): Promise<void> {
    await Promise.all(
      this.talks.map((talk) => talk.waitForAnswers(aliveCount, afterMs, timeoutMs)),
    );
  }

  /** As `waitAlive`, but a connection that does not go on is the answer: true if all do. */
  async goOn(afterMs: number, timeoutMs = resumeMs): Promise<boolean> {
    return this.waitAlive(afterMs, timeoutMs).then(
      () => true,
      (error: unknown) => {
        this.#trial.say(String(error));
        return false;
      },
    );
  }

  /** Numbers that a client saw and that the survivor does not know, over both connections. */
  async countUnsaid(survivorMs: number): Promise<number> {
    const history = await guestHistory(this.guest);
    return this.talks.reduce(
      (sum, { family, answers }) => sum + countUnsaid(answers, survivorMs, history, family),
      0,
    );
  }

  /** Breaks in the numbers and broken connections, over both; measures what the clients felt. */
  countBreaks(): number {
    let breaks = 0;
    for (const { family, answers, broken } of this.talks) {
      const verdict = checkNumbers(answers);
      const seconds = ((answers.at(-1)?.timeMs ?? 0) - (answers[0]?.timeMs ?? 0)) / 1000;
      this.#trial.measure(`client_silence_ipv${family}_ms`, verdict.silenceMs);
      this.#trial.measure(`answers_ipv${family}_per_s`, verdict.answers / Math.max(1, seconds));
      if (verdict.firstBreak !== null) this.#trial.say(JSON.stringify(verdict.firstBreak));
      if (broken !== null) this.#trial.say(`IPv${family}: ${broken}`);
      breaks += verdict.breaks + (broken === null ? 0 : 1);
    }
    return breaks;
  }

  /** The same connections, the same numbers: nothing happened, as far as a client can tell. */
  checkUnbroken(): void {
    this.#trial.checkEqual(`${this.guest}: breaks that its clients saw`, this.countBreaks(), 0);
  }
}
