import { describe, expect, it } from 'vitest';
import { fakeIo, runLine } from './fake-io.ts';

describe('wrong usage', () => {
  const cases: [string[], number, string, string][] = [
    [['--bogus'], 64, "unknown option '--bogus'", 'tsremus --help'],
    [['frob'], 64, "unknown command 'frob'", 'tsremus --help'],
    [
      ['protct', 'a', 'b'],
      64,
      "unknown command 'protct' (did you mean protect?)",
      'tsremus --help',
    ],
    [['protect'], 64, "missing required argument 'domain'", 'tsremus protect --help'],
    [['protect', 'web1'], 64, "missing required argument 'host'", 'tsremus protect --help'],
    [
      ['protect', '--intervall', '5', 'a', 'b'],
      64,
      "unknown option '--intervall' (did you mean --interval?)",
      'tsremus protect --help',
    ],
    [
      ['protect', 'a', 'b', 'c'],
      64,
      "too many arguments for 'protect'. Expected 2 arguments but got 3.",
      'tsremus protect --help',
    ],
    [['stop'], 64, "missing required argument 'domain'", 'tsremus stop --help'],
    [['status', '--bogus'], 3, "unknown option '--bogus'", 'tsremus status --help'],
    [['status', 'a', 'b'], 3, "too many arguments for 'status'", 'tsremus status --help'],
    [['status', '--color=pink'], 3, "option '--color <when>' argument 'pink'", 'tsremus status'],
  ];
  it.each(cases)('%j', async (argv, code, message, hint) => {
    const ran = await runLine(argv);
    expect(ran.code).toBe(code);
    expect(ran.out).toBe('');
    expect(ran.err).toContain(`tsremus: ${message}`);
    expect(ran.err).toContain(`Try: ${hint}`);
    expect(ran.err.trim().split('\n').length).toBeLessThanOrEqual(2);
  });

  it('is an object with --json', async () => {
    const ran = await runLine(['protect', '--json', '--bogus', 'a', 'b']);
    expect(ran.code).toBe(64);
    expect(JSON.parse(ran.err)).toEqual({
      schema: 1,
      error: {
        code: 'usage',
        message: "unknown option '--bogus'",
        hint: 'tsremus protect --help',
        exit: 64,
      },
    });
  });

  it('is red where that is wanted, and only there', async () => {
    expect((await runLine(['frob', '--color=always'])).err).toContain('\u001b[31mtsremus:');
    expect((await runLine(['stop', '--color', 'always'])).err).toContain('\u001b[31mtsremus:');
    expect((await runLine(['frob'])).err).not.toContain('\u001b');
    const io = fakeIo({ NO_COLOR: '1' });
    io.err.isTty = true;
    expect((await runLine(['frob'], io)).err).not.toContain('\u001b');
  });
});

describe('help', () => {
  it('goes to stdout, 0, with examples and exit codes', async () => {
    const ran = await runLine(['--help']);
    expect(ran).toMatchObject({ code: 0, err: '' });
    expect(ran.out).toContain('Examples:');
    expect(ran.out).toContain('Exit codes:');
    expect(ran.out).not.toContain('guard');
    for (const line of ran.out.split('\n')) expect(line.length, line).toBeLessThanOrEqual(84);
  });

  it('goes to stderr, 64, when there is no command', async () => {
    const ran = await runLine([]);
    expect(ran).toMatchObject({ code: 64, out: '' });
    expect(ran.err).toContain('Usage: tsremus');
    expect(ran.err).not.toContain('tsremus: ');
  });

  it.each(['protect', 'stop', 'failover', 'status', 'resync', 'receive'])(
    'of %s names its man page',
    async (name) => {
      const ran = await runLine([name, '--help']);
      expect(ran).toMatchObject({ code: 0, err: '' });
      expect(ran.out).toContain(`tsremus-${name}(8)`);
    },
  );

  it('prints the version', async () => {
    expect(await runLine(['--version'])).toMatchObject({ code: 0, err: '' });
    expect(await runLine(['-V'])).toMatchObject({ code: 0, err: '' });
  });
});

it('reports a result that could not be written', async () => {
  const io = fakeIo({ TSREMUS_RUN_DIR: '/' });
  io.out.failure = 'no space left on the device';
  const ran = await runLine(['status'], io);
  expect(ran.code).toBe(3);
  expect(ran.err).toContain('cannot write to standard output: no space left');
});

// Proves: `tsremus help` is no unknown command, and no example gives a guarantee up.
it('prints help for the word, too', async () => {
  const ran = await runLine(['help']);
  expect(ran.code).toBe(0);
  expect(ran.out).toContain('tsremus protect web1 hostb');
  expect(ran.out).not.toMatch(/protect -\S*[Fnd]/);
  expect((await runLine(['help', 'stop'])).out).toContain('Usage: tsremus stop');
});

// Proves: a mistyped variable is refused by every command before it does anything, with the line as
// it was meant; help and version are had all the same, and a guard that a session has started runs.
describe('a variable that there is not', () => {
  const typo = { TSREMUS_RUNDIR: '/run/my dir' };

  it.each([
    [['stop', 'web1'], 78],
    [['protect', 'web1', 'hostb'], 78],
    [['receive'], 78],
    [['status', '--check'], 3],
  ] as const)('%j', async (argv, code) => {
    const ran = await runLine(argv, fakeIo(typo));
    expect(ran.code).toBe(code);
    expect(ran.err).toBe(
      'tsremus: TSREMUS_RUNDIR is no variable of tsremus (is TSREMUS_RUN_DIR meant?)\n' +
        `Try: env -u TSREMUS_RUNDIR 'TSREMUS_RUN_DIR=/run/my dir' tsremus ${argv.join(' ')}\n`,
    );
  });

  it.each([['--help'], ['stop', '--help'], ['help', 'stop'], ['--version']])(
    '%s',
    async (...argv) => {
      expect((await runLine(argv, fakeIo(typo))).code).toBe(0);
    },
  );

  it('does not end a guard', async () => {
    expect((await runLine(['guard'], fakeIo(typo))).err).not.toContain('is no variable');
  });
});
