import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { liveNames } from '../../../src/app/live-names.ts';
import { shellNames } from '../../../src/cli/commands/completion.ts';
import { complete, wordsOfLine } from '../../../src/cli/completion/complete.ts';
import { shells } from '../../../src/cli/completion/scripts.ts';
import { newContext } from '../../../src/cli/context.ts';
import { buildProgram } from '../../../src/cli/program.ts';
import { fakeIo } from '../fake-io.ts';

const live = {
  guests: async () => ['db', 'Web 1', 'web2'],
  protectedGuests: async () => ['web2'],
  declaredGuests: async () => ['shop', 'web2'],
  hosts: async () => ['hostb', 'hostc'],
};

async function after(line: string): Promise<string> {
  const program = buildProgram(newContext(fakeIo()));
  const found = await complete(program, wordsOfLine(line).slice(1), live);
  return found.kind === 'files' ? ':files' : found.all.map(({ word }) => word).join('|');
}

// Proves: what may follow is completed where it may, from the tree and from live names, and nothing
// else is.
it.each([
  ['tsremus che', 'check'],
  ['tsremus --v', '--version'],
  ['tsremus help st', 'stop|status'],
  ['tsremus help stop ', ''],
  ['tsremus frob x', ''],
  ['tsremus gua', ''],
  ['tsremus status --ch', '--check'],
  ['tsremus status --check --ch', ''],
  ['tsremus status --color ', 'auto|always|never'],
  ['tsremus status --color=n', '--color=never'],
  ['tsremus status --json=', ''],
  ['tsremus status --metrics ', ':files'],
  ['tsremus report -o ', ':files'],
  ['tsremus status --metrics x we', 'web2'],
  ['tsremus status web2 ', ''],
  ['tsremus status --watch ', 'web2|shop'],
  ['tsremus events -f ', 'web2|shop'],
  ['tsremus stop ', 'web2'],
  ['tsremus protect ', 'db|Web 1|web2|shop'],
  ['tsremus protect "We', 'Web 1'],
  ['tsremus protect -F -d Web\\ 1 ', 'hostb|hostc'],
  ['tsremus protect -s ssh ', 'db|Web 1|web2|shop'],
  ['tsremus protect -s ', ''],
  ['tsremus protect -i 50 --without-witness m', 'manual'],
  ['tsremus protect --allow a --allo', '--allow'],
  ['tsremus protect -- --', ''],
  ['tsremus stop --vouch ', 'web2'],
  ['tsremus check db host', 'hostb|hostc'],
  ['tsremus set web2 ', 'interval=|interval=auto|max-overhead='],
  ['tsremus set web2 interval=auto max', 'max-overhead='],
  ['tsremus completion f', 'fish'],
  ['echo x; tsremus completion z', 'zsh'],
])('%s<TAB>: %s', async (line, expected) => {
  expect(await after(line)).toBe(expected);
});

it('reads a line as a shell does', () => {
  expect(wordsOfLine('')).toEqual(['']);
  expect(wordsOfLine('a  b ')).toEqual(['a', 'b', '']);
  expect(wordsOfLine(`a 'b c' "d\\"e" f\\ g`)).toEqual(['a', 'b c', 'd"e', 'f g']);
  expect(wordsOfLine(`a ''`)).toEqual(['a', '']);
  expect(wordsOfLine('x && y "z')).toEqual(['y', 'z']);
  expect(wordsOfLine('a \\')).toEqual(['a', '']);
});

it('names the shells in one way', () => {
  expect(shellNames).toEqual(shells);
});

describe('live names', () => {
  // Proves: names are those of ssh_config and xl; patterns, Domain-0 and what could write to a
  // terminal are none, and what cannot be read is none.
  it('are read from where they are', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'tsremus-names-'));
    try {
      mkdirSync(join(dir, '.ssh/conf.d'), { recursive: true });
      const config = 'Include conf.d/*.conf\nHost hostb "hostc"\n  HostName 10.0.0.2\nhost=hostd\n';
      writeFileSync(join(dir, '.ssh/config'), `${config}Host *.lab !bad web?\nInclude config\n`);
      writeFileSync(join(dir, '.ssh/conf.d/more.conf'), 'Host hoste host\u001bf\n');
      writeFileSync(join(dir, '.ssh/conf.d/other'), 'Host hostx\n');
      const xl =
        '#!/bin/sh\ncat <<X\nName                   ID   Mem VCPUs\tState\tTime(s)\n' +
        'Domain-0                0  2048     2     r-----     610.8\n' +
        'Web 1                   3   128     1     -b----       1.2\n' +
        'db                     14  4096     4     r-----       9.9\nX\n';
      writeFileSync(join(dir, 'xl'), xl, { mode: 0o755 });
      const env = { HOME: dir, PATH: `${dir}:/usr/bin:/bin`, TSREMUS_RUN_DIR: join(dir, 'none') };
      const names = liveNames(env);
      const hosts = await names.hosts();
      expect(hosts.filter((name) => name.startsWith('host'))).toEqual([
        ...['hostb', 'hostc', 'hostd', 'hoste'],
      ]);
      expect(hosts.join()).not.toMatch(/lab|bad|web/);
      expect(await names.guests()).toEqual(['Web 1', 'db']);
      expect(await names.protectedGuests()).toEqual([]);
      mkdirSync(join(dir, 'guests.d'));
      writeFileSync(join(dir, 'guests.d/shop.toml'), 'not even TOML');
      const declared = liveNames({ ...env, TSREMUS_CONFIG_DIR: dir }).declaredGuests();
      expect(await declared).toEqual(['shop']);
      expect(await liveNames({ ...env, PATH: '/no/such', HOME: '/no' }).hosts()).toBeDefined();
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
