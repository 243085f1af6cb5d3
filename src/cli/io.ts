/**
 * The command line's way to the outside, handed to every command so that tests can stand in.
 * Nothing else in src/cli touches process.stdout, process.stderr or process.stdin.
 */
import { createInterface } from 'node:readline';
import { errnoCode, errorText } from '../host/errors.ts';

export interface Stream {
  write(text: string): void;
  readonly isTty: boolean;
  /** Width of the terminal; 80 when it has none to tell. */
  readonly columns: number;
  /** Resolves when everything that was written is out, or known to have failed. */
  flush(): Promise<void>;
  /** Why the last write failed, if it did; null also when the reader just went away. */
  readonly failure: string | null;
}

export interface Io {
  readonly out: Stream;
  readonly err: Stream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdinIsTty: boolean;
  /** Puts a question on stderr and reads one line; null at end of file. */
  ask(question: string): Promise<string | null>;
  /** The arguments as typed, for hints that repeat the command. */
  readonly argv: readonly string[];
}

class ProcessStream implements Stream {
  readonly #stream: NodeJS.WriteStream;
  failure: string | null = null;
  #gone = false;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    // A reader that went away (`tsremus status | head -1`) is no failure: a session must not end,
    // and nobody wants a stack, because nobody listens any more.
    stream.on('error', (error) => {
      this.#gone = true;
      if (errnoCode(error) !== 'EPIPE') this.failure = errorText(error);
    });
  }

  get isTty(): boolean {
    return this.#stream.isTTY === true;
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
      if (this.#gone) resolve();
      else this.#stream.write('', () => setImmediate(resolve));
    });
  }
}

function askOnTerminal(question: string): Promise<string | null> {
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

/** The real thing. */
export function processIo(): Io {
  return {
    out: new ProcessStream(process.stdout),
    err: new ProcessStream(process.stderr),
    env: process.env,
    stdinIsTty: process.stdin.isTTY === true,
    ask: askOnTerminal,
    argv: process.argv.slice(2),
  };
}
