import { describe, expect, it } from 'vitest';
import { run } from '../../src/host/runner.ts';
import { operationError } from '../link/support.ts';

/** Only a hang takes as long. */
const timeoutMs = 300_000;
const sh = (script: string) => ['/bin/sh', '-c', script];

describe('run', () => {
  it('gives what the command said', async () => {
    const result = await run(sh('echo out; echo err >&2; cat'), { timeoutMs, input: 'in' });
    expect(result).toMatchObject({ code: 0, stdout: 'out\nin', stderr: 'err\n' });
    expect(result.durationMs).toBeGreaterThan(0);
  });

  it('passes arguments as they are', async () => {
    const result = await run(['printf', '%s|', 'a b', '$HOME', ';'], { timeoutMs });
    expect(result.stdout).toBe('a b|$HOME|;|');
  });

  it('takes the environment and the folder it is given', async () => {
    const options = { timeoutMs, env: { PATH: process.env['PATH'], X: '1' }, cwd: '/' };
    expect((await run(sh('echo $X $PWD'), options)).stdout).toBe('1 /\n');
  });

  it('takes an exit code for an answer when told so', async () => {
    expect((await run(sh('exit 3'), { timeoutMs, okCodes: [3] })).code).toBe(3);
  });

  it.each<[string, readonly string[], object, string, string]>([
    [
      'is not there',
      ['no-such-command'],
      {},
      'command-not-found',
      'no-such-command: command not found',
    ],
    [
      'fails',
      sh('echo first >&2; echo "last words" >&2; exit 4'),
      {},
      'command-failed',
      'exit code 4: last words',
    ],
    ['is killed', sh('kill -9 $$'), {}, 'command-failed', 'ended by SIGKILL'],
    [
      'takes too long',
      sh('exec sleep 600'),
      { timeoutMs: 100 },
      'command-timeout',
      'no end within 100 ms',
    ],
    [
      'leaves children behind',
      sh('sleep 600 & wait'),
      { timeoutMs: 100 },
      'command-timeout',
      'no end within 100 ms',
    ],
    [
      'says too much',
      sh('yes'),
      { outputBytesMax: 1000 },
      'command-failed',
      'more than 1000 bytes of output',
    ],
  ])('a command that %s', async (_what, argv, options, code, text) => {
    const error = await operationError(() => run(argv, { timeoutMs, ...options }));
    expect(error.code).toBe(code);
    expect(error.message).toContain(text);
    expect(error.detail).toMatchObject({ op: 'run-command', subject: argv[0] });
  });

  it('ends when it is aborted', async () => {
    const controller = new AbortController();
    const failed = operationError(() =>
      run(['sleep', '600'], { timeoutMs, signal: controller.signal }),
    );
    controller.abort();
    expect((await failed).code).toBe('aborted');
    const again = await operationError(() =>
      run(['sleep', '600'], { timeoutMs, signal: controller.signal }),
    );
    expect(again.code).toBe('aborted');
  });

  it('keeps the last 4 KiB of stderr', async () => {
    const { stderr } = await run(sh('yes x | head -c 9000 >&2; echo end >&2'), { timeoutMs });
    expect(stderr.length).toBe(4096);
    expect(stderr.endsWith('end\n')).toBe(true);
  });
});
