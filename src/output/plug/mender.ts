/**
 * What somebody else took apart is made anew. The native plug blocks it, and puts back what one
 * message puts back (native/plug/check.c); devices and filters are made here, by ip and tc, and
 * tried again until it holds or the buffer ends. Meanwhile nothing of that interface gets out.
 */
import type { Cancel, Time } from '../../host/clock.ts';
import { errorText } from '../../host/errors.ts';
import type { LossListener } from '../port.ts';
import type { Fault, PlugWatch, PortLoss } from './driver.ts';

/** How long until the next try, ms; the last one again and again. */
const againMs = [50, 200, 1_000, 5_000];

const words: Readonly<Record<Fault, string>> = {
  unredirected: 'its filter was removed',
  turned: 'its redirect was turned elsewhere',
  unplugged: 'a plug was removed or replaced',
  touched: 'a plug was given an order',
  'no-device': 'a device that holds was removed',
  'device-down': 'a device that holds was taken down',
  'no-hold': 'its second hold (nftables) was removed',
  unseen: 'the kernel does not say what it does',
};

/** Without these nothing is let out that should be held: they drop, or the other one holds. */
const harmless: ReadonlySet<Fault> = new Set(['no-hold', 'no-device', 'device-down']);

/** What a loss let out, as far as is known. */
export function mayHaveEscaped({ found, isHeldTwice }: PortLoss): boolean {
  return found.some((one) => !harmless.has(one) && !(one === 'unredirected' && isHeldTwice));
}

/** What holds no more without this. */
const isOpen = (left: readonly Fault[]) => left.some((one) => one !== 'no-hold');

export interface MenderParts extends Time {
  readonly domain: string;
  nameOf(port: number): string;
  /** Makes anew what is lost of a port; what is left then. Rejects with what keeps it from that. */
  remake(port: number): Promise<readonly Fault[]>;
  /** An interface that is down until all holds again is written down; or is up again. */
  note(name: string, isDown: boolean): Promise<void>;
  readonly onNews: (text: string) => void;
}

interface Lost {
  left: readonly Fault[];
  isDown: boolean;
  /** What the last try failed with; null: it is the first. */
  problem: string | null;
}

export class Mender implements PlugWatch {
  readonly #parts: MenderParts;
  readonly #lost = new Map<number, Lost>();
  #listener: LossListener = () => {};
  #working: Promise<void> = Promise.resolve();
  #noted: Promise<void> = Promise.resolve();
  #isOver = false;
  #cancelWait: Cancel = () => {};

  constructor(parts: MenderParts) {
    this.#parts = parts;
  }

  listen(listener: LossListener): void {
    this.#listener = listener;
  }

  /** Why nothing of that interface gets out; null: it is as it should be. */
  lossOf(port: number): string | null {
    const lost = this.#lost.get(port);
    if (lost === undefined) return null;
    const what = lost.left.map((one) => words[one]).join(', ');
    const down = lost.isDown ? ', and it is down' : '';
    return `${what}${down}${lost.problem === null ? '' : `; ${lost.problem}`}`;
  }

  onDeaf(why: string): void {
    this.#parts.onNews(
      `nobody tells what others change of the output buffer (${why}): only checkpoints look for it`,
    );
  }

  onLoss(loss: PortLoss): void {
    if (this.#isOver) return;
    const { port, found, left, isDown, openUs } = loss;
    const name = this.#parts.nameOf(port);
    if (found.length > 0) {
      const what = found.map((one) => words[one]).join(', ');
      const escaped = mayHaveEscaped(loss);
      const said = escaped ? `frames may have got out for ${openUs} us` : 'nothing got out';
      const now = isOpen(left) ? 'it is mute until that is made anew' : 'all of it holds again';
      this.#parts.onNews(`${name}: ${what} by somebody else; ${said}; ${now}`);
      if (isOpen(found)) this.#listener({ kind: 'lost', name, reason: what, escaped });
    }
    if (isOpen(left)) this.#begin(port, { left, isDown, problem: null });
    else this.#mended(port);
  }

  #begin(port: number, lost: Lost): void {
    const before = this.#lost.get(port);
    this.#lost.set(port, lost);
    if (lost.isDown) this.#note(port, true);
    if (before !== undefined) return;
    this.#working = this.#working.then(() => this.#work(port));
  }

  /** In order: the last is what stands there. */
  #note(port: number, isDown: boolean): void {
    const { nameOf, note, onNews } = this.#parts;
    this.#noted = this.#noted
      .then(() => note(nameOf(port), isDown))
      .catch((error: unknown) => onNews(errorText(error)));
  }

  #mended(port: number): void {
    const lost = this.#lost.get(port);
    this.#lost.delete(port);
    // Whoever saw it first: we who made it anew, or the plug that looked.
    if (lost !== undefined) this.#parts.onNews(`${this.#parts.nameOf(port)} is held again`);
    if (lost?.isDown) this.#note(port, false);
    this.#listener({ kind: 'mended', name: this.#parts.nameOf(port) });
  }

  async #work(port: number): Promise<void> {
    for (let tries = 0; ; tries += 1) {
      const lost = this.#lost.get(port);
      if (lost === undefined || this.#isOver) return;
      const problem = await this.#tryOnce(port, lost);
      if (!this.#lost.has(port) || this.#isOver) return;
      if (problem === null) return this.#mended(port);
      lost.problem = problem;
      if (tries === 0) this.#parts.onNews(problem);
      await this.#wait(againMs[Math.min(tries, againMs.length - 1)] ?? 0);
    }
  }

  /** Null: it holds. */
  async #tryOnce(port: number, lost: Lost): Promise<string | null> {
    const name = this.#parts.nameOf(port);
    try {
      lost.left = await this.#parts.remake(port);
      if (!isOpen(lost.left)) return null;
      return `${name} is not held yet: ${lost.left.map((one) => words[one]).join(', ')}`;
    } catch (error) {
      return errorText(error);
    }
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#parts.timers.after(ms, resolve);
      this.#cancelWait = () => {
        cancel();
        resolve();
      };
    });
  }

  /** Nothing is made anew after this; what was under way is done when it resolves. */
  async stop(): Promise<void> {
    this.#isOver = true;
    this.#cancelWait();
    await this.#working;
    await this.#noted;
  }
}
