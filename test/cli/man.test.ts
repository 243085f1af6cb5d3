/**
 * The man pages are written by hand; this keeps them true: every option, exit code and variable of
 * the program stands in its page, and nothing else does; examples parse. What holds for every page,
 * and what is in those that are of no command, is in test/docs/pages.test.ts.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { parse } from 'smol-toml';
import { describe, expect, it } from 'vitest';
import { newContext } from '../../src/cli/context.ts';
import { exit } from '../../src/cli/exit-codes.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { guestValues } from '../../src/config/guest-file.ts';
import { numberSettings } from '../../src/config/settings.ts';
import { fileKeys, guestKeys, valuesOf } from '../../src/config/settings-file.ts';
import { variables } from '../../src/config/variables.ts';
import { repository } from '../docs/markdown.ts';
import { pages as all, linesOf, refusalOf, section, shownIn, wordsIn } from '../docs/mdoc.ts';
import { fakeIo } from './fake-io.ts';

const pages = all.filter((name) => name.endsWith('.8'));

const program = buildProgram(newContext(fakeIo()));
const commands: readonly { page: string; command: Command }[] = [
  { page: 'tsremus.8', command: program },
  ...program
    .createHelp()
    .visibleCommands(program)
    // Each of the others has a page that says what it does.
    .filter((command) => command.name() !== 'help')
    .map((command) => ({ page: `tsremus-${command.name()}.8`, command })),
];

/** `--interval` and `-i` of each option, as the page writes them: without the first dash. */
function flagsOf(command: Command): string[] {
  const options = command.options.flatMap(({ short, long }) => [short, long]);
  return [...options, '-h', '--help']
    .filter((flag) => flag !== undefined && flag !== null)
    .map((flag) => flag.slice(1));
}

/** The flags that a page's OPTIONS describes. */
function flagsIn(page: string): string[] {
  const items = section(page, 'OPTIONS').filter((line) => line.startsWith('.It Fl '));
  return items.flatMap((line) => {
    const words = line.slice('.It Fl '.length).split(' ');
    return words.filter((word) => /^[a-zA-Z]$|^-[a-z]/.test(word));
  });
}

it('has a page per command, and lists them all in the package', () => {
  expect([...pages].sort()).toEqual(commands.map(({ page }) => page).sort());
  const manifest = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
  expect([...manifest.man].sort()).toEqual(all.map((page) => `man/${page}`));
});

describe.each(commands)('$page', ({ page, command }) => {
  it('describes every option, and no other', () => {
    const given = flagsOf(command).sort();
    expect(flagsIn(page).sort()).toEqual(given);
  });

  it('has all its sections', () => {
    const titles = linesOf(page).flatMap((line) =>
      line.startsWith('.Sh ') ? [line.slice(4)] : [],
    );
    for (const title of [
      'NAME',
      'SYNOPSIS',
      'DESCRIPTION',
      'OPTIONS',
      'GUARANTEES',
      'ENVIRONMENT',
      'FILES',
      'EXIT STATUS',
      'EXAMPLES',
      'WHEN THINGS GO WRONG',
      'SEE ALSO',
    ]) {
      expect(titles, title).toContain(title);
    }
  });

  it('knows only exit codes of the table', () => {
    const known = Object.values(exit).map(String);
    const items = section(page, 'EXIT STATUS').filter((line) => line.startsWith('.It '));
    const codes = items.flatMap((line) => line.slice(4).split(' , '));
    expect(codes.length).toBeGreaterThan(0);
    for (const code of codes) expect(known, page).toContain(code);
  });
});

it('tsremus.8 has every exit code', () => {
  const items = section('tsremus.8', 'EXIT STATUS').filter((line) => /^\.It \d+$/.test(line));
  const codes = items.map((line) => Number(line.slice(4)));
  expect(codes).toEqual(Object.values(exit));
});

it('tsremus.8 has every variable of the environment', () => {
  const used = ['src', 'native/common', 'native/xen', 'native/plug', 'native/codec', 'native/pause']
    .flatMap((folder) =>
      readdirSync(join(repository, folder), { recursive: true, encoding: 'utf8' }).map((name) =>
        join(repository, folder, name),
      ),
    )
    .filter((path) => /\.(ts|c)$/.test(path) && !path.endsWith('config/variables.ts'))
    .map((path) => readFileSync(path, 'utf8'))
    .flatMap((source) =>
      [...source.matchAll(/(?<!_)TSREMUS_[A-Z_]+[A-Z]\b/g)].map(([name]) => name),
    );
  const said = new Set(
    section('tsremus.8', 'ENVIRONMENT')
      .join(' ')
      .match(/TSREMUS_[A-Z_]+/g),
  );
  expect([...said].sort()).toEqual([...new Set(used)].sort());
  expect([...variables].sort()).toEqual([...said].sort());
});

describe('tsremus.toml.5', () => {
  const page = 'tsremus.toml.5';

  it('has every key, and no other', () => {
    const items = section(page, 'DESCRIPTION').filter((line) => line.startsWith('.It Cm '));
    expect(items.map((line) => line.slice('.It Cm '.length))).toEqual(
      fileKeys.map(({ key }) => key),
    );
  });

  it('has every key of a guest, and no other', () => {
    const items = section(page, 'GUESTS').filter((line) => line.startsWith('.It Cm '));
    const keys = items.flatMap((line) => line.slice('.It Cm '.length).split(' , '));
    expect(keys).toEqual(guestKeys.map(({ key }) => key));
  });

  it('has examples that hold', () => {
    const lines = section(page, 'EXAMPLES').filter((line) => !/^\.(Bd|Pp)|^[A-Z]/.test(line));
    const [host = '', guest = ''] = lines.join('\n').split('.Ed\n');
    const file = (text: string) => ({ path: 'x', text, table: parse(text) });
    expect(valuesOf([file(host)])).toHaveLength(4);
    expect(guestValues(file(guest.replace(/\.Ed$/, '')))).toHaveLength(4);
  });
});

it('tsremus-protect.8 has the ranges and the defaults', () => {
  const options = section('tsremus-protect.8', 'OPTIONS').join(' ');
  for (const { flag, min, max, fallback } of numberSettings) {
    const about = options.slice(options.indexOf(`Fl ${flag.slice(1)} `));
    expect(about.slice(0, 400), flag).toContain(`${min} to ${max}, default ${fallback}`);
  }
});

describe('examples', () => {
  const readme = readFileSync(join(repository, 'README.md'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('    '));
  const shown = [...all.flatMap(shownIn), ...readme]
    .map((line) => line.replace(/^\s*(host[ab]# |# )/, ''))
    .filter((line) => line.startsWith('tsremus ') && refusalOf(line) === null);

  it.each([...new Set(shown)])('%s', async (line) => {
    const parsed = buildProgram(newContext(fakeIo()));
    let ran = false;
    for (const command of parsed.commands) {
      command.action(() => {
        ran = true;
      });
    }
    await parsed.parseAsync(wordsIn(line).slice(1), { from: 'user' }).catch((error) => {
      // --version says it and is done.
      if (error.exitCode !== 0) throw error;
      ran = true;
    });
    expect(ran).toBe(true);
  });
});

// Proves: cron's sh understands the line for it, finds us in /usr/local, and there is no %.
it('has a line for cron that works there', () => {
  const shown = section('tsremus.8', 'EXAMPLES');
  const line = shown.find((one) => one.startsWith('* * * * * root ')) ?? '';
  expect(shown).toContain('PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin');
  expect(line).not.toContain('%');
  const command = line.replace('* * * * * root ', '');
  const ran = (code: number) =>
    spawnSync('sh', ['-c', `tsremus() { echo said; return ${code}; }\n${command}`], {
      encoding: 'utf8',
    }).stdout;
  expect(ran(2)).toBe('said\n');
  expect(ran(0)).toBe('');
});
