/** The streams, the environment and the clock of this process, for its command line. */
import { writeFileSync } from 'node:fs';
import { isatty } from 'node:tty';
import { systemBootClock, systemClock } from '../host/clock.ts';
import { errnoCode, errorText } from '../host/errors.ts';
import { isJournal } from '../host/log.ts';

/** Bytes that wait for a reader before a stream is behind. */
const waitingBytesMax = 64 * 1024;

/**
 * Node writes to a terminal with blocking calls: one Ctrl-S, and nothing of the process runs any
 * more. Pipes it does not wait for. What is not written yet goes out by `flush`.
 */
function neverBlock(stream: NodeJS.WriteStream): void {
  const { _handle: handle } = stream as { _handle?: { setBlocking?(isBlocking: boolean): void } };
  if (stream.isTTY) handle?.setBlocking?.(false);
}

/** One of this process's output streams (src/cli/io.ts, Stream), made when it is needed. */
class ProcessStream {
  readonly #open: () => NodeJS.WriteStream;
  #opened: NodeJS.WriteStream | null = null;
  failure: string | null = null;
  #gone = false;

  constructor(open: () => NodeJS.WriteStream) {
    this.#open = open;
  }

  get #stream(): NodeJS.WriteStream {
    if (this.#opened !== null) return this.#opened;
    const stream = this.#open();
    this.#opened = stream;
    neverBlock(stream);
    // A reader that went away (`tsremus status | head -1`) is no failure: a session must not end,
    // and nobody wants a stack, because nobody listens any more.
    stream.on('error', (error) => {
      this.#gone = true;
      if (errnoCode(error) !== 'EPIPE') this.failure = errorText(error);
    });
    return stream;
  }

  get isGone(): boolean {
    return this.#gone;
  }

  get isTty(): boolean {
    return this.#stream.isTTY === true;
  }

  get isJournal(): boolean {
    return isJournal((this.#stream as NodeJS.WriteStream & { fd: number }).fd, process.env);
  }

  get isBehind(): boolean {
    return !this.#gone && (this.#opened?.writableLength ?? 0) > waitingBytesMax;
  }

  get columns(): number {
    return this.#stream.columns || 80;
  }

  write(text: string): void {
    if (!this.#gone) this.#stream.write(text);
  }

  flush(): Promise<void> {
    return new Promise((resolve) => {
      // A failed write reports itself in the turn after its callback.
      if (this.#gone || this.#opened === null) resolve();
      else this.#opened.write('', () => setImmediate(resolve));
    });
  }
}

async function askOnTerminal(question: string): Promise<string | null> {
  // Few commands ask.
  const { createInterface } = await import('node:readline');
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  return new Promise((resolve) => {
    lines.once('close', () => resolve(null));
    // Ctrl-C at the question is a no.
    lines.once('SIGINT', () => lines.close());
    lines.question(question, (answer) => {
      resolve(answer);
      lines.close();
    });
  });
}

/**
 * Calls this process `tsremus` for ps and top, which would else show node. What follows in ps is
 * what was typed; it is for people, and no program relies on it.
 */
export function nameProcess(argv: readonly string[]): void {
  process.title = ['tsremus', ...argv].join(' ');
  try {
    // The title would be cut for the short name, which `ps -C` and `pgrep -x` look at.
    writeFileSync('/proc/self/comm', 'tsremus');
  } catch {
    // No such file, or no leave to write it: a name is worth no failure.
  }
}

/** The real thing. */
export function processIo() {
  return {
    out: new ProcessStream(() => process.stdout),
    err: new ProcessStream(() => process.stderr),
    env: process.env,
    clock: systemClock,
    bootClock: systemBootClock,
    stdinIsTty: isatty(0),
    ask: askOnTerminal,
    argv: process.argv.slice(2),
  };
}
