/** The window prints what a session in the foreground prints; the session is made up here. */
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { ProcessEnd, WindowView } from '../../src/app/window.ts';
import type { Environment } from '../../src/config/settings.ts';
import { OperationError } from '../../src/host/errors.ts';
import type { ProtectOptions, ProtectReporter, ProtectResult } from '../../src/session/options.ts';
import { parseTold, type Told, toldLine } from '../../src/session/told.ts';
import { sampleStatus } from '../registry/sample-status.ts';
import { fakeIo, runLine, TemporaryRun } from './fake-io.ts';

const app = vi.hoisted(() => ({
  runProtect:
    vi.fn<(options: ProtectOptions, reporter: ProtectReporter) => Promise<ProtectResult>>(),
  showSession:
    vi.fn<(words: readonly string[], env: Environment, view: WindowView) => Promise<ProcessEnd>>(),
  openTeller: vi.fn(),
}));
vi.mock('../../src/app/protect.ts', () => app);
vi.mock('../../src/app/window.ts', () => app);

const pid = 4_000_000;

/** The session as another process would run it, its lines as they would come. */
async function sessionOf(words: readonly string[], env: Environment, view: WindowView) {
  const tell = (told: Told) => {
    const heard = parseTold(toldLine({ at: new Date(), told }));
    if (heard === null) throw new Error(`not understood: ${JSON.stringify(told)}`);
    view.hear(heard);
  };
  app.openTeller.mockReturnValue({
    reporter: {
      seedProgress: (progress) => tell({ kind: 'seed', progress }),
      event: (event, text, data) => tell({ kind: 'event', event, text, data }),
    } satisfies ProtectReporter,
    end: async (told: Told) => tell(told),
  });
  const { code, out, err } = await runLine(words, fakeIo({ ...env }));
  expect({ out, err }).toEqual({ out: '', err: '' });
  return { pid, code, signal: null };
}

/** One that ended so and said nothing. */
function silent(code: number | null, signal: NodeJS.Signals | null): void {
  app.showSession.mockImplementation(async () => ({ pid, code, signal }));
}

beforeEach(() => {
  for (const one of Object.values(app)) one.mockReset();
  app.runProtect.mockResolvedValue({ outcome: { kind: 'stopped', by: 'command' } });
  app.showSession.mockImplementation(sessionOf);
});

const withoutTimes = (text: string) => text.replace(/"time":"[^"]*"/g, '"time":""');

/** What both ways print, which is the same but for `--foreground` in hints. */
async function bothWays(...words: string[]) {
  const here = await runLine(['protect', '--foreground', ...words]);
  const window = await runLine(['protect', ...words]);
  expect(app.showSession).toHaveBeenCalledTimes(1);
  const same = (ran: typeof here) => ({
    code: ran.code,
    out: withoutTimes(ran.out).replaceAll(' --foreground', ''),
    err: ran.err.replaceAll(' --foreground', '').replace(/^.*closing this window.*\n/m, ''),
  });
  expect(same(window)).toEqual(same(here));
  return window;
}

describe('the window prints what a session in the foreground prints', () => {
  it.each([[[]], [['--json']], [['-q']]])('as it runs, with %j', async (options) => {
    app.runProtect.mockImplementation(async (_options, reporter) => {
      const rate = { bytes: 1e8, bytesPerSecond: 2e7, secondsLeft: null };
      reporter.seedProgress({ ...rate, percent: 51.2 });
      reporter.event('protected', 'protected since epoch 1', { epoch: 1, seed_ms: 900 });
      reporter.event('held', 'is held');
      return { outcome: { kind: 'stopped', by: 'sigint' } };
    });
    const ran = await bothWays(...options, 'web1', 'hostb');
    expect(ran.code).toBe(130);
  });

  it.each([[[]], [['--json']]])('of every other end, with %j', async (options) => {
    const outcome = { kind: 'unprotected', reason: 'hostb is silent' } as const;
    app.runProtect.mockResolvedValue({ outcome, next: ['xl top'] });
    expect((await bothWays(...options, 'web1', 'hostb')).code).toBe(16);
  });

  it.each([[[]], [['--json']]])('of a refusal, with %j', async (options) => {
    const detail = { op: 'open', hint: 'xl list' };
    const error = new OperationError('no-such-domain', 'there is no domain web1', detail);
    app.runProtect.mockRejectedValue(error);
    expect((await bothWays(...options, 'web1', 'hostb')).code).toBe(12);
  });

  it('of a bug, with where it is', async () => {
    app.runProtect.mockRejectedValue(new TypeError('x is undefined'));
    const io = fakeIo({ TSREMUS_DEBUG: '1' });
    const ran = await runLine(['protect', 'web1', 'hostb'], io);
    expect(ran.code).toBe(10);
    expect(ran.err).toContain('x is undefined (this is a bug of tsremus)');
    expect(ran.err).toContain('protect-window.test.ts');
  });
});

it('gives the session all that was typed, and the whole environment', async () => {
  const env = { TSREMUS_INTERVAL: '40', OTHER: 'x' };
  await runLine(['protect', '-F', '-n', 'protect', "it's"], fakeIo(env));
  const [words, given] = app.showSession.mock.calls[0] ?? [];
  expect(words).toEqual(['session', '-F', '-n', 'protect', "it's"]);
  expect(given).toEqual(env);
});

it('starts nothing when the arguments are wrong', async () => {
  expect((await runLine(['protect', '-n', 'web1', 'hostb'])).code).toBe(64);
  expect(app.showSession).not.toHaveBeenCalled();
});

it('says once how to look and how to end, and not with --json or -q', async () => {
  app.runProtect.mockImplementation(async (_options, reporter) => {
    reporter.event('protected', 'protected since epoch 1');
    return { outcome: { kind: 'stopped', by: 'command' } };
  });
  const told =
    'web1: closing this window does not end protection, Ctrl-C does; ' +
    'look: tsremus status web1; end it: tsremus stop web1\n';
  expect((await runLine(['protect', 'web1', 'hostb'])).err).toContain(told);
  expect((await runLine(['protect', '--json', 'web1', 'hostb'])).err).toBe('');
  expect((await runLine(['protect', '-q', 'web1', 'hostb'])).err).toBe('');
});

it('counts what it has no room for, and what its session had none for', async () => {
  const io = fakeIo();
  app.showSession.mockImplementation(async (_words, _env, view) => {
    const hear = (told: Told) => view.hear({ at: new Date(), told });
    hear({ kind: 'event', event: 'one', text: 'one' });
    io.err.isBehind = true;
    hear({ kind: 'event', event: 'two', text: 'two' });
    hear({ kind: 'unread', events: 3 });
    io.err.isBehind = false;
    hear({ kind: 'event', event: 'three', text: 'three' });
    return { pid, code: 0, signal: null };
  });
  await runLine(['protect', 'web1', 'hostb'], io);
  expect(io.err.text).toBe(
    'web1: one\nweb1: 4 lines are left out here: nobody read them\nweb1: three\n',
  );
});

it('leaves with its terminal, and stays where it writes to a file', async () => {
  const stays: boolean[] = [];
  app.showSession.mockImplementation(async (_words, _env, view) => {
    stays.push(view.hungUp());
    return { pid, code: 0, signal: null };
  });
  const io = fakeIo();
  io.err.isTty = true;
  const ran = await runLine(['protect', 'web1', 'hostb'], io);
  expect(ran.err).toContain('web1: this window is closed, protection goes on; look: ');
  await runLine(['protect', 'web1', 'hostb']);
  expect(stays).toEqual([false, true]);
});

describe('a session that ended without a word', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('by %s had not begun', async (signal, code) => {
    silent(null, signal);
    expect(await runLine(['protect', 'web1', 'hostb'])).toMatchObject({ code, out: '', err: '' });
  });

  it('in order keeps its exit code', async () => {
    silent(0, null);
    expect((await runLine(['protect', 'web1', 'hostb'])).code).toBe(0);
  });

  it('and left nothing is told by how it ended', async () => {
    silent(null, 'SIGKILL');
    const ran = await runLine(['protect', 'web1', 'hostb'], fakeIo({ TSREMUS_RUN_DIR: '/no' }));
    expect(ran.code).toBe(10);
    expect(ran.err).toBe(
      'tsremus: web1: the process of the session ended (SIGKILL)\nTry: tsremus status\n',
    );
  });

  it.each([
    [true, 18, /: its process \d+ died: what the guest sends is held since/],
    [false, 16, /: its process \d+ died: the guest runs on here without a copy/],
  ])('and left a guest, buffered: %j', async (buffered, code, message) => {
    silent(null, 'SIGKILL');
    const run = new TemporaryRun();
    run.put(sampleStatus({ pid, buffered, epoch: 7, outcome: null, state: 'protected' }));
    const ran = await runLine(['protect', 'web1', 'hostb'], run.io());
    run.remove();
    expect(ran.code).toBe(code);
    expect(ran.err).toMatch(message);
    expect(ran.err).toMatch(/\nTry: tsremus stop web1 /);
  });
});
