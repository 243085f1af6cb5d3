/**
 * Tries the directory of the records again and again, by a small durable file: a takeover that
 * cannot be recorded must be known before it is needed. A disk that is full, read-only or gone
 * says so; one that hangs does not come to an end.
 */
import type { Cancel, Timers } from '../host/clock.ts';
import { errorText } from '../host/errors.ts';
import type { Store } from '../host/store.ts';

const trialEveryMs = 60_000;
/** A disk may be busy; a heartbeat of another guest may wait for it as long. */
const trialMsMax = 10_000;

export interface TrialParts {
  readonly store: Store;
  readonly timers: Timers;
  /** A file of this session's own. */
  readonly path: string;
  /** `problem` is another one than before. */
  readonly onChange: () => void;
}

export class RecordTrial {
  readonly #parts: TrialParts;
  #problem: string | null = null;
  #isOver = false;
  #cancel: Cancel = () => {};

  constructor(parts: TrialParts) {
    this.#parts = parts;
    this.#wait(1);
  }

  /** Why nothing could be recorded at the last trial; null: it could. */
  get problem(): string | null {
    return this.#problem;
  }

  /** Ends it; the file goes. Never rejects. */
  async stop(): Promise<void> {
    const { store, path } = this.#parts;
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancel();
    await store.removeFile(path).catch(() => {});
  }

  #wait(number: number): void {
    this.#cancel = this.#parts.timers.after(trialEveryMs, () => {
      void this.#try(number).then(() => {
        if (!this.#isOver) this.#wait(number + 1);
      });
    });
  }

  /** Resolves when the disk has answered, however late. */
  async #try(number: number): Promise<void> {
    const { store, timers, path } = this.#parts;
    const late: Cancel = timers.after(trialMsMax, () => {
      this.#tell(`${path} is not written after ${trialMsMax / 1000} s: the disk hangs`);
    });
    try {
      await store.writeDurably(path, `${number}\n`);
      late();
      this.#tell(null);
    } catch (error) {
      late();
      this.#tell(errorText(error));
    }
    if (this.#isOver) await store.removeFile(path).catch(() => {});
  }

  #tell(problem: string | null): void {
    if (this.#isOver || problem === this.#problem) return;
    this.#problem = problem;
    this.#parts.onChange();
  }
}
