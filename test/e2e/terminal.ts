/** A terminal with a shell in it, by script(1): what a person types, sees, and closes. */
import { spawn } from 'node:child_process';
import { until } from './process.ts';

/** Keys as the terminal's driver knows them. */
export const key = {
  interrupt: '\x03',
  suspend: '\x1a',
  stopOutput: '\x13',
  goOnOutput: '\x11',
} as const;

export class Terminal {
  readonly #script;
  readonly #ended: Promise<unknown>;
  /** Everything that it showed, what was typed included. */
  out = '';

  constructor(env: NodeJS.ProcessEnv, shell = 'exec bash --norc --noprofile -i') {
    this.#script = spawn('script', ['-qfc', shell, '/dev/null'], {
      env: { ...env, TERM: 'dumb', PS1: '$ ' },
      cwd: '/',
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#script.stdin.on('error', () => {});
    this.#script.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.out += text;
    });
    this.#ended = new Promise((resolve, reject) => {
      this.#script.on('error', reject);
      this.#script.on('exit', resolve);
    });
  }

  press(keys: string): void {
    this.#script.stdin.write(keys);
  }

  type(line: string): void {
    this.press(`${line}\r`);
  }

  shows(text: string | RegExp): Promise<unknown> {
    const isThere = () =>
      typeof text === 'string' ? this.out.includes(text) : text.test(this.out);
    return until(`the terminal shows ${text}; it shows ${this.out}`, isThere);
  }

  /** Types the question for the exit code of what ran last; the echo does not look like it. */
  async showsCode(code: number): Promise<void> {
    this.type('echo "code=$?="');
    await this.shows(`code=${code}=`);
  }

  /** The line is gone: the kernel tells whoever has this terminal, and the shell its jobs. */
  async hangUp(): Promise<void> {
    this.#script.kill('SIGKILL');
    await this.#ended;
  }
}
