/**
 * A terminal as a screen that is drawn again and again: the alternate one, so that what stood there
 * comes back, and without echo of what is typed. However the program ends or is stopped, the
 * terminal is left as it was found.
 */
import { writeSync } from 'node:fs';
import { type Cancel, systemTimers, within } from '../host/clock.ts';

/** DEC private modes that xterm's descendants, tmux and the kernel's console know, or pass over. */
const enterText = '\x1b[?1049h\x1b[?25l';
const leaveText = '\x1b[?25h\x1b[?1049l';
const homeText = '\x1b[H';
const eraseLineText = '\x1b[K';
const eraseBelowText = '\x1b[J';

/** What ends a wait. */
export type ScreenEvent = 'time' | 'redraw' | 'quit';

export interface Screen {
  readonly columns: number;
  readonly rows: number;
  /**
   * Draws over what stands there, in one write. Resolves when the terminal has taken it, so that on
   * a slow line no frame waits behind another; or when it is to end.
   */
  draw(lines: readonly string[]): Promise<void>;
  /** Resolves after `ms`, or as soon as it is to be drawn again or to end. */
  wait(ms: number): Promise<ScreenEvent>;
  /** Leaves the terminal as it was. */
  close(): Promise<void>;
}

/** A terminal that takes nothing is left as it is after so long, ms. */
const leaveMsMax = 1_000;

const quitKeys = ['q', 'Q', '\x03', '\x04'];
const suspendKey = '\x1a';
const redrawKey = '\x0c';

class TerminalScreen implements Screen {
  readonly #out = process.stdout;
  readonly #in = process.stdin;
  #wake: (event: ScreenEvent) => void = () => {};
  #quit: () => void = () => {};
  readonly #whenQuit = new Promise<void>((resolve) => {
    this.#quit = resolve;
  });
  /** What came while nobody waited. */
  #pending: ScreenEvent | null = null;
  #isShown = false;
  /** The terminal has gone. */
  #isGone = false;
  readonly #handlers: readonly (readonly [NodeJS.Signals, () => void])[] = [
    ...(['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map(
      (signal) => [signal, () => this.#tell('quit')] as const,
    ),
    ['SIGCONT', () => void this.#goOn()],
    ['SIGWINCH', () => this.#tell('redraw')],
  ];
  readonly #onStop = () => void this.#suspend();
  readonly #onKey = (keys: Buffer) => this.#typed(keys.toString('latin1'));
  readonly #onExit = () => this.#leaveAtOnce();

  constructor() {
    this.#out.on('error', () => {
      this.#isGone = true;
      this.#tell('quit');
    });
    for (const [signal, handler] of this.#handlers) process.on(signal, handler);
    process.on('SIGTSTP', this.#onStop);
    process.on('exit', this.#onExit);
    if (this.#in.isTTY) this.#in.on('data', this.#onKey);
    void this.#show();
  }

  get columns(): number {
    return this.#out.columns || 80;
  }

  get rows(): number {
    return this.#out.rows || 24;
  }

  #tell(event: ScreenEvent): void {
    // An end is not forgotten for a redraw.
    if (this.#pending !== 'quit') this.#pending = event;
    if (event === 'quit') this.#quit();
    this.#wake(this.#pending);
  }

  #typed(keys: string): void {
    for (const key of keys) {
      if (quitKeys.includes(key)) this.#tell('quit');
      else if (key === suspendKey) void this.#suspend();
      else if (key === redrawKey) this.#tell('redraw');
    }
  }

  #write(text: string): Promise<void> {
    if (this.#isGone) return Promise.resolve();
    return new Promise((resolve) => this.#out.write(text, () => resolve()));
  }

  #setRaw(isRaw: boolean): void {
    if (!this.#in.isTTY) return;
    try {
      this.#in.setRawMode(isRaw);
    } catch {
      // The terminal has gone.
    }
  }

  async #show(): Promise<void> {
    this.#isShown = true;
    this.#setRaw(true);
    await this.#write(enterText);
  }

  /** Whatever the shell did to the terminal meanwhile; it may have stopped us without a word. */
  async #goOn(): Promise<void> {
    this.#setRaw(false);
    await this.#show();
    this.#tell('redraw');
  }

  async #leave(): Promise<void> {
    if (!this.#isShown) return;
    this.#isShown = false;
    await within(systemTimers, leaveMsMax, this.#write(leaveText), () => {});
    this.#setRaw(false);
  }

  /** At the end of the process nothing is waited for any more. */
  #leaveAtOnce(): void {
    if (!this.#isShown) return;
    this.#isShown = false;
    this.#setRaw(false);
    try {
      writeSync(1, leaveText);
    } catch {
      // The terminal has gone, or takes nothing.
    }
  }

  /** Stops as the shell wants it, with its terminal in order; SIGCONT goes on. */
  async #suspend(): Promise<void> {
    await this.#leave();
    process.removeListener('SIGTSTP', this.#onStop);
    process.kill(process.pid, 'SIGTSTP');
    // Here again: the kernel stops a process before it returns from its own signal.
    process.on('SIGTSTP', this.#onStop);
  }

  async draw(lines: readonly string[]): Promise<void> {
    if (!this.#isShown) return;
    const body = lines.map((line) => `${line}${eraseLineText}`).join('\r\n');
    const drawn = this.#write(`${homeText}${body}${eraseBelowText}`);
    await Promise.race([drawn, this.#whenQuit]);
  }

  wait(ms: number): Promise<ScreenEvent> {
    const pending = this.#pending;
    if (pending !== null) {
      if (pending !== 'quit') this.#pending = null;
      return Promise.resolve(pending);
    }
    return new Promise((resolve) => {
      let cancel: Cancel = () => {};
      this.#wake = (event) => {
        cancel();
        this.#wake = () => {};
        if (event !== 'quit') this.#pending = null;
        resolve(event);
      };
      cancel = systemTimers.after(ms, () => this.#wake('time'));
    });
  }

  async close(): Promise<void> {
    await this.#leave();
    for (const [signal, handler] of this.#handlers) process.removeListener(signal, handler);
    process.removeListener('SIGTSTP', this.#onStop);
    process.removeListener('exit', this.#onExit);
    this.#in.removeListener('data', this.#onKey);
    this.#in.pause();
  }
}

/** The terminal of standard output. */
export function openScreen(): Screen {
  return new TerminalScreen();
}

/** Where there is no terminal: frames below each other, until `isWanted` says no. */
export function plainScreen(
  write: (text: string) => void,
  flush: () => Promise<void>,
  isWanted: () => boolean,
  columns: number,
): Screen {
  return {
    columns,
    rows: Number.POSITIVE_INFINITY,
    draw(lines) {
      write(`${lines.join('\n')}\n\n`);
      return flush();
    },
    wait: (ms) =>
      new Promise((resolve) => {
        systemTimers.after(ms, () => resolve(isWanted() ? 'time' : 'quit'));
      }),
    close: () => Promise.resolve(),
  };
}
