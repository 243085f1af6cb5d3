/**
 * The program as a process: what a user's shell, cron and pipes see. Bundled as for release, with
 * a node_modules whose native packages throw when they are loaded: what works here loads no FFI.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deadOwner, sampleStatus } from '../registry/sample-status.ts';
import { bundleProgram, nativePackages } from './bundle.ts';

let root: string;
let runDir: string;
let metafile: Metafile;
let statusMetafile: Metafile;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'tsremus-process-'));
  runDir = join(root, 'run');
  for (const name of nativePackages) {
    const dir = join(root, 'node_modules', name);
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, 'index.js'), `throw new Error('POISON: ${name} was loaded');`);
  }
  ({ program: metafile, status: statusMetafile } = await bundleProgram(root));
  mkdirSync(runDir);
  const path = join(runDir, 'x.primary.json');
  writeFileSync(path, JSON.stringify(sampleStatus({ ...deadOwner(), buffered: false })));
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

const main = () => join(root, 'dist/main.js');

/** Runs a line of sh in which `tsremus` is the program. */
function sh(line: string, env: Record<string, string> = {}) {
  const program = `tsremus() { ${process.execPath} ${main()} "$@"; }; ${line}`;
  const done = spawnSync('bash', ['--norc', '-c', program], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] ?? '', TSREMUS_RUN_DIR: runDir, ...env },
    cwd: '/',
  });
  return { code: done.status, out: done.stdout, err: done.stderr };
}

describe('what is loaded', () => {
  /** Inputs of all that `output` loads before anything is called. */
  function staticInputs(output: string, seen = new Set<string>()): string[] {
    if (seen.has(output)) return [];
    seen.add(output);
    const found = metafile.outputs[output];
    if (found === undefined) return [output];
    const imported = found.imports.filter((one) => one.kind === 'import-statement');
    return [
      ...Object.keys(found.inputs),
      ...imported.flatMap((one) => staticInputs(one.path, seen)),
    ];
  }

  it('at the start is the command line, and of the rest what reads and judges', () => {
    const entry = Object.entries(metafile.outputs).find(([, one]) => one.entryPoint !== undefined);
    const inputs = staticInputs(
      Object.keys(metafile.outputs).find((name) => name.endsWith('dist/tsremus.mjs')) ?? '',
    );
    expect(entry).toBeDefined();
    const own = inputs.filter((name) => name.startsWith('src/')).map((name) => name.split('/')[1]);
    expect(new Set(own)).toEqual(
      new Set(['main.ts', 'cli', 'app', 'config', 'core', 'registry', 'host']),
    );
    const filesOf = (room: string) =>
      inputs.filter((name) => name.startsWith(`src/${room}/`)).sort();
    const names = [
      ...['control', 'line-reader', 'measuring', 'noting', 'port', 'report', 'resync-status'],
      ...['run-directory', 'status-parser'],
    ];
    expect(filesOf('registry')).toEqual(names.map((name) => `src/registry/${name}.ts`));
    const words = [
      'advice',
      'declared',
      'disks-left',
      'events',
      'outcomes',
      'quote',
      'resync',
      'states',
      'window',
      'without-witness',
    ];
    const texts = words.map((name) => `texts/${name}`);
    const permission = ['permission/evidence', 'permission/tie'];
    const health = ['health/death', 'health/health', 'health/history'];
    const judgement = [...health, 'limits', ...permission, 'save-helper', ...texts, 'units', 'who'];
    expect(filesOf('core')).toEqual(judgement.map((name) => `src/core/${name}.ts`));
    for (const name of nativePackages) expect(inputs).not.toContain(name);
  });

  // Proves: the file that `status` is loads no other one of ours, whatever it is asked for.
  it('for status is one file', () => {
    const [output, ...more] = Object.values(statusMetafile.outputs);
    expect(more).toEqual([]);
    const outside = output?.imports.map(({ path }) => path) ?? [];
    expect(outside.filter((path) => !/^(node:)?[a-z_/]+$/.test(path))).toEqual([]);
    expect(Object.keys(output?.inputs ?? {})).not.toContain('src/cli/commands/protect.ts');
  });

  it.each([
    ['--help', 0],
    ['--version', 0],
    ['protect --help', 0],
    ['status', 2],
    ['status --json', 2],
    ['status --check', 2],
    ['failover --yes web1', 10],
    ['resync', 64],
    ['frob', 64],
  ])('by `tsremus %s` is no FFI', (line, code) => {
    const ran = sh(`tsremus ${line}`);
    expect(ran.err).not.toContain('POISON');
    expect(ran.code).toBe(code);
  });

  // Were the poison not where the program looks, the cases above would prove nothing.
  it('would be seen', () => {
    const look = "require('node:module').createRequire(process.argv[1])('ffi-napi')";
    expect(sh(`${process.execPath} -e "${look}" ${main()}`).err).toContain('POISON');
  });
});

describe('a pipe', () => {
  it('that closes early is no error', () => {
    const ran = sh('tsremus status | head -1; echo $PIPESTATUS');
    expect(ran.err).toBe('');
    expect(ran.out).toMatch(/^DOMAIN.*\n2\n$/);
  });

  it('that nobody reads is no error', () => {
    const ran = sh('tsremus status --json | true; echo $PIPESTATUS; tsremus --help | true');
    expect(ran).toMatchObject({ err: '', out: '2\n' });
  });

  it('to a full disk is one', () => {
    const ran = sh('tsremus status > /dev/full');
    expect(ran.code).toBe(3);
    expect(ran.err).toMatch(/^tsremus: cannot write to standard output: /);
    expect(ran.err.trim().split('\n')).toHaveLength(1);
  });

  it('with stderr closed changes nothing', () => {
    expect(sh('tsremus frob 2>&-').code).toBe(64);
    expect(sh('tsremus status >&-; echo $?').out).toMatch(/^[23]\n$/);
  });
});

it('of a session that was typed by hand says who starts it', () => {
  const ran = sh('tsremus session web1 hostb');
  expect(ran.code).toBe(64);
  expect(ran.err).toMatch(/^tsremus: a session is started by tsremus protect, which shows it\n/);
});

describe('a bare environment', () => {
  it('is enough, as under cron', () => {
    const ran = sh(`env -i ${process.execPath} ${main()} status --check < /dev/null`);
    expect([0, 3]).toContain(ran.code);
    expect(ran.err).toBe('');
    expect(ran.out).toMatch(/^TSREMUS (OK|UNKNOWN) - .*\n$/);
  });

  it('gets no colours and no control characters', () => {
    expect(sh('tsremus status').out).not.toMatch(/[^\n -~]/);
  });
});

it('prints the version of the package that it was built from', () => {
  expect(sh('tsremus -V')).toEqual({ code: 0, out: '1.2.3\n', err: '' });
});

it('is refused politely without permission', () => {
  if (process.geteuid?.() !== 0) return;
  const ran = sh(
    `chmod 755 ${root} && chmod 700 ${runDir} && setpriv --reuid=65534 --clear-groups ` +
      `${process.execPath} ${main()} status`,
  );
  expect(ran.code).toBe(3);
  expect(ran.err).toBe(
    `tsremus: cannot read ${runDir}: permission denied\nTry: sudo tsremus status\n`,
  );
});

// Proves: what is for root says so with the code for that, and status can be opened to others.
it('lets others see how sessions are, and nothing else', () => {
  if (process.geteuid?.() !== 0) return;
  const other = (line: string) =>
    sh(`setpriv --reuid=65534 --clear-groups ${process.execPath} ${main()} ${line}`);
  sh(`chmod 755 ${root} && chmod 700 ${runDir}`);
  for (const line of ['stop web1', 'set web1 interval=50', 'failover --yes web1']) {
    expect(other(line).code, line).toBe(77);
  }
});
