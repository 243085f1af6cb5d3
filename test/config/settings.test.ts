import { describe, expect, it } from 'vitest';
import {
  heartbeatTimeoutSetting,
  holdSetting,
  intervalSetting,
  milliseconds,
  millisecondsSettings,
  runDirectory,
  sshCommand,
} from '../../src/config/settings.ts';
import { UsageError } from '../../src/config/usage-error.ts';

function refusal(run: () => unknown): UsageError {
  try {
    run();
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

describe('a time in milliseconds', () => {
  it('comes from the flag, else from the environment, else from its default', () => {
    const env = { TSREMUS_INTERVAL: '50' };
    expect(milliseconds(intervalSetting, '100', env)).toBe(100);
    expect(milliseconds(intervalSetting, undefined, env)).toBe(50);
    expect(milliseconds(intervalSetting, undefined, { TSREMUS_INTERVAL: '' })).toBe(200);
    expect(milliseconds(intervalSetting, undefined, {})).toBe(200);
    expect(milliseconds(heartbeatTimeoutSetting, undefined, {})).toBe(1_000);
    expect(milliseconds(holdSetting, undefined, {})).toBe(3_000);
  });

  it('accepts both ends of its range and nothing beyond', () => {
    for (const setting of millisecondsSettings) {
      expect(milliseconds(setting, String(setting.min), {})).toBe(setting.min);
      expect(milliseconds(setting, String(setting.max), {})).toBe(setting.max);
      const range = `${setting.min} to ${setting.max}`;
      for (const value of [setting.min - 1, setting.max + 1]) {
        expect(refusal(() => milliseconds(setting, String(value), {})).message).toContain(range);
      }
    }
  });

  it.each(['', ' ', 'x', '-5', '1e3', '20.5', '0x20', '200ms', '99999999999999999999', '٣'])(
    'refuses %j',
    (text) => {
      const error = refusal(() => milliseconds(intervalSetting, text, {}));
      expect(error.message).toBe(
        `--interval: ${JSON.stringify(text)} is not a whole number of milliseconds, 10 to 60000`,
      );
      expect(error.hint).toBe('say, for example, --interval 200');
    },
  );

  it('does not read 0 as the default, as xl remus does', () => {
    const error = refusal(() => milliseconds(intervalSetting, '0', {}));
    expect(error).toMatchObject({ message: '--interval: 0 is not a time', origin: 'arguments' });
    expect(error.hint).toContain('xl remus');
  });

  it('names the variable when that is wrong', () => {
    const error = refusal(() => milliseconds(holdSetting, undefined, { TSREMUS_HOLD: 'long' }));
    expect(error).toMatchObject({
      message: 'TSREMUS_HOLD: "long" is not a whole number of milliseconds, 100 to 600000',
      hint: 'say, for example, TSREMUS_HOLD=3000',
      origin: 'environment',
    });
  });
});

it('knows the run directory', () => {
  expect(runDirectory({})).toBe('/run/tsremus');
  expect(runDirectory({ TSREMUS_RUN_DIR: '' })).toBe('/run/tsremus');
  expect(runDirectory({ TSREMUS_RUN_DIR: '/tmp/x' })).toBe('/tmp/x');
  expect(refusal(() => runDirectory({ TSREMUS_RUN_DIR: 'x' })).origin).toBe('environment');
});

it('keeps an empty -s apart from none', () => {
  expect(sshCommand(undefined, {})).toBeNull();
  expect(sshCommand('', { TSREMUS_SSH_COMMAND: 'ssh -p 2222' })).toBe('');
  expect(sshCommand(undefined, { TSREMUS_SSH_COMMAND: 'ssh -p 2222' })).toBe('ssh -p 2222');
  expect(sshCommand(undefined, { TSREMUS_SSH_COMMAND: '' })).toBeNull();
});
