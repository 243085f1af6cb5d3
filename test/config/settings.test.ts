import { describe, expect, it } from 'vitest';
import { hostSettings } from '../../src/config/host-settings.ts';
import {
  heartbeatTimeoutSetting,
  holdSetting,
  intervalOf,
  maxMemory,
  maxOverheadSetting,
  maxPendingSetting,
  numberOf,
  numberSettings,
  parseNumber,
  runDirectory,
  sshCommand,
  stateDirectory,
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

describe('a number', () => {
  it('comes from the flag, else from the environment, else from its default', () => {
    const env = { TSREMUS_HOLD: '500' };
    expect(numberOf(holdSetting, '1000', env)).toBe(1_000);
    expect(numberOf(holdSetting, undefined, env)).toBe(500);
    expect(numberOf(holdSetting, undefined, { TSREMUS_HOLD: '' })).toBe(3_000);
    expect(numberOf(holdSetting, undefined, {})).toBe(3_000);
    expect(numberOf(heartbeatTimeoutSetting, undefined, {})).toBe(1_000);
    expect(numberOf(maxOverheadSetting, undefined, {})).toBe(20);
    expect(numberOf(maxPendingSetting, undefined, {})).toBe(2);
  });

  it('is within its range, ends included', () => {
    for (const setting of numberSettings) {
      const parse = (text: string) =>
        parseNumber({ text, name: setting.flag, origin: 'arguments', joint: ' ' }, setting);
      expect(parse(String(setting.min))).toBe(setting.min);
      expect(parse(String(setting.max))).toBe(setting.max);
      for (const value of [setting.min - 1, setting.max + 1]) {
        expect(() => parse(String(value))).toThrow(UsageError);
      }
      const range = `${setting.min} to ${setting.max}`;
      expect(refusal(() => parse(String(setting.max + 1))).message).toContain(range);
    }
  });

  it.each(['', ' ', 'x', '-5', '1e3', '20.5', '0x20', '200ms', '99999999999999999999', '٣'])(
    'refuses %j',
    (text) => {
      const error = refusal(() => intervalOf(text, {}));
      expect(error.message).toBe(
        `--interval: ${JSON.stringify(text)} is not a whole number of milliseconds, 10 to 60000`,
      );
      expect(error.hint).toEqual({ name: '--interval', joint: ' ', value: '200' });
    },
  );

  it('names the variable when that is wrong', () => {
    const error = refusal(() => numberOf(holdSetting, undefined, { TSREMUS_HOLD: 'long' }));
    expect(error).toMatchObject({
      message: 'TSREMUS_HOLD: "long" is not a whole number of milliseconds, 100 to 600000',
      hint: { name: 'TSREMUS_HOLD', joint: '=', value: '3000' },
      origin: 'environment',
    });
  });
});

describe('the interval', () => {
  it('is automatic unless something is said', () => {
    expect(intervalOf(undefined, {})).toBe('auto');
    expect(intervalOf('auto', { TSREMUS_INTERVAL: '50' })).toBe('auto');
    expect(intervalOf(undefined, { TSREMUS_INTERVAL: '50' })).toBe(50);
    expect(intervalOf('100', { TSREMUS_INTERVAL: 'auto' })).toBe(100);
  });

  it('is not 200 when 0 is said, as with xl remus', () => {
    const error = refusal(() => intervalOf('0', {}));
    expect(error).toMatchObject({
      message: '--interval: 0 is not a time (xl remus takes it for 200)',
      origin: 'arguments',
    });
    expect(error.hint).toEqual({ name: '--interval', joint: ' ', value: '200' });
  });
});

describe('a size of memory', () => {
  it('has the suffixes of xl and of everybody else', () => {
    expect(maxMemory(undefined, {})).toBeNull();
    expect(maxMemory('67108864', {})).toBe(64 * 1024 ** 2);
    expect(maxMemory('65536K', {})).toBe(64 * 1024 ** 2);
    expect(maxMemory('512m', {})).toBe(512 * 1024 ** 2);
    expect(maxMemory('2G', { TSREMUS_MAX_MEMORY: '1T' })).toBe(2 * 1024 ** 3);
    expect(maxMemory(undefined, { TSREMUS_MAX_MEMORY: '1T' })).toBe(1024 ** 4);
  });

  it.each(['', 'x', '-1G', '1.5G', '1GB', '2P', '0', '63M', '17T', '999999999999999'])(
    'refuses %j',
    (text) => {
      const error = refusal(() => maxMemory(text, {}));
      expect(error.message).toMatch(/^--max-memory: .*(is not a size|is out of range)/);
      expect(error.hint).toEqual({ name: '--max-memory', joint: ' ', value: '512M' });
    },
  );
});

it('knows the run directory', () => {
  expect(runDirectory({})).toBe('/run/tsremus');
  expect(runDirectory({ TSREMUS_RUN_DIR: '' })).toBe('/run/tsremus');
  expect(runDirectory({ TSREMUS_RUN_DIR: '/tmp/x' })).toBe('/tmp/x');
  expect(refusal(() => runDirectory({ TSREMUS_RUN_DIR: 'x' })).origin).toBe('environment');
});

describe('what every process reads', () => {
  const host = { name: 'hosta', memoryBytes: 1, availableBytes: 1 };

  // Proves: a path that depends on where one stands, or an unknown word, is not passed over.
  it.each([
    ['TSREMUS_STATE_DIR', 'state', /^TSREMUS_STATE_DIR: "state" is not an absolute path$/],
    ['TSREMUS_LOG_DIR', './log', /is not an absolute path$/],
    ['TSREMUS_ALLOW', 'allow', /is not an absolute path$/],
    ['TSREMUS_NATIVE', 'libtsremus.so', /is not an absolute path$/],
    ['TSREMUS_LOG_LEVEL', 'verbose', /^TSREMUS_LOG_LEVEL: "verbose" is none of debug, info$/],
  ])('%s=%s is refused', (variable, value, text) => {
    const error = refusal(() => hostSettings({ [variable]: value }, host));
    expect(error.message).toMatch(text);
    expect(error.origin).toBe('environment');
    expect(error.hint).toMatchObject({ name: variable, joint: '=', value: expect.any(String) });
  });

  it('is taken where it can be', () => {
    const env = { TSREMUS_LOG_LEVEL: 'debug' };
    const settings = hostSettings({ ...env, TSREMUS_LOG_DIR: '/tmp/log', TSREMUS_ALLOW: '' }, host);
    expect(settings).toMatchObject({ logDirectory: '/tmp/log', logLevel: 'debug' });
  });
});

it('keeps an empty -s apart from none', () => {
  expect(sshCommand(undefined, {})).toBeNull();
  expect(sshCommand('', { TSREMUS_SSH_COMMAND: 'ssh -p 2222' })).toBe('');
  expect(sshCommand(undefined, { TSREMUS_SSH_COMMAND: 'ssh -p 2222' })).toBe('ssh -p 2222');
  expect(sshCommand(undefined, { TSREMUS_SSH_COMMAND: '' })).toBeNull();
});

describe('the folder of the records', () => {
  it('is where the environment says', () => {
    expect(stateDirectory({})).toBe('/var/lib/tsremus');
    expect(stateDirectory({ TSREMUS_STATE_DIR: '/x' })).toBe('/x');
  });
});
