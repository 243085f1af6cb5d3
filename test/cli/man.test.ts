/**
 * The man pages are written by hand; this keeps them true: every option, exit code and variable of
 * the program stands in its page, and nothing else does; examples parse; groff has no complaint.
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
import { checkNames } from '../../src/core/check/line.ts';
import { fakeIo } from './fake-io.ts';

const repository = join(import.meta.dirname, '../..');
const pages = readdirSync(join(repository, 'man')).filter((name) => name.endsWith('.8'));
const text = (page: string) => readFileSync(join(repository, 'man', page), 'utf8');
const lines = (page: string) => text(page).split('\n');

/** The lines of a section, its heading left out. */
function section(page: string, title: string): string[] {
  const all = lines(page);
  const start = all.indexOf(`.Sh ${title}`);
  if (start < 0) return [];
  const end = all.findIndex((line, at) => at > start && line.startsWith('.Sh '));
  return all.slice(start + 1, end < 0 ? all.length : end);
}

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
  const all = readdirSync(join(repository, 'man')).map((page) => `man/${page}`);
  expect([...manifest.man].sort()).toEqual(all.sort());
});

describe.each(commands)('$page', ({ page, command }) => {
  it('describes every option, and no other', () => {
    const given = flagsOf(command).sort();
    expect(flagsIn(page).sort()).toEqual(given);
  });

  it('has all its sections', () => {
    const titles = lines(page).flatMap((line) => (line.startsWith('.Sh ') ? [line.slice(4)] : []));
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

  it('refers to pages that exist', () => {
    const references = lines(page).filter((line) => line.startsWith('.Xr tsremus'));
    for (const reference of references) {
      const [, name = '', section = ''] = reference.split(' ');
      expect(readdirSync(join(repository, 'man'))).toContain(`${name}.${section}`);
    }
  });

  it('renders without a warning', (context) => {
    const done = spawnSync('groff', ['-mandoc', '-Tutf8', '-ww', join(repository, 'man', page)]);
    if (done.error) context.skip('groff is not installed');
    expect(String(done.stderr)).toBe('');
    expect(done.status).toBe(0);
  });
});

it('tsremus.8 has every exit code', () => {
  const items = section('tsremus.8', 'EXIT STATUS').filter((line) => /^\.It \d+$/.test(line));
  const codes = items.map((line) => Number(line.slice(4)));
  expect(codes).toEqual(Object.values(exit));
});

it('tsremus.8 has every variable of the environment', () => {
  const used = ['src', 'native/common', 'native/xen', 'native/plug', 'native/codec']
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

  it('renders without a warning', (context) => {
    const done = spawnSync('groff', ['-mandoc', '-Tutf8', '-ww', join(repository, 'man', page)]);
    if (done.error) context.skip('groff is not installed');
    expect(String(done.stderr)).toBe('');
  });
});

it('tsremus-check.8 has every requirement', () => {
  const items = section('tsremus-check.8', 'DESCRIPTION').filter((line) =>
    line.startsWith('.It Li '),
  );
  const named = items.flatMap((line) => line.slice('.It Li '.length).split(' , '));
  expect(named.sort()).toEqual([...checkNames].sort());
});

it('tsremus-protect.8 has the ranges and the defaults', () => {
  const options = section('tsremus-protect.8', 'OPTIONS').join(' ');
  for (const { flag, min, max, fallback } of numberSettings) {
    const about = options.slice(options.indexOf(`Fl ${flag.slice(1)} `));
    expect(about.slice(0, 400), flag).toContain(`${min} to ${max}, default ${fallback}`);
  }
});

/** Splits a line of an example as a shell would, up to a pipe, a redirection or a comment. */
function words(line: string): string[] {
  const found = line.matchAll(/'([^']*)'|[^\s']+/g);
  const all = [...found].map(([word, quoted]) => quoted ?? word);
  const end = all.findIndex((word) => /^[|>#]/.test(word));
  return end < 0 ? all : all.slice(0, end);
}

describe('examples', () => {
  const readme = readFileSync(join(repository, 'README.md'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('    '));
  const all = [...pages.flatMap((page) => section(page, 'EXAMPLES')), ...readme]
    .map((line) => line.replace(/^\s*(host[ab]# |# )/, ''))
    .filter((line) => line.startsWith('tsremus '));

  it.each([...new Set(all)])('%s', async (line) => {
    const parsed = buildProgram(newContext(fakeIo()));
    let ran = false;
    for (const command of parsed.commands) {
      command.action(() => {
        ran = true;
      });
    }
    await parsed.parseAsync(words(line).slice(1), { from: 'user' });
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
