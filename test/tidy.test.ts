/**
 * Style as a test: what reviewers should not have to look for. Works on the text of the sources;
 * where a rule needs more than that (the length of a function) it is approximate, to the safe side.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');

interface Source {
  /** Path from the repository's root. */
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
}

function sourcesIn(folder: string, ...endings: string[]): Source[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => endings.some((ending) => name.endsWith(ending)))
    .filter((name) => !/(^|\/)(node_modules|build|testdata)\//.test(name))
    .map((name) => {
      const text = readFileSync(join(root, folder, name), 'utf8');
      return { path: join(folder, name), text, lines: text.split('\n') };
    });
}

const src = sourcesIn('src', '.ts');
const tests = sourcesIn('test', '.ts');
const scripts = sourcesIn('scripts', '.mjs');
const native = sourcesIn('native', '.c');
const all = [...src, ...tests, ...scripts, ...native];

/** `file:line` of each line that breaks a rule. */
function offences(sources: readonly Source[], broken: (line: string) => boolean): string[] {
  return sources.flatMap(({ path, lines }) =>
    lines.flatMap((line, at) => (broken(line) ? [`${path}:${at + 1}`] : [])),
  );
}

describe('text', () => {
  it('has at most 100 columns', () => {
    // A line that is one long string or address cannot be broken.
    const unbreakable =
      /^\s*(['"`].*['"`][,;]?|\/\/ \S+|js: .*|\/\^.*|const \w+ = String\.raw`.*)$/;
    expect(offences(all, (line) => line.length > 100 && !unbreakable.test(line))).toEqual([]);
  });

  it('has no TODO without the number of an issue', () => {
    const word = ['TO', 'DO'].join('');
    const bare = new RegExp(`\\b(${word}|FIXME|XXX)\\b(?!\\(#\\d+\\))`);
    const sources = all.filter(({ path }) => path !== 'test/tidy.test.ts');
    // Xen's own source has TODOs that we cite.
    expect(offences(sources, (line) => bare.test(line) && !line.includes('"TODO'))).toEqual([]);
  });

  it('has no default exports', () => {
    const sources = [...src, ...tests];
    expect(offences(sources, (line) => /^export default\b/.test(line))).toEqual([]);
  });
});

/** What is no comment of a line. */
function code(line: string): string {
  return /^\s*(\*|\/\/|\/\*)/.test(line) ? '' : line.replace(/\s\/\/ .*$/, '');
}

describe('texts for people', () => {
  const elsewhere = src.filter(
    ({ path }) => !path.startsWith('src/core/texts/') && path !== 'src/cli/root.ts',
  );

  it('come from one table, every line that is offered after Try:', () => {
    const literal = /\bhints?\b\??[:=] *(\[ *)?['"`]|\bhints?: *$/;
    expect(offences(elsewhere, (line) => literal.test(code(line)))).toEqual([]);
  });

  it('come from one table, command lines and what one vouches for', () => {
    const built = /tsremus (stop|failover)\b|tsremus (protect|set|status|resync) |never ran/;
    // An example of a command's own --help is indented.
    const isExample = (path: string, line: string) =>
      path.startsWith('src/cli/commands/') && /' {2}tsremus /.test(line);
    const wrong = elsewhere.flatMap((source) =>
      offences([source], (line) => built.test(code(line)) && !isExample(source.path, line)),
    );
    expect(wrong).toEqual([]);
  });

  it('are quoted for a shell in one place', () => {
    expect(offences(elsewhere, (line) => line.includes(String.raw`'\\''`))).toEqual([]);
  });

  it('and comments know no library of a hypervisor but in its own room', () => {
    const above = src.filter(({ path }) => !/^src\/(hypervisor\/xen|native)\//.test(path));
    // Xen's own source, cited by file and function, its own path in xenstore, and two variables.
    const cited =
      /\blibxl_\w+\.c\b(, libxl_\w+)?|\/libxl\/(?=3\/|\$\{domid\}\/)|\bTSREMUS_LIBXL(_LOG)?\b/g;
    const knows = (line: string) => /libxl|libxenlight/i.test(line.replace(cited, ''));
    expect(offences(above, knows)).toEqual([]);
  });
});

describe('size', () => {
  /** Opening lines of functions and methods; what is indented deeper belongs to them. */
  const opening = new RegExp(
    [
      '^(\\s*)(?:export )?(?:async )?function\\b',
      '^(\\s*)(?:static |async |get |set )*#?\\w+\\([^;]*$',
      '^(\\s*)(?:export )?const \\w+ = (?:async )?\\(',
    ].join('|'),
  );
  const notFunctions = /^\s*(?:if|for|while|switch|return|describe|it|catch|else|throw|await)\b/;

  function longFunctions({ path, lines }: Source): string[] {
    const found: string[] = [];
    lines.forEach((line, at) => {
      const indent = opening
        .exec(line)
        ?.slice(1)
        .find((one) => one !== undefined);
      if (indent === undefined || notFunctions.test(line) || line.endsWith(';')) return;
      const end = lines.findIndex((other, later) => later > at && other.startsWith(`${indent}}`));
      const length = end < 0 ? 1 : end - at + 1;
      if (length > 70) found.push(`${path}:${at + 1}: ${length} lines`);
    });
    return found;
  }

  it('of a function is at most 70 lines', () => {
    expect(src.flatMap(longFunctions)).toEqual([]);
  });
});

/** Modules that `source` imports, types included: the direction of thoughts, not of bytes. */
function importsOf({ path, text }: Source): { from: string; own: boolean }[] {
  const found = text.matchAll(/(?:\bfrom|\bimport|\bimport\()\s*'([^'\s]+)'/g);
  return [...found].map(([, target = '']) => {
    if (!target.startsWith('.')) return { from: target, own: false };
    return { from: relative(root, join(root, dirname(path), target)), own: true };
  });
}

/** `src/cli/output/json.ts` -> `cli`; `src/main.ts`, `src/status.ts` -> `main`. */
function room(path: string): string {
  const [, second = ''] = path.split('/');
  return ['main.ts', 'status.ts'].includes(second) ? 'main' : second;
}

describe('imports', () => {
  const pure = ['core', 'config'];
  const base = ['host', 'native'];
  const middle = ['link', 'hypervisor', 'output', 'permission', 'witness'];
  const upper = ['session', 'guest', 'registry'];
  const allowed: Readonly<Record<string, readonly string[]>> = {
    main: ['cli', 'app'],
    cli: ['cli', 'app', ...upper, ...base, ...pure],
    app: ['app', ...upper, 'stream', 'disk', ...middle, ...base, ...pure],
    session: ['session', 'guest', 'registry', 'stream', 'disk', ...middle, ...base, ...pure],
    guest: ['guest', 'registry', ...middle, ...base, ...pure],
    registry: ['registry', ...base, ...pure],
    // A disk belongs to a guest, and marks where its epochs end.
    disk: ['disk', 'hypervisor', ...base, ...pure],
    // Epochs come from a hypervisor and from disks, and go over a link.
    stream: ['stream', 'link', 'hypervisor', 'disk', ...base, ...pure],
    host: ['host', 'native', ...pure],
    native: ['native', ...pure],
    core: ['core'],
    config: ['config', 'core'],
    ...Object.fromEntries(middle.map((name) => [name, [name, ...base, ...pure]])),
  };

  it('has a place for every room', () => {
    const rooms = new Set(src.map(({ path }) => room(path)));
    for (const name of rooms) expect(Object.keys(allowed), name).toContain(name);
  });

  it('points one way', () => {
    const wrong = src.flatMap((source) =>
      importsOf(source)
        .filter(({ own, from }) => own && !allowed[room(source.path)]?.includes(room(from)))
        .map(({ from }) => `${source.path} -> ${from}`),
    );
    expect(wrong).toEqual([]);
  });

  it('leaves the judges of the simulator without any code of ours', () => {
    const judges = ['checker', 'ending', 'record', 'guest', 'plug-model', 'link'];
    const files = tests.filter(({ path }) => judges.some((name) => path === `test/sim/${name}.ts`));
    expect(files).toHaveLength(judges.length);
    expect(offences(files, (line) => /from '\.\.\/\.\.\/src/.test(line))).toEqual([]);
  });

  it('brings nothing of Node or npm into the pure rooms', () => {
    const wrong = src
      .filter(({ path }) => pure.includes(room(path)))
      .flatMap((source) =>
        importsOf(source)
          .filter(({ own }) => !own)
          .map(({ from }) => `${source.path} -> ${from}`),
      );
    expect(wrong).toEqual([]);
  });

  it('keeps clocks and chance out of the core', () => {
    const core = src.filter(({ path }) => room(path) === 'core');
    const impure = /\b(Date\.now|new Date|Math\.random|performance\.|setTimeout|process\.|await )/;
    expect(offences(core, (line) => impure.test(code(line)))).toEqual([]);
  });

  it('touches FFI and wasm in src/native only', () => {
    const natives = /['"](ffi-napi|ref-napi|zstd-codec)['"]/;
    const elsewhere = src.filter(({ path }) => room(path) !== 'native');
    expect(offences(elsewhere, (line) => natives.test(line))).toEqual([]);
  });

  it('leaves what is of this host to src/app', () => {
    const words = [
      ...['process\\.env', 'Date\\.now', 'new Date\\(\\)', 'performance\\.now'],
      ...['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'timers/promises'],
      ...['Math\\.random', 'randomBytes', 'AbortSignal\\.timeout'],
      'system(Clock|Timers|Chance|Store|Files|Processes)',
    ];
    const ofTheHost = new RegExp(`\\b(${words.join('|')})(?!\\w)`);
    const ports = src.filter(({ path }) => !['app', 'host'].includes(room(path)));
    expect(offences(ports, (line) => ofTheHost.test(code(line)))).toEqual([]);
  });

  /** What opens something of the host's: files, sockets, devices, programs, libraries. */
  const adapters = [
    ...['src/hypervisor/xen/', 'src/output/plug/', 'src/output/announce/', 'src/native/'],
    ...['transport', 'connect', 'early-transport', 'stdio', 'pulse'].map(
      (name) => `src/link/${name}.ts`,
    ),
    ...['src/disk/drbd/', 'src/disk/mirror/backup.ts'],
    ...['run-directory', 'control'].map((name) => `src/registry/${name}.ts`),
    ...['encoder', 'decoder', 'native-codec'].map((name) => `src/stream/codec/${name}.ts`),
    ...['runner', 'log', 'session-log', 'line-file', 'process-settings', 'scope'].map(
      (name) => `src/host/${name}.ts`,
    ),
  ];
  const isAdapter = (path: string) => adapters.some((one) => path.startsWith(one));

  it('leaves the opening of adapters to src/app', () => {
    // Types are no opening. An adapter may be made of others.
    const wrong = src
      .filter(({ path }) => room(path) !== 'app' && !isAdapter(path))
      .flatMap((source) =>
        importsOf({ ...source, text: source.text.replace(/^(im|ex)port type\b[^;]*;/gm, '') })
          .filter(({ own, from }) => own && isAdapter(from))
          .map(({ from }) => `${source.path} -> ${from}`),
      );
    expect(wrong).toEqual([]);
  });

  it('has every adapter that it names', () => {
    const gone = adapters.filter((one) => !src.some(({ path }) => path.startsWith(one)));
    expect(gone).toEqual([]);
  });

  it('names files with their ending', () => {
    const bare = src.flatMap((source) =>
      importsOf(source)
        .filter(({ own, from }) => own && !from.endsWith('.ts'))
        .map(({ from }) => `${source.path} -> ${from}`),
    );
    expect(bare).toEqual([]);
  });
});
