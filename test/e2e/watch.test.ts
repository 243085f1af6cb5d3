/** `tsremus status --watch` on a real terminal, tmux(1), and where there is none. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleStatus } from '../registry/sample-status.ts';
import { ensureBuilt, main } from './built.ts';
import { processesWith, run, signal, until } from './process.ts';

let dir: string;

beforeAll(async () => {
  await ensureBuilt();
  dir = mkdtempSync(join(tmpdir(), 'tsremus-watch-'));
  mkdirSync(join(dir, 'run'));
  writeFileSync(join(dir, 'run/u.primary.json'), JSON.stringify(sampleStatus()));
});

afterAll(() => rmSync(dir, { recursive: true }));

const env = () => ({
  PATH: process.env['PATH'] ?? '',
  TSREMUS_RUN_DIR: join(dir, 'run'),
  TSREMUS_CONFIG_DIR: join(dir, 'etc'),
  LANG: 'C.UTF-8',
});

const noTmux = spawnSync('tmux', ['-V']).error === undefined ? null : 'tmux is not installed';

/** A terminal of its own with a shell in it. */
class Tmux {
  readonly #socket: string;

  constructor(name: string, more: Readonly<Record<string, string>> = {}) {
    this.#socket = join(dir, name);
    const words = Object.entries({ ...env(), ...more }).map(([key, value]) => `${key}='${value}'`);
    const shell = `env -i ${words.join(' ')} TERM=$TERM bash --norc --noprofile`;
    this.tmux('-f', '/dev/null', 'new-session', '-d', '-x', '80', '-y', '24', shell);
  }

  tmux(...words: string[]): string {
    return execFileSync('tmux', ['-S', this.#socket, ...words], { encoding: 'utf8' });
  }

  keys(...keys: string[]): void {
    this.tmux('send-keys', ...keys);
  }

  get screen(): string {
    return this.tmux('capture-pane', '-p');
  }

  shows(text: string | RegExp): Promise<unknown> {
    return until(`the terminal shows ${text}`, () =>
      typeof text === 'string' ? this.screen.includes(text) : text.test(this.screen),
    );
  }

  /** `1 0`: the alternate screen, without a cursor. */
  modes(wanted: string): Promise<unknown> {
    const modes = () => this.tmux('display', '-p', '#{alternate_on} #{cursor_flag}').trim();
    return until(`the modes of the terminal are ${wanted}`, () => modes() === wanted);
  }

  /** The shell is asked on a line that does not look like its answer. */
  async answers(command: string, answer: string): Promise<void> {
    this.keys(`echo "=$(${command})="`, 'Enter');
    await this.shows(`=${answer}=`);
  }

  close(): void {
    this.tmux('kill-server');
  }
}

const command = () => `${process.execPath} ${main} status --watch`;

describe.skipIf(noTmux !== null)(`in tmux${noTmux === null ? '' : ` (${noTmux})`}`, () => {
  // Proves: it is drawn over itself at the terminal's width, is stopped and goes on as a shell
  // wants it, and leaves the terminal as it was.
  it('is drawn, resized, stopped, and ended', async () => {
    const terminal = new Tmux('one');
    try {
      terminal.keys('echo before', 'Enter');
      terminal.keys(command(), 'Enter');
      await terminal.modes('1 0');
      await terminal.shows(/^web1 {2}primary {2}\S+ {2}-> hostb {2}epoch 42$/m);
      await terminal.shows(/q: quit +(OK|WARNING|CRITICAL)$/m);
      expect(terminal.screen).not.toContain('before');
      terminal.tmux('resize-window', '-x', '40', '-y', '20');
      await until('it is as narrow as the terminal', () => {
        const widths = terminal.screen.split('\n').map((line) => line.length);
        return Math.max(...widths) < 40 && /^ {2}lag /m.test(terminal.screen);
      });
      terminal.keys('C-z');
      await terminal.modes('0 1');
      await terminal.shows('before');
      await terminal.shows('Stopped');
      await terminal.answers('stty -a | grep -ow -- "[-]*echo"', 'echo');
      terminal.keys('fg', 'Enter');
      await terminal.modes('1 0');
      await terminal.shows(/^ {2}lag /m);
      terminal.keys('q');
      await terminal.modes('0 1');
      await terminal.answers('stty -a | grep -ow -- "[-]*icanon"', 'icanon');
    } finally {
      terminal.close();
    }
  });

  // Proves: whatever ends it, the terminal is in order, and the exit code is how things were.
  it.each(['SIGINT', 'SIGTERM'] as const)('is in order after %s', async (name) => {
    const terminal = new Tmux(name);
    try {
      writeFileSync(
        join(dir, 'run/u.primary.json'),
        JSON.stringify(sampleStatus({ state: 'held', updated: '2099-01-01T00:00:00.000Z' })),
      );
      terminal.keys(`${command()} --color never; echo "code=$?="`, 'Enter');
      await terminal.modes('1 0');
      await terminal.shows(/ CRITICAL$/m);
      const [found] = processesWith(dir).filter(({ argv }) => /--watch/.test(argv.join(' ')));
      if (found === undefined) throw new Error('it does not run');
      signal(found.pid, name);
      await terminal.modes('0 1');
      await terminal.shows('code=2=');
      await terminal.answers('stty -a | grep -ow -- "[-]*echo"', 'echo');
    } finally {
      terminal.close();
    }
  });
});

// Proves: where there is no terminal frames stand below each other, without an escape sequence, and
// a reader that goes away ends it.
it('prints frames to a pipe', async () => {
  const line = `${command()} 1 | head -n 6`;
  const { out, code } = await run('sh', ['-c', line], env());
  expect(code).toBe(0);
  expect(out).not.toContain('\u001b');
  expect(out).toMatch(/ every 1 s +\S+\n\nweb1 {2}primary/);
});

it.each([
  [['--watch', 'web1'], '--watch: "web1" is not a number of seconds: DOMAIN comes before --watch'],
  [['--watch', '0'], '--watch: 0 is out of range (seconds, 1 to 3600)'],
  [['--watch', '--json'], '--json and --watch are two formats'],
  [['--watch', '--check'], '--check and --watch are two formats'],
])('%j is refused', async (words, why) => {
  const { err, code } = await run(process.execPath, [main, 'status', ...words], env());
  expect(code).toBe(3);
  expect(err).toContain(why);
});
