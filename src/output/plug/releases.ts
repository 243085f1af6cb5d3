/**
 * Releases, off the main thread. Each takes the kernel's RTNL lock, which anybody may hold for
 * seconds (a card that resets, a self-test): on the main thread the heartbeats would wait with it,
 * and every guest of this host would fail over at once.
 *
 *   N1  one at a time, in the order of the epochs; what is asked for meanwhile goes in one, up to
 *       the newest, because a release takes all before it along
 *   N2  `idle` comes when none is under way and none waits: only then may anything else end the
 *       buffer
 */
export class Releases {
  readonly #release: (epoch: number) => Promise<void>;
  /** The one under way, whatever becomes of it. */
  #under: Promise<void> = Promise.resolve();
  #next: { epoch: number; readonly done: Promise<void> } | null = null;

  constructor(release: (epoch: number) => Promise<void>) {
    this.#release = release;
  }

  /** Done when `epoch` is released; rejects with what the release that took it along says. */
  upTo(epoch: number): Promise<void> {
    if (this.#next !== null) {
      this.#next.epoch = Math.max(this.#next.epoch, epoch);
      return this.#next.done;
    }
    const done = this.#under.then(() => {
      const wanted = this.#next?.epoch ?? epoch;
      this.#next = null;
      return this.#release(wanted);
    });
    this.#next = { epoch, done };
    this.#under = done.catch(() => {});
    return done;
  }

  idle(): Promise<void> {
    return this.#under;
  }
}
