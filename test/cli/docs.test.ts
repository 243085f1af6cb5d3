/** What the documents promise, held against the program. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exit, exitOfOperation } from '../../src/cli/exit-codes.ts';
import { operationCodes } from '../../src/host/errors.ts';
import { sampleStatus } from '../registry/sample-status.ts';

const repository = join(import.meta.dirname, '../..');
const read = (name: string) => readFileSync(join(repository, name), 'utf8');

describe('docs/JSON.md', () => {
  const text = read('docs/JSON.md');

  it('has every error code with its exit code', () => {
    for (const code of operationCodes) {
      expect(text, code).toContain(`| \`${code}\` | ${exitOfOperation(code)} |`);
    }
  });

  it('has no other codes than the program', () => {
    const known = Object.values(exit).map(String);
    const rows = [...text.matchAll(/^\| `[a-z-]+`[^|]*\| (\d+) \|/gm)];
    expect(rows.length).toBeGreaterThan(operationCodes.length);
    for (const [row, code] of rows) expect(known, row).toContain(code);
  });

  it('has every key of a session', () => {
    for (const key of Object.keys(sampleStatus())) expect(text, key).toContain(`\`${key}\``);
  });
});

describe('README.md', () => {
  const text = read('README.md');

  it('fits on two screens', () => {
    expect(text.split('\n').length).toBeLessThanOrEqual(121);
  });

  // Proves: a new administrator is there after six commands, which end with the one that protects.
  it('has a path of at most six commands from two bare hosts to a protected guest', () => {
    const [, after = ''] = text.split('## From two bare Xen hosts to a protected guest\n');
    const [, block = ''] = /\n\n((?: {4}.*\n)+)/.exec(after) ?? [];
    const lines = block.trimEnd().split('\n');
    const commands = lines.filter((line) => /^ {4}host[ab](, hostb)?# /.test(line));
    expect(commands).toEqual(lines);
    expect(commands.length).toBeLessThanOrEqual(6);
    expect(commands.at(-1)).toMatch(/^ {4}hosta# tsremus protect web1 hostb/);
  });

  it.each(['README.md', 'CONTRIBUTING.md'])('and %s name scripts that exist', (name) => {
    const { scripts } = JSON.parse(read('package.json'));
    const named = [...read(name).matchAll(/npm (?:run )?([a-z:]+)/g)].map((match) => match[1]);
    const own = named.filter((script) => !['ci', 'install'].includes(script ?? ''));
    expect(own.length).toBeGreaterThan(0);
    for (const script of own) expect(Object.keys(scripts)).toContain(script);
  });

  it('links to files that exist', () => {
    for (const [, target = ''] of text.matchAll(/\]\(([^)]+)\)/g)) {
      expect(() => read(target), target).not.toThrow();
    }
  });
});
