import { beforeEach, describe, expect, it, vi } from 'vitest';
import { OperationError } from '../../src/host/errors.ts';
import type { ProtectOptions, ProtectReporter, ProtectResult } from '../../src/session/options.ts';
import { fakeIo, runLine } from './fake-io.ts';

const app = vi.hoisted(() => ({
  runProtect:
    vi.fn<(options: ProtectOptions, reporter: ProtectReporter) => Promise<ProtectResult>>(),
}));
vi.mock('../../src/app/protect.ts', () => app);

beforeEach(() => {
  app.runProtect.mockReset();
  app.runProtect.mockResolvedValue({ outcome: { kind: 'stopped', by: 'command' } });
});

function given(): ProtectOptions {
  const options = app.runProtect.mock.calls[0]?.[0];
  if (options === undefined) throw new Error('nothing was started');
  return options;
}

describe('options', () => {
  it('have their defaults', async () => {
    expect((await runLine(['protect', '--foreground', 'web1', 'hostb'])).code).toBe(0);
    expect(given()).toEqual({
      domain: 'web1',
      host: 'hostb',
      interval: 'auto',
      maxOverheadPercent: 20,
      pendingMax: 2,
      maxMemoryBytes: null,
      heartbeatTimeoutMs: 1_000,
      holdMs: 3_000,
      withoutWitness: 'backup',
      saveHelper: 'own',
      sshCommand: null,
      compression: true,
      wait: true,
      network: true,
      disk: true,
      netbufScript: null,
      bufferLimitBytes: 64 * 1024 ** 2,
      forceUnsafe: false,
      disks: { bytesPerSecond: null, places: new Map(), overwritten: [] },
    });
  });

  it('say where disks are on the other host, what may go there, and how fast', async () => {
    const options = ['--disk', 'xvda=/dev/b/web1', '--init-disk', 'xvda', '--init-disk', 'xvdb'];
    const more = ['--disk=xvdb=/dev/b/w=2', '--resync-rate', '25m', '--init-disk', 'xvda'];
    const ran = await runLine(['protect', '--foreground', ...options, ...more, 'web1', 'hostb']);
    expect(ran.code).toBe(0);
    expect(given()).toMatchObject({
      disk: true,
      disks: {
        bytesPerSecond: 25 * 1024 ** 2,
        places: new Map([
          ['xvda', '/dev/b/web1'],
          ['xvdb', '/dev/b/w=2'],
        ]),
        overwritten: ['xvda', 'xvdb'],
      },
    });
  });

  it.each([
    [['--disk', 'xvda'], /^--disk: "xvda" names no path/],
    [['--disk', 'xvda=web1'], /^--disk: "xvda=web1" names no path/],
    [['--disk', '../x=/dev/x'], /^--disk: "..\/x" is no name of a disk/],
    [['--disk', 'xvda=/a', '--disk', 'xvda=/b'], /^--disk: xvda is placed twice/],
    [['--init-disk', 'xvda=/a'], /^--init-disk: "xvda=\/a" is no name of a disk/],
    [['--save', '--init-disk', 'xvda'], /^--init-disk is for once: it cannot go with --save/],
    [['-F', '-d', '--init-disk', 'xvda'], /^--init-disk cannot go with --no-disk/],
    [['-F', '-d', '--resync-rate', '1M'], /^--resync-rate cannot go with --no-disk/],
  ])('of disks are refused: %j', async (options, text) => {
    const ran = await runLine(['protect', '--foreground', ...options, 'web1', 'hostb']);
    expect(ran.code).toBe(64);
    expect(ran.err.replace(/^tsremus: /, '')).toMatch(text);
  });

  it.each([
    [['-F', '-n', '-d', '-u', '-e', '-i', '50', '-s', 'ssh -p 2222']],
    [['-Fndue', '-i50', '-sssh -p 2222']],
    [
      [
        '--force-unsafe',
        '--no-network',
        '--no-disk',
        '--no-compression',
        '--no-wait',
        '--interval=50',
        '--ssh-command=ssh -p 2222',
      ],
    ],
  ])('are read by letter and by name: %j', async (options) => {
    expect((await runLine(['protect', '--foreground', ...options, 'web1', 'hostb'])).err).toBe('');
    expect(given()).toMatchObject({
      interval: 50,
      sshCommand: 'ssh -p 2222',
      compression: false,
      wait: false,
      network: false,
      disk: false,
      forceUnsafe: true,
    });
  });

  it('of our own are read too', async () => {
    await runLine([
      'protect',
      '--foreground',
      '--heartbeat-timeout',
      '500',
      '--hold=1500',
      'web1',
      'hostb',
    ]);
    expect(given()).toMatchObject({ heartbeatTimeoutMs: 500, holdMs: 1_500 });
    app.runProtect.mockClear();
    await runLine(['protect', '--foreground', '--without-witness=primary', 'web1', 'hostb']);
    expect(given()).toMatchObject({ withoutWitness: 'primary' });
    app.runProtect.mockClear();
    const pace = ['-i', 'auto', '--max-overhead', '5', '--max-pending=3', '--max-memory=1G'];
    await runLine(['protect', '--foreground', ...pace, 'web1', 'hostb']);
    expect(given()).toMatchObject({
      interval: 'auto',
      maxOverheadPercent: 5,
      pendingMax: 3,
      maxMemoryBytes: 1024 ** 3,
    });
  });

  it('may come from the environment', async () => {
    const env = { TSREMUS_INTERVAL: '40', TSREMUS_SSH_COMMAND: 'ssh -4' };
    await runLine(['protect', '--foreground', 'web1', 'hostb'], fakeIo(env));
    expect(given()).toMatchObject({
      interval: 40,
      sshCommand: 'ssh -4',
    });
  });

  it('let HOST be a command with an empty -s', async () => {
    await runLine(['protect', '--foreground', '-s', '', 'web1', 'nc hostb 8002']);
    expect(given()).toMatchObject({ sshCommand: '', host: 'nc hostb 8002' });
  });
});

describe('a refusal', () => {
  const cases: [string[], number, RegExp, RegExp][] = [
    [
      ['-n'],
      64,
      /^--no-network \(-n\) lets packets out.*needs --force-unsafe \(-F\)/,
      /^man tsremus-protect {2}# GUARANTEES/,
    ],
    [
      ['-d'],
      64,
      /^--no-disk \(-d\) leaves the disks.*needs --force-unsafe \(-F\)/,
      /^man tsremus-protect {2}# GUARANTEES/,
    ],
    [
      ['-b'],
      64,
      /^--blackhole \(-b\) keeps no copy.*needs --force-unsafe \(-F\)/,
      /^man tsremus-protect {2}# GUARANTEES/,
    ],
    [
      ['-N', ''],
      64,
      /^--netbuf-script \(-N\) names no file$/,
      /^tsremus protect --foreground web1 hostb --json$/,
    ],
    [['-N', './x'], 64, /^--netbuf-script \(-N\): ".\/x" is not the whole path$/, /from \/ on/],
    [['--allow', 'b_info.vpmu'], 64, /^--allow .*needs --force-unsafe \(-F\)/, /# GUARANTEES/],
    [['-F', '-b', '-s', 'rsh'], 64, /cannot go with --ssh-command/, /--help$/],
    [['-F', '-n', '-N', 'x'], 64, /^--netbuf-script \(-N\) cannot go with --no-network/, /--help/],
    [['-F', '-n', '--buffer-limit', '2M'], 64, /^--buffer-limit cannot go with --no-net/, /--help/],
    [['--buffer-limit', '1x'], 64, /^--buffer-limit: "1x" is not a size/, /--buffer-limit 64M/],
    [['--buffer-limit', '3G'], 64, /^--buffer-limit: 3G is out of range \(1M to 2G\)$/, /64M/],
    [['-c'], 69, /^--colo \(-c\) is not built yet$/, /^man tsremus-protect {2}#/],
    [['-c', '-p'], 69, /^--colo \(-c\) is not built yet$/, /^man tsremus-protect {2}#/],
    [
      ['-p'],
      64,
      /^--userspace-proxy \(-p\) belongs to --colo \(-c\)$/,
      /^tsremus protect --foreground web1 hostb --json$/,
    ],
    [['-c', '-i', '50'], 64, /^--colo \(-c\) has no interval/, /--help/],
    [['-c', '-F', '-n'], 64, /^--colo \(-c\) cannot go with --no-network/, /--help/],
    [['-i', '0'], 64, /^--interval: 0 .*xl remus takes it for 200/, /--interval 200/],
    [
      ['-i', 'fast'],
      64,
      /^--interval: "fast" is not a whole number/,
      /protect --foreground --interval 200 web1/,
    ],
    [['-i', '5'], 64, /^--interval: 5 is out of range \(milliseconds, 10 to 60000\)$/, /200/],
    [
      ['-i', '50', '--max-overhead', '5'],
      64,
      /^--max-overhead is for --interval auto/,
      /-i 50 web1/,
    ],
    [['--max-overhead', '91'], 64, /out of range \(percent, 1 to 90\)$/, /20/],
    [['--max-pending', '0'], 64, /out of range \(epochs, 1 to 64\)$/, /2/],
    [['--max-memory', '1M'], 64, /^--max-memory: 1M is out of range \(64M to 16T\)$/, /512M/],
    [['--heartbeat-timeout', '10'], 64, /out of range \(milliseconds, 200 to 60000\)$/, /1000/],
    [['--save-helper', 'mine'], 64, /--save-helper: "mine" is none of own, stock$/, /own/],
    [['--without-witness', 'both'], 64, /"both" is none of backup, primary, manual$/, /backup/],
    [['--hold', '1'], 64, /out of range \(milliseconds, 100 to 600000\)$/, /3000/],
  ];
  it.each(cases)('%j', async (options, code, message, hint) => {
    const ran = await runLine(['protect', '--foreground', ...options, 'web1', 'hostb', '--json']);
    const { error } = JSON.parse(ran.err);
    expect(ran.code).toBe(code);
    expect(error.exit).toBe(code);
    expect(error.message).toMatch(message);
    expect(error.hint).toMatch(hint);
    expect(ran.out).toBe('');
    expect(app.runProtect).not.toHaveBeenCalled();
  });

  it('of a HOST that ssh would take for an option', async () => {
    const ran = await runLine(['protect', '--foreground', 'web1', '--', '-oProxyCommand=evil']);
    expect(ran.code).toBe(64);
    expect(ran.err).toContain('starts with a dash');
  });

  it('of an empty name', async () => {
    expect((await runLine(['protect', '--foreground', '', 'hostb'])).err).toContain(
      'DOMAIN is empty',
    );
    expect((await runLine(['protect', '--foreground', 'web1', ' '])).err).toContain(
      'HOST is empty',
    );
  });

  it('of the environment exits 78', async () => {
    const io = fakeIo({ TSREMUS_HOLD: 'long' });
    const ran = await runLine(['protect', '--foreground', 'web1', 'hostb'], io);
    expect(ran.code).toBe(78);
    expect(ran.err).toContain('TSREMUS_HOLD: "long" is not a whole number');
  });
});

describe('what a session reports', () => {
  beforeEach(() => {
    app.runProtect.mockImplementation(async (_options, reporter) => {
      const rate = { bytes: 1e8, bytesPerSecond: 2e7, secondsLeft: 5 };
      reporter.seedProgress({ ...rate, percent: 51.2 });
      reporter.event('protected', 'protected since epoch 1', { epoch: 1, seed_ms: 900 });
      return { outcome: { kind: 'stopped', by: 'sigint' } };
    });
  });

  it('goes to stderr, the result to stdout', async () => {
    const ran = await runLine(['protect', '--foreground', 'web1', 'hostb']);
    expect(ran.code).toBe(130);
    expect(ran.err).toBe(
      'web1: seed 51 %, 100 MB, 20.0 MB/s, 5 s left\nweb1: protected since epoch 1\n',
    );
    expect(ran.out).toBe(
      'protection of web1 ended in order: it runs on here, the copy on hostb is gone\n',
    );
  });

  it('is nothing with --quiet', async () => {
    expect(await runLine(['protect', '--foreground', '-q', 'web1', 'hostb'])).toMatchObject({
      out: '',
      err: '',
    });
  });

  it('is JSON lines with --json', async () => {
    const ran = await runLine(['protect', '--foreground', '--json', 'web1', 'hostb']);
    expect(ran.err).toBe('');
    const lines = ran.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map((line) => line.message_type)).toEqual([
      'seed-progress',
      'protected',
      'result',
    ]);
    for (const line of lines) {
      expect(line).toMatchObject({ schema: 1, domain: 'web1' });
      expect(new Date(line.time).toISOString()).toBe(line.time);
    }
    expect(lines[0]).toMatchObject({ percent: 51.2, bytes_per_second: 2e7, seconds_left: 5 });
    expect(lines[1]).toMatchObject({ text: 'protected since epoch 1', epoch: 1, seed_ms: 900 });
    expect(lines[2]).toMatchObject({ outcome: 'stopped', by: 'sigint', exit: 130 });
  });
});

describe('how a session ended', () => {
  const reason = 'hostb is silent';
  const cases: [ProtectResult['outcome'], number, RegExp, RegExp][] = [
    [{ kind: 'unprotected', reason }, 16, /web1 runs on here without a copy: hostb/, /-F web1/],
    [{ kind: 'never-protected', reason }, 10, /web1 was never protected.*as before/, /-F web1/],
    [{ kind: 'taken-over' }, 17, /hostb took over: web1 runs there/, /tsremus status web1/],
    [{ kind: 'guest-ended', reason }, 19, /web1 ended by itself: hostb/, /xl list web1/],
    [
      { kind: 'held', reason },
      18,
      /web1 is held, nothing leaves it/,
      /tsremus stop web1 {2}# asks hostb once more/,
    ],
    [{ kind: 'held', reason, mayOpen: true }, 18, /buffer is not removed/, /stop web1 {2}# tries/],
  ];
  it.each(cases)('%j', async (outcome, code, message, hint) => {
    app.runProtect.mockResolvedValue({ outcome });
    const ran = await runLine(['protect', '--foreground', '-F', 'web1', 'hostb']);
    expect(ran.code).toBe(code);
    expect(ran.out).toBe('');
    expect(ran.err).toMatch(message);
    expect(ran.err).toMatch(/^Try: tsremus|^Try: xl/m);
    expect(ran.err).toMatch(hint);
    const json = await runLine(['protect', '--foreground', '--json', 'web1', 'hostb']);
    expect(json.code).toBe(code);
    expect(JSON.parse(json.err).error).toMatchObject({ code: outcome.kind, exit: code });
    expect(JSON.parse(json.out)).toMatchObject({ message_type: 'result', exit: code });
  });

  it('gives the word to the app on what comes next', async () => {
    app.runProtect.mockResolvedValue({ outcome: { kind: 'taken-over' }, next: ['xl top'] });
    expect((await runLine(['protect', '--foreground', 'web1', 'hostb'])).err).toMatch(
      /Try: xl top\nTry: ssh hostb tsremus status web1\n/,
    );
  });

  it('repeats the command line so that it can be pasted', async () => {
    app.runProtect.mockResolvedValue({ outcome: { kind: 'unprotected', reason } });
    const ran = await runLine(['protect', '--foreground', '-s', 'ssh -p 22', "it's", 'hostb']);
    expect(ran.err).toContain(
      `Try: tsremus protect --foreground -s 'ssh -p 22' 'it'\\''s' hostb\n`,
    );
  });

  it('passes an error on as it is', async () => {
    const detail = { op: 'open', hint: 'xl list' };
    const error = new OperationError('no-such-domain', 'there is no domain web1', detail);
    app.runProtect.mockRejectedValue(error);
    const ran = await runLine(['protect', '--foreground', 'web1', 'hostb']);
    expect(ran).toMatchObject({
      code: 12,
      out: '',
      err: 'tsremus: there is no domain web1\nTry: xl list\n',
    });
  });

  it('calls a bug a bug', async () => {
    app.runProtect.mockRejectedValue(new TypeError('x is undefined'));
    const ran = await runLine(
      ['protect', '--foreground', 'web1', 'hostb'],
      fakeIo({ TSREMUS_DEBUG: '1' }),
    );
    expect(ran.code).toBe(10);
    expect(ran.err).toContain('x is undefined (this is a bug of tsremus)');
    expect(ran.err).toContain('protect.test.ts');
  });
});
