/**
 * A process of a simulated host. What runs in it is the code that ships; what it reaches its host
 * by are ports of this process, and they know three things that code cannot:
 *
 *   - a killed process hears nothing more, and nothing that it calls has an effect;
 *   - a stopped one (SIGSTOP) hears what came meanwhile when it continues, and what it was about to
 *     do is done then: between two calls it can be stopped, or killed, at any of them;
 *   - every call has a name, so that a fault can strike just before the third `sync` or the next
 *     `release`.
 */
import type { Time } from '../../src/host/clock.ts';
import type { ProcessId } from '../../src/host/process-id.ts';
import type { SimHost } from './host.ts';
import type { World } from './world.ts';

interface Waiting {
  readonly what: () => void;
  readonly isTimer: boolean;
}

export class SimProcess {
  readonly host: SimHost;
  /** Of the session that it was started for. */
  readonly world: World;
  readonly name: string;
  readonly id: ProcessId;
  #waiting: Waiting[] = [];
  readonly #onExit: (() => void)[] = [];
  readonly #onSignal: (() => void)[] = [];
  /** It continues, and what waited is still being served. */
  #isCatchingUp = false;
  isAlive = true;
  isStopped = false;
  /** It is killed once the call that it makes now is done. */
  isDoomed = false;
  /** SIGTERM has come. */
  isToldToEnd = false;
  /** What heals does not continue it. */
  isStoppedForGood = false;

  constructor(host: SimHost, world: World, name: string, id: ProcessId) {
    this.host = host;
    this.world = world;
    this.name = name;
    this.id = id;
  }

  /** Runs `what` in this process: at once, after it continues, or never. */
  run(what: () => void, isTimer = false): void {
    if (!this.isAlive) return;
    if (this.isStopped || this.#isCatchingUp) {
      this.#waiting.push({ what, isTimer });
      return;
    }
    this.host.world.touched();
    what();
  }

  /** The same in `delayMs` of the world. */
  later(delayMs: number, what: () => void): void {
    this.host.world.after(delayMs, () => this.run(what));
  }

  /** A call to the host: done now, when the process continues, or never. */
  call(what: string, deed: () => void): void {
    if (!this.isAlive) return;
    if (!this.isStopped) this.world.beforeCall(this, what);
    if (this.isStopped) this.run(deed);
    else if (this.isAlive) deed();
    if (this.isDoomed) this.exit();
  }

  /**
   * A call that takes its time: `work` is done after `doneMs` at the latest, and what it gives, or
   * throws, is heard some time after that.
   */
  perform<T>(what: string, doneMs: number, work: () => T): Promise<T> {
    const { random } = this.host.world;
    return new Promise<T>((resolve, reject) => {
      this.call(what, () => {
        this.later(doneMs * random.next(), () => {
          let settle: () => void;
          try {
            const value = work();
            settle = () => resolve(value);
          } catch (error) {
            settle = () => reject(error);
          }
          this.later(doneMs * random.next() * 0.5, settle);
        });
      });
    });
  }

  /** Clock and timers of this process. */
  get time(): Time {
    const { host } = this;
    const after = (delayMs: number, run: () => void) => {
      let isCancelled = false;
      host.after(delayMs, () => {
        if (!isCancelled) this.run(() => isCancelled || run(), true);
      });
      return () => {
        isCancelled = true;
      };
    };
    return {
      clock: { nowMs: () => host.nowMs(), wall: () => new Date(host.wallMs()) },
      timers: { after, soon: (run) => after(0, run) },
    };
  }

  /** When it is killed or ends: what the kernel does then. */
  onExit(what: () => void): void {
    this.#onExit.push(what);
  }

  /** SIGTERM. */
  onTerm(what: () => void): void {
    this.#onSignal.push(what);
  }

  /** Its handlers run; without any it ends. */
  terminate(): void {
    this.isToldToEnd = true;
    if (this.#onSignal.length === 0) return this.exit();
    this.run(() => {
      for (const what of this.#onSignal) what();
    });
  }

  exit(): void {
    if (!this.isAlive) return;
    this.isAlive = false;
    this.#waiting = [];
    for (const what of this.#onExit) what();
  }

  stop(): void {
    this.isStopped = true;
  }

  /** SIGSTOP by somebody who does not come back, or late. */
  stopForGood(): void {
    this.isStopped = true;
    this.isStoppedForGood = true;
  }

  /**
   * SIGCONT: what waited is served now, in the order in which it came; but its timers may come
   * after all else, for an event loop looks at them before or after what it waits for (libuv,
   * uv_run).
   */
  continue(): void {
    if (!this.isAlive || !this.isStopped) return;
    this.isStopped = false;
    this.isStoppedForGood = false;
    if (this.host.world.random.chance(0.5)) {
      this.#waiting.sort((one, other) => Number(one.isTimer) - Number(other.isTimer));
    }
    if (!this.#isCatchingUp) this.#catchUp();
  }

  /** One after the other, each with what it leads to; what comes meanwhile comes after them. */
  #catchUp(): void {
    const next = this.isStopped ? undefined : this.#waiting.shift();
    this.#isCatchingUp = next !== undefined;
    if (next === undefined) return;
    this.host.world.touched();
    next.what();
    this.host.world.after(0, () => this.#catchUp());
  }
}
