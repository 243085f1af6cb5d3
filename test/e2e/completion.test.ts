/**
 * Completion in the shells themselves, on a terminal, by the key that a person presses: what they
 * make of the line, quotes and their cutting of words included.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ensureBuilt, main } from './built.ts';
import { Terminal } from './terminal.ts';

let dir = '';
let env: NodeJS.ProcessEnv = {};

function program(name: string, lines: string): void {
  writeFileSync(join(dir, 'bin', name), `#!/bin/sh\n${lines}\n`, { mode: 0o755 });
}

beforeAll(async () => {
  await ensureBuilt();
  dir = mkdtempSync(join(tmpdir(), 'tsremus-completion-'));
  mkdirSync(join(dir, 'bin'));
  mkdirSync(join(dir, '.ssh'));
  writeFileSync(join(dir, '.ssh/config'), 'Host hostb.example\n');
  writeFileSync(join(dir, 'metrics.prom'), '');
  program('tsremus', `exec ${process.execPath} ${main} "$@"`);
  // What was completed, as the shell hands it over.
  program('told', 'for word; do printf "<%s>" "$word"; done; echo');
  program('xl', `printf 'Web 1   3   128   1   -b----   1.2\\n'`);
  env = {
    ...{ HOME: dir, ZDOTDIR: dir, XDG_CONFIG_HOME: dir, XDG_DATA_HOME: dir },
    ...{ PATH: `${join(dir, 'bin')}:${process.env['PATH']}`, LC_ALL: 'C.UTF-8' },
  };
});

afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Lines with the key where a person would press it, and what the program is then told. */
const lines: readonly (readonly [string, string])[] = [
  ['tsremus statu\t--js\t', '<status><--json>'],
  ['tsremus status --color=alw\t', '<status><--color=always>'],
  ['tsremus status --color nev\t', '<status><--color><never>'],
  ['tsremus protect We\thostb\t', '<protect><Web 1><hostb.example>'],
  ['tsremus set web1 max-over\t7', '<set><web1><max-overhead=7>'],
  ['tsremus status --metrics metr\t', '<status><--metrics><metrics.prom>'],
];

const shells = {
  bash: {
    start: 'exec bash --norc --noprofile -i',
    setUp: 'eval "$(tsremus completion bash)"; bind "set bell-style none"',
    /** Whatever a completed line runs says what it was told. */
    instead:
      'tsremus() { if [ "$1" = __complete ]; then command tsremus "$@"; else told "$@"; fi; }',
  },
  zsh: {
    start: 'exec zsh -f -i',
    setUp: 'autoload -U compinit; compinit -u -D; eval "$(tsremus completion zsh)"; unsetopt beep',
    instead:
      'tsremus() { if [ "$1" = __complete ]; then command tsremus "$@"; else told "$@"; fi; }',
  },
} as const;

const isMissing = (shell: string) => spawnSync(shell, ['--version']).error !== undefined;

// Proves: bash and zsh complete commands, options, values, guests, hosts and files, and hand over
// what was meant, blanks and equals signs included.
it.for(['bash', 'zsh'] as const)('%s', async (shell, { skip }) => {
  skip(isMissing(shell), `${shell} is not installed`);
  const { start, setUp, instead } = shells[shell];
  const terminal = new Terminal(env, start);
  try {
    terminal.type(`cd ${dir}; ${setUp}; ${instead}; echo "up=$?="`);
    await terminal.shows(/up=0=/);
    for (const [line, told] of lines) {
      terminal.type(line);
      await terminal.shows(told);
    }
  } finally {
    await terminal.hangUp();
  }
});

// Proves: fish finds the same candidates (its own engine, without a terminal).
it('fish', ({ skip }) => {
  skip(isMissing('fish'), 'fish is not installed');
  const asked = (line: string) => {
    const script = `tsremus completion fish | source; complete -C '${line}'`;
    return spawnSync('fish', ['--no-config', '-c', script], { env, cwd: dir, encoding: 'utf8' });
  };
  const words = (line: string) =>
    asked(line)
      .stdout.split('\n')
      .map((one) => one.split('\t')[0]);
  expect(words('tsremus statu')).toContain('status');
  expect(words('tsremus status --color=alw')).toContain('--color=always');
  expect(words('tsremus protect We')).toContain('Web 1');
  expect(words('tsremus protect x hostb')).toContain('hostb.example');
  expect(words('tsremus set web1 max-over')).toContain('max-overhead=');
  expect(words('tsremus status --metrics metr').join()).toContain('metrics.prom');
});
