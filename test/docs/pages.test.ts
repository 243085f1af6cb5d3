/**
 * What holds for every man page; and the pages of section 7, which are of no command, held against
 * the code. The pages of commands are in test/cli/man.test.ts.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { newContext } from '../../src/cli/context.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { type ProtectFlags, protectOptions } from '../../src/cli/protect-arguments.ts';
import { checkNames } from '../../src/core/check/line.ts';
import { frameTypes, protocolVersion } from '../../src/link/frame.ts';
import { pulseBytes } from '../../src/link/pulse-datagram.ts';
import { fakeIo, runLine } from '../cli/fake-io.ts';
import { read, repository, tableOf } from './markdown.ts';
import {
  groffSays,
  itemsOf,
  linesOf,
  mandocSays,
  pages,
  refusalOf,
  section,
  shownIn,
  subsection,
  subsections,
  wordsIn,
} from './mdoc.ts';

/** `tsremus.toml 5` of tsremus.toml.5, as a reference names it. */
function referenceTo(page: string): string {
  const dot = page.lastIndexOf('.');
  return `${page.slice(0, dot)} ${page.slice(dot + 1)}`;
}

const references = (lines: readonly string[]) =>
  lines
    .filter((line) => line.startsWith('.Xr tsremus'))
    .map((line) => line.split(' ').slice(1, 3).join(' '));

describe.each(pages)('%s', (page) => {
  it('refers to pages that exist', () => {
    const known = pages.map(referenceTo);
    for (const reference of references(linesOf(page))) expect(known).toContain(reference);
  });

  it('renders without a warning of groff', (context) => {
    const said = groffSays(page);
    if (said === null) return context.skip('groff is not installed');
    expect(said).toBe('');
  });

  it('leaves mandoc nothing to say', (context) => {
    const said = mandocSays(page);
    if (said === null) return context.skip('mandoc is not installed');
    expect(said).toEqual([]);
  });
});

// Proves: nobody has to guess the name of a page.
it('tsremus.8 refers to every other page', () => {
  const named = references(section('tsremus.8', 'SEE ALSO'));
  const others = pages.filter((page) => page !== 'tsremus.8').map(referenceTo);
  expect([...named].sort()).toEqual(others.sort());
});

/** Sections of what is of no command: whoever is sent there by a line finds no other command. */
describe.each(pages.filter((page) => page.endsWith('.7')))('%s', (page) => {
  const typed = linesOf(page)
    .filter((line) => line.startsWith('.Ql tsremus '))
    .map((line) => line.slice('.Ql '.length).replace(/ [,.;:]$/, ''))
    // These two are started by the program itself.
    .filter((line) => !/^tsremus (guard|session)$/.test(line));

  // Proves: what the text has in passing can be typed, too.
  it('names only command lines that there are', async () => {
    for (const line of typed) {
      const program = buildProgram(newContext(fakeIo()));
      let ran = false;
      for (const command of program.commands) {
        command.exitOverride();
        command.action(() => {
          ran = true;
        });
      }
      // A command that wants a guest is named alone where the guest does not matter.
      const words = wordsIn(line).slice(1);
      const isAlone = words.length === 1;
      await program.parseAsync(words, { from: 'user' }).catch((error: Error) => {
        ran = isAlone && /missing required argument/.test(error.message);
      });
      expect(ran, line).toBe(true);
    }
  });
});

/** All texts of the program, as they are in its sources: joined, and a NUL for what is put in. */
function textsOf(folder: string, ending: RegExp): string {
  const names = readdirSync(join(repository, folder), { recursive: true, encoding: 'utf8' });
  const texts = names.filter((name) => ending.test(name)).map((name) => read(join(folder, name)));
  return texts
    .join('\n')
    .replace(/['"`]\s*\+\s*['"`]/g, '')
    .replace(/\$\{[^{}]*(?:\{[^{}]*\})?[^{}]*\}/g, '\0');
}

// Proves: who looks a message up finds it in the words in which it was shown.
it('has messages in sections on trouble as the program words them', () => {
  const texts = textsOf('src', /\.ts$/) + textsOf('native', /\.c$/);
  const quoted = pages.flatMap((page) =>
    ['WHEN THINGS GO WRONG', 'WHAT ELSE STATUS SAYS'].flatMap((title) =>
      itemsOf(section(page, title), 'Ql').map((item) => item.replace(/ Pq .*/, '')),
    ),
  );
  expect(quoted.length).toBeGreaterThan(40);
  for (const message of quoted) {
    // What is put in: a host, a guest, a time, or anything; and what follows a colon may be.
    const parts = message.split(/ ?\.\.\. ?|hostb|DOMAIN|: |\d+ s\b/).map((part) => part.trim());
    for (const part of parts.filter((one) => one.length > 2))
      expect(texts, message).toContain(part);
  }
});

// Proves: who types the `man` line that an error ends with finds the page, and the section there.
it('has every page and section that a line after Try: sends to', () => {
  const sources = readdirSync(join(repository, 'src'), { recursive: true, encoding: 'utf8' });
  const sent = sources
    .filter((name) => name.endsWith('.ts'))
    .map((name) => read(join('src', name)))
    .flatMap((text) => [
      ...text.matchAll(/page: '(tsremus[\w.-]*)',?\s*(?:why: '([^']*)'|why\b)/g),
      ...text.matchAll(/page\('(tsremus[\w.-]*)', '([^']*)'\)/g),
    ]);
  expect(sent.length).toBeGreaterThan(10);
  for (const [said, name = '', why = ''] of sent) {
    const page = pages.find((one) => one.replace(/\.\d$/, '') === name);
    expect(page, said).toBeDefined();
    const [, heading] = /^([A-Z][A-Z ]+):/.exec(why) ?? [];
    if (heading !== undefined) expect(section(page ?? '', heading), said).not.toEqual([]);
  }
});

// Proves: who reads a line of `check` finds its word, and no word is of a line that was.
it('tsremus-requirements.7 has every line of check, and no other', () => {
  const named = itemsOf(section('tsremus-requirements.7', 'DESCRIPTION'), 'Li');
  expect(named.sort()).toEqual([...checkNames].sort());
});

describe('tsremus-protocol.7', () => {
  const page = 'tsremus-protocol.7';
  const protocol = read('docs/PROTOCOL.md');

  // Proves: a frame that is added, or goes another way, has its place on the page; docs/PROTOCOL.md
  // is held to the code for who sends what (protocol.test.ts).
  it.each([
    ['From either side', 'both'],
    ['From the primary', 'primary'],
    ['From the backup', 'backup'],
  ])('%s has the frames that come from %s', (part, from) => {
    const named = itemsOf(subsection(page, 'FRAMES', part), 'Li');
    const { rows } = tableOf(protocol, 'Frame', 'type', 'frame', 'from');
    const sent = rows.filter(([, , side]) => side === from).map(([, name = '']) => name);
    expect(sent.length).toBeGreaterThan(0);
    expect([...named].sort()).toEqual([...sent].sort());
    expect(rows).toHaveLength(frameTypes.length);
  });

  it('names the version and the length of a datagram', () => {
    const text = linesOf(page).join('\n');
    expect(text).toContain(`This is version ${protocolVersion} of the protocol.`);
    expect(text).toContain(`${pulseBytes} bytes each`);
    // With the header of UDP, as the filter of the example counts it.
    expect(shownIn(page)).toContainEqual(expect.stringContaining(`udp[4:2] = ${pulseBytes + 8}`));
  });

  it('has limits as docs/PROTOCOL.md words them, where they are held to the code', () => {
    const lines = section(page, 'LIMITS');
    const items = lines.flatMap((line, at) =>
      line.startsWith('.It ') ? [[lines[at + 1], line.slice('.It '.length)]] : [],
    );
    const rows = tableOf(protocol, 'Limits and times').rows.map(([what, limit]) => [what, limit]);
    expect(items.length).toBeGreaterThan(3);
    for (const item of items) expect(rows).toContainEqual(item);
  });
});

describe('tsremus-xl-remus.7', () => {
  const page = 'tsremus-xl-remus.7';
  const lines = shownIn(page).filter((line) => line.startsWith('tsremus protect '));

  /** Options of a section's items: `.It Fl i Ar ms , Fl -interval` -> i, interval. */
  function optionsOf(title: string): string[] {
    const items = section(page, title).filter((line) => line.startsWith('.It Fl '));
    return items.flatMap((line) =>
      [...line.matchAll(/Fl -?(\S+)/g)].map(([, option = '']) => option),
    );
  }

  // tools/xl/xl_migrate.c, main_remus, of Xen 4.17 to 4.22: its getopt(3).
  it('has every option of xl remus', () => {
    expect(optionsOf('OPTIONS OF XL REMUS').sort()).toEqual(
      [...'Fbundi:s:N:ecp'.replaceAll(':', '')].sort(),
    );
  });

  // tools/remus/remus of Xen 4.0 to 4.4, add_option.
  it("has every option of xend's remus", () => {
    expect(optionsOf("OPTIONS OF XEND'S REMUS")).toEqual([
      ...['i', 'interval', 'p', 'port', 'blackhole', 'no-net', 'no-compression', 'timer'],
      'no-backup',
    ]);
  });

  // Proves: what the page says of an option, that it is taken or refused, is what happens.
  it.each([...new Set(lines)])('%s', async (line) => {
    const argv = wordsIn(line).slice(1);
    const program = buildProgram(newContext(fakeIo()));
    let options: unknown = null;
    program.commands
      .find((command) => command.name() === 'protect')
      ?.action((domain: string, host: string | undefined, flags: ProtectFlags) => {
        options = protectOptions(domain, host, flags, {});
      });
    const parsed = program.parseAsync(argv, { from: 'user' });
    const code = refusalOf(line);
    if (code === null) {
      await parsed;
      expect(options).not.toBeNull();
      return;
    }
    await expect(parsed).rejects.toThrow();
    expect((await runLine(argv)).code).toBe(code);
  });
});

/** The members of a union of words in a source; `beginning`: what stands before the first one. */
function wordsOfType(path: string, beginning: string): string[] {
  const code = read(path).replace(/\/\*\*.*?\*\//gs, '');
  const [, after = ''] = code.split(beginning);
  const [union = ''] = after.split(';');
  return [...union.matchAll(/'([a-z-]+)'/g)].map(([, word = '']) => word);
}

describe('tsremus-runbook.7', () => {
  const page = 'tsremus-runbook.7';
  // Of a session; and of a declared guest that has none (src/cli/output/status.ts).
  const states = [
    ...wordsOfType('src/core/health/facts.ts', 'export type SessionState ='),
    ...wordsOfType('src/cli/output/status.ts', 'const state = { text: ').slice(0, 1),
  ];

  // Proves: whatever word status shows, there is a section that says what to do.
  it('has a section for every state, and for no other', () => {
    expect(subsections(page, 'STATES').sort()).toEqual([...states].sort());
    expect(states).toEqual(expect.arrayContaining(['protected', 'ended', 'missing']));
  });

  it.each(states)('says of %s what it means, to look at, to type and not to do', (state) => {
    const items = subsection(page, 'STATES', state).filter((line) => line.startsWith('.It '));
    expect(items).toEqual(['.It Means', '.It Look', '.It Type', '.It \\&Do not']);
  });

  it('has every word of a session that is degraded, as tsremus-status.8 has', () => {
    const words = itemsOf(section(page, 'DEGRADED'), 'Li');
    const status = section('tsremus-status.8', 'DESCRIPTION');
    const list = status.slice(status.indexOf('.Em degraded'));
    expect(words).toEqual(itemsOf(list, 'Li'));
    const texts = ['primary/facts', 'primary/figures', 'primary/session', 'backup/facts']
      .map((name) => read(`src/session/${name}.ts`))
      .join('');
    const said = texts.matchAll(/[`'](?:text\(')?([a-z]+)(?:: |', )/g);
    const known = [...said].map(([, word]) => word);
    for (const word of words) expect(known, word).toContain(word);
  });

  it('has every answer, and every word of a record', () => {
    const vocabulary = 'src/core/vocabulary.ts';
    const answers = wordsOfType(vocabulary, 'export type Answer = ');
    expect(itemsOf(section(page, 'ANSWERS'), 'Li')).toEqual(answers);
    const words = wordsOfType(vocabulary, 'export type Permission = ');
    expect(words.length).toBeGreaterThan(3);
    const text = section(page, 'ANSWERS').join(' ');
    for (const word of words) expect(text, word).toMatch(new RegExp(`\\.Li[^.]*\\b${word}\\b`));
  });
});
