/** docs/ARCHITECTURE.md, held against the code: rooms, paths, kinds, invariants. */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { codeSpansIn, read, repository, tableOf } from './markdown.ts';

const text = read('docs/ARCHITECTURE.md');
const rooms = tableOf(text, 'Rooms', 'room').rows.map(([name = '']) => name.replaceAll('`', ''));

/** Every source, by its path from the repository's root. */
const sources = readdirSync(join(repository, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => join('src', name));

/** The room of a source, as the table calls it. */
function roomOf(path: string): string {
  const [, second = ''] = path.split('/');
  return second.endsWith('.ts') ? `src/${second}` : `src/${second}/`;
}

describe('the table of rooms', () => {
  it('has each folder of src, and nothing that is not there', () => {
    const there = new Set(sources.map(roomOf));
    expect(rooms.filter((name) => name.startsWith('src/')).sort()).toEqual([...there].sort());
    for (const name of rooms) expect(existsSync(join(repository, name)), name).toBe(true);
  });

  it('has every room below those that import it', () => {
    const upwards = sources.flatMap((path) =>
      [...read(path).matchAll(/(?:\bfrom|\bimport\() ?'(\.[^'\s]+)'/g)]
        .map(([, target = '']) => join(dirname(path), target))
        .filter((target) => rooms.indexOf(roomOf(target)) < rooms.indexOf(roomOf(path)))
        .map((target) => `${path} -> ${target}`),
    );
    expect(upwards).toEqual([]);
  });

  it('speaks of files and folders of a room that it has', () => {
    for (const [name = '', what = ''] of tableOf(text, 'Rooms', 'room').rows) {
      const inside = what.matchAll(/(?<![\w/`])([a-z0-9]+\/|[a-z]+\.ts)(?![\w`])/g);
      for (const [, part = ''] of inside) {
        const path = join(name.replaceAll('`', ''), part);
        expect(existsSync(join(repository, path)), path).toBe(true);
      }
    }
  });
});

describe('a path', () => {
  it.each(['docs/ARCHITECTURE.md', 'docs/PROTOCOL.md'])('in %s is one of a file', (name) => {
    const paths = codeSpansIn(read(name))
      .flatMap((span) => span.split(' '))
      .filter((word) => /^(src|test|native|docs|man)\//.test(word));
    expect(paths.length).toBeGreaterThan(5);
    for (const path of paths) expect(existsSync(join(repository, path)), path).toBe(true);
  });

  it.each(['docs/ARCHITECTURE.md', 'docs/PROTOCOL.md', 'CONTRIBUTING.md'])(
    'that %s links to is one of a file',
    (name) => {
      const links = [...read(name).matchAll(/\]\(([^)]+)\)/g)].map(([, target = '']) => target);
      expect(links.length).toBeGreaterThan(0);
      for (const target of links) {
        expect(existsSync(join(repository, dirname(name), target)), target).toBe(true);
      }
    },
  );
});

/** The words that a source of the core has as kinds: `'word'`. */
function kindsIn(...paths: string[]): ReadonlySet<string> {
  const found = paths.flatMap((path) => [...read(path).matchAll(/'([a-z][a-z-]*)'/g)]);
  return new Set(found.map(([, word = '']) => word));
}

/** The words of a union type: what stands in quotes from its name to the next empty line. */
function unionOf(path: string, name: string): readonly string[] {
  const source = read(path);
  const from = source.indexOf(`export type ${name} =`);
  const body = source.slice(from, source.indexOf('\n\n', from));
  return [...body.matchAll(/'([a-z-]+)'/g)].map(([, word = '']) => word);
}

describe('a word in code type', () => {
  const words = codeSpansIn(text).filter((span) => /^[a-z]+(-[a-z]+)*$/.test(span));
  const kinds = kindsIn(
    'src/core/primary/types.ts',
    'src/core/primary/state.ts',
    'src/core/backup/types.ts',
    'src/core/backup/state.ts',
    'src/core/vocabulary.ts',
  );
  // What the document says of itself.
  const others = new Set(['code']);

  it('is a kind of the core', () => {
    expect(words.length).toBeGreaterThan(20);
    for (const word of words) if (!others.has(word)) expect([...kinds], word).toContain(word);
  });

  it.each([
    ['Permission', 5],
    ['Answer', 6],
  ] as const)('says each %s, if not the figure of the record does', (name, count) => {
    const members = unionOf('src/core/vocabulary.ts', name);
    expect(members.length).toBe(count);
    for (const member of members)
      expect(text).toMatch(new RegExp(`\`${member}\`|-> ${member} |^ +${member} -`, 'm'));
  });
});

describe('the figure of the record', () => {
  it('is that of the transition table', async () => {
    const { canMove } = await import('../../src/core/permission/record.ts');
    const states = ['standby', 'activating', 'active', 'promised', 'lost'] as const;
    const moves = states.flatMap((from) =>
      states.filter((to) => canMove(from, to)).map((to) => `${from} -> ${to}`),
    );
    expect(moves).toEqual([
      'standby -> activating',
      'standby -> promised',
      'activating -> active',
      'activating -> promised',
      'active -> lost',
    ]);
    expect(text).toContain('    standby --> activating --> active --> lost ');
    expect(text).toContain('       +--> promised <-+ ');
  });
});

describe('an invariant', () => {
  const heads = {
    P: 'src/core/primary/state.ts',
    B: 'src/core/backup/state.ts',
    V: 'src/core/permission/recovery.ts',
    R: 'src/permission/record.ts',
    'W of the owner': 'src/core/permission/owner.ts',
    'W of a witness': 'src/witness/port.ts',
  };

  it('that is named stands in the head of its module, with all before it', () => {
    const ranges = [...text.matchAll(/\b([PBVRW])1 to \1(\d+)\b/g)];
    const named = ranges.map(([range]) => range);
    for (const [name, path] of Object.entries(heads)) {
      const letter = name.charAt(0);
      const source = read(path);
      const line = new RegExp(`^ \\* {3}${letter}(\\d+) {1,2}(?=\\S)`, 'gm');
      const stated = [...source.matchAll(line)];
      const numbers = stated.map(([, digit]) => Number(digit));
      expect(numbers, name).toEqual(Array.from(numbers, (_, at) => at + 1));
      expect(named, name).toContain(`${letter}1 to ${letter}${numbers.length}`);
    }
    expect(named.length).toBe(Object.keys(heads).length);
  });
});

describe('what is said not to exist yet', () => {
  it('is a kind of witness', () => {
    expect(text).toContain('No session asks one yet');
    expect(readdirSync(join(repository, 'src/witness'))).toEqual(['port.ts']);
    const asking = sources.filter((path) => read(path).includes('witness/port.ts'));
    expect(asking).toEqual([]);
  });
});
