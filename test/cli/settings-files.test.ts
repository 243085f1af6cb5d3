/** tsremus.toml and conf.d: what holds, who says so, and what is refused where. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sessionEnvironment } from '../../src/app/settings-files.ts';
import { protectOptions } from '../../src/cli/protect-arguments.ts';
import { fileKeys } from '../../src/config/settings-file.ts';
import { fakeIo, runLine } from './fake-io.ts';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tsremus-settings-'));
});

afterEach(() => rmSync(dir, { recursive: true }));

function put(name: string, ...lines: string[]): void {
  mkdirSync(dirname(join(dir, name)), { recursive: true });
  writeFileSync(join(dir, name), lines.map((line) => `${line}\n`).join(''));
}

const main = (...lines: string[]) => put('tsremus.toml', ...lines);
const env = (more: Record<string, string> = {}) => ({ TSREMUS_CONFIG_DIR: dir, ...more });
const show = (...argv: string[]) => runLine(['status', '--show-config', ...argv], fakeIo(env()));
const flags = { compression: true, wait: true, network: true, disk: true };

/** What a session would be told. */
async function options(more: Record<string, string>, given: object = {}) {
  const all = await sessionEnvironment(env(more));
  return protectOptions('web1', 'hostb', { ...flags, ...given }, all);
}

// Proves: what is typed wins over a variable, that over a file, a later file over an earlier one,
// and that over the default; an empty variable says nothing.
it('holds in this order', async () => {
  expect(await options({})).toMatchObject({ interval: 'auto', holdMs: 3_000 });
  main('interval = 50', 'hold = 5_000', 'without-witness = "manual"');
  put('conf.d/10-site.toml', 'interval = 60');
  put('conf.d/20-host.toml', 'interval = 70', 'max-memory = "1G"', 'buffer-limit = 2097152');
  put('conf.d/.30-hidden.toml', 'interval = 80');
  put('conf.d/40-other.conf', 'interval = 90');
  expect(await options({ TSREMUS_INTERVAL: '' })).toMatchObject({
    interval: 70,
    holdMs: 5_000,
    withoutWitness: 'manual',
    maxMemoryBytes: 1024 ** 3,
    bufferLimitBytes: 2 * 1024 ** 2,
  });
  expect((await options({ TSREMUS_INTERVAL: '100' })).interval).toBe(100);
  const typed = await options({ TSREMUS_INTERVAL: '100' }, { interval: '200' });
  expect(typed.interval).toBe(200);
});

// Proves: each key reaches the session by its own variable.
it.each(fileKeys.map(({ key, variable }) => [key, variable] as const))(
  '%s',
  async (key, variable) => {
    const values: Readonly<Record<string, string>> = {
      'max-memory': '"128M"',
      'buffer-limit': '"2M"',
      'without-witness': '"primary"',
      'save-helper': '"stock"',
      'ssh-command': '"ssh -p 22"',
      'heartbeat-timeout': '2_000',
      'max-overhead': '7',
      'max-pending': '3',
      hold: '4_000',
    };
    const value = values[key] ?? '30';
    main(`${key} = ${value}`);
    const text = value.replaceAll(/["_]/g, '');
    expect((await sessionEnvironment(env()))[variable]).toBe(text);
  },
);

describe('what cannot be', () => {
  // Proves: the message has file and line, what is wrong, and the nearest key; the exit code is 78.
  it.each([
    [['# a', '', 'intervall = 50'], 'line 3: "intervall" is no setting (is interval meant?)'],
    [['heartbeat_timeout = 500'], 'is no setting (is heartbeat-timeout meant?)'],
    [['nothing-like-it = 1'], 'is no setting (known are interval, max-overhead'],
    [['hold = 4000', '[guest.web1]', 'x = 1'], 'line 2: "guest" is no setting'],
    [['', 'hold = "4000"'], 'line 2: hold is no number'],
    [['interval = true'], 'line 1: interval is no number or a text'],
    [
      ['interval = 50', 'hold = 1'],
      'line 2: hold: 1 is out of range (milliseconds, 100 to 600000)',
    ],
    [['interval = "often"'], 'line 1: interval: "often" is not a whole number of milliseconds'],
    [['interval = 1.5'], 'line 1: interval: "1.5" is not a whole number'],
    [['without-witness = "me"'], 'without-witness: "me" is none of backup, primary, manual'],
    [['max-memory = "many"'], 'line 1: max-memory: "many" is not a size'],
    [['ssh-command = ""'], 'line 1: ssh-command is empty'],
    [['hold = 4000', 'interval = auto'], 'line 2: this is no TOML: '],
    [['hold = 4000', 'hold = 5000'], 'line 2: this is no TOML: '],
  ])('%j', async (lines, why) => {
    main(...lines);
    const ran = await runLine(['protect', 'web1', 'hostb'], fakeIo(env()));
    expect(ran.code).toBe(78);
    expect(ran.err).toContain(`tsremus: ${join(dir, 'tsremus.toml')}, `);
    expect(ran.err).toContain(why);
    expect(ran.err).toContain('\nTry: man tsremus.toml  # ');
  });

  // Proves: what ends a session or looks at one does not depend on these files.
  it.each(['stop', 'status', 'failover'])('and does not keep from tsremus %s', async (command) => {
    main('intervall = 50');
    const io = fakeIo({ ...env(), TSREMUS_RUN_DIR: dir, TSREMUS_STATE_DIR: join(dir, 'state') });
    const ran = await runLine([command, 'web1'], io);
    expect(`${ran.out}${ran.err}`).not.toContain('intervall');
  });

  it('is a folder that cannot be read', async () => {
    mkdirSync(join(dir, 'tsremus.toml'));
    const ran = await show();
    expect(ran.code).toBe(3);
    expect(ran.err).toContain(`cannot read ${join(dir, 'tsremus.toml')}`);
  });
});

describe('--show-config', () => {
  // Proves: every setting is there with its value and who says it.
  it('says what holds and who says so', async () => {
    main('', 'hold = 5000');
    const io = fakeIo(env({ TSREMUS_INTERVAL: '50' }));
    const ran = await runLine(['status', '--show-config'], io);
    expect(ran).toMatchObject({ code: 0, err: '' });
    const rows = ran.out.split('\n').map((line) => line.split(/ {2,}/));
    expect(rows.slice(0, 1)).toEqual([['SETTING', 'VALUE', 'FROM']]);
    expect(rows.slice(1, -1).map(([name]) => name)).toEqual(fileKeys.map(({ key }) => key));
    expect(rows).toContainEqual(['interval', '50', 'TSREMUS_INTERVAL']);
    expect(rows).toContainEqual(['hold', '5000', `${join(dir, 'tsremus.toml')}, line 2`]);
    expect(rows).toContainEqual(['max-pending', '2', 'default']);
  });

  it('says the same as JSON', async () => {
    main('hold = 5000');
    const { settings } = JSON.parse((await show('--json')).out);
    expect(settings).toContainEqual({
      ...{ name: 'hold', value: '5000', origin: 'file' },
      where: `${join(dir, 'tsremus.toml')}, line 1`,
    });
  });

  it.each([['--check'], ['--metrics', '-']])('goes with no %s', async (...argv) => {
    const ran = await show(...argv);
    expect(ran.code).toBe(3);
    expect(ran.err).toContain('--show-config is of no session');
  });

  it('refuses a variable that cannot be', async () => {
    const ran = await runLine(['status', '--show-config'], fakeIo(env({ TSREMUS_HOLD: 'x' })));
    expect(ran.code).toBe(3);
    expect(ran.err).toContain('TSREMUS_HOLD: "x" is not a whole number');
  });
});
