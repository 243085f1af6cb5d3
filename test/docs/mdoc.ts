/** Reads the man pages as far as the tests of them need: sections, items, displays. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { read, repository } from './markdown.ts';

/** Every page, by the name of its file. */
export const pages = readdirSync(join(repository, 'man')).sort();

/** The lines of a page. */
export function linesOf(page: string): string[] {
  return read(`man/${page}`).split('\n');
}

/** The lines below a heading, which is left out, up to the next one of its rank or above. */
function below(all: readonly string[], heading: string, end: RegExp): string[] {
  const start = all.indexOf(heading);
  if (start < 0) return [];
  const stop = all.findIndex((line, at) => at > start && end.test(line));
  return all.slice(start + 1, stop < 0 ? all.length : stop);
}

/** The lines of a section; none: the page has no such section. */
export function section(page: string, title: string): string[] {
  return below(linesOf(page), `.Sh ${title}`, /^\.Sh /);
}

/** The headings within a section, in their order. */
export function subsections(page: string, title: string): string[] {
  return section(page, title)
    .filter((line) => line.startsWith('.Ss '))
    .map((line) => line.slice('.Ss '.length));
}

/** The lines of a part of a section. */
export function subsection(page: string, title: string, part: string): string[] {
  return below(section(page, title), `.Ss ${part}`, /^\.Ss /);
}

/** What some lines list with this macro: `.It Li a , b` -> `a`, `b`. */
export function itemsOf(lines: readonly string[], macro: string): string[] {
  return lines
    .filter((line) => line.startsWith(`.It ${macro} `))
    .flatMap((line) => line.slice(`.It ${macro} `.length).split(' , '));
}

/** What a page shows as typed or written: displays, a line each. */
export function shownIn(page: string): string[] {
  const found: string[] = [];
  let isShown = false;
  for (const line of linesOf(page)) {
    if (line.startsWith('.Dl ')) found.push(line.slice('.Dl '.length));
    else if (line.startsWith('.Bd ') || line === '.Ed') isShown = line !== '.Ed';
    else if (isShown) found.push(line);
  }
  return found;
}

/** Words of a line that is shown, as a shell has them, up to a pipe, a redirection, a comment. */
export function wordsIn(line: string): string[] {
  const found = line.matchAll(/'([^']*)'|[^\s']+/g);
  const all = [...found].map(([word, quoted]) => quoted ?? word);
  const end = all.findIndex((word) => /^[|>#]/.test(word));
  return end < 0 ? all : all.slice(0, end);
}

/** Exit code of what is shown as refused (`# refused, exit 64`); null: it is to be accepted. */
export function refusalOf(line: string): number | null {
  const [, code] = /# refused, exit (\d+)$/.exec(line) ?? [];
  return code === undefined ? null : Number(code);
}

/** What groff has to say of a page; null: groff is not there. */
export function groffSays(page: string): string | null {
  const path = join(repository, 'man', page);
  const done = spawnSync('groff', ['-mandoc', '-Tutf8', '-ww', path], { encoding: 'utf8' });
  return done.error === undefined ? done.stderr : null;
}

/** Columns are ours to choose, and which other pages this machine has says nothing. */
const passedOver = /input text line longer than 80 bytes|mandoc\.db|referenced manual not found/;

/** What mandoc has to say of a page, line by line; null: mandoc is not there. */
export function mandocSays(page: string): readonly string[] | null {
  const path = join(repository, 'man', page);
  const done = spawnSync('mandoc', ['-T', 'lint', path], { encoding: 'utf8' });
  if (done.error !== undefined) return null;
  return done.stdout.split('\n').filter((line) => line !== '' && !passedOver.test(line));
}
