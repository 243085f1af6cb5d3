/**
 * What holds for every man page; and the pages of section 7, which are of no command, held against
 * the code: requirements. The pages of commands are in test/cli/man.test.ts.
 */
import { describe, expect, it } from 'vitest';
import { checkNames } from '../../src/core/check/line.ts';
import { groffSays, itemsOf, linesOf, mandocSays, pages, section } from './mdoc.ts';

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

// Proves: who reads a line of `check` finds its word, and no word is of a line that was.
it('tsremus-requirements.7 has every line of check, and no other', () => {
  const named = itemsOf(section('tsremus-requirements.7', 'DESCRIPTION'), 'Li');
  expect(named.sort()).toEqual([...checkNames].sort());
});
