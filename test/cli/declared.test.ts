/** Declared guests (guests.d): what the file tells `protect NAME`, and what `status` expects. */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { savingFor } from '../../src/app/guest-files.ts';
import { protectArguments } from '../../src/cli/protect-arguments.ts';
import { fileKeys, guestKeys } from '../../src/config/settings-file.ts';
import { sampleStatus } from '../registry/sample-status.ts';
import { runLine, TemporaryRun } from './fake-io.ts';

let run: TemporaryRun;

beforeEach(() => {
  run = new TemporaryRun();
});

afterEach(() => run.remove());

const etc = (name: string) => join(run.dir, 'etc', name);
const guestPath = (name: string) => etc(`guests.d/${name}.toml`);

function put(path: string, ...lines: string[]): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, lines.map((line) => `${line}\n`).join(''));
}

const declare = (name: string, ...lines: string[]) => put(guestPath(name), ...lines);
const status = (...argv: string[]) => runLine(['status', ...argv], run.io());
const flags = { compression: true, wait: true, network: true, disk: true };

/** What a session of `protect DOMAIN [HOST]` would be told. */
const meant = (domain: string, host?: string, typed: object = {}, env: object = {}) =>
  protectArguments(domain, host, { ...flags, ...typed }, { ...run.io().env, ...env });

describe('protect NAME', () => {
  // Proves: the file alone is enough, whatever can be typed of a guest.
  it('needs no more than its file', async () => {
    declare(
      ...(['web1', 'peer = "hostb"', 'interval = 25', 'force-unsafe = true'] as const),
      ...['no-disk = true', 'no-network = true', 'no-wait = true', 'no-compression = true'],
      ...['allow = ["b_info.vpmu", "b_info.tee"]', 'ssh-command = "ssh -p 22"'],
    );
    expect(await meant('web1')).toMatchObject({
      ...{ host: 'hostb', interval: 25, forceUnsafe: true, disk: false, network: false },
      ...{ wait: false, compression: false, allow: ['b_info.vpmu', 'b_info.tee'] },
      sshCommand: 'ssh -p 22',
    });
    declare('db1', 'peer = "hostc"', 'netbuf-script = "own"', 'no-disk = false');
    const db1 = await meant('db1');
    expect(db1).toMatchObject({ host: 'hostc', netbufScript: '/etc/xen/scripts/own', disk: true });
    declare('db2', 'peer = "hostc"', 'disk = ["xvda=/dev/c/db2"]', 'resync-rate = "1M"');
    expect((await meant('db2')).disks).toEqual({
      ...{ bytesPerSecond: 1024 ** 2, overwritten: [] },
      places: new Map([['xvda', '/dev/c/db2']]),
    });
    // What was typed counts.
    const typed = await meant('db2', undefined, { disk: ['xvda=/dev/x'], resyncRate: '2M' });
    expect(typed.disks).toMatchObject({ bytesPerSecond: 2 * 1024 ** 2 });
    expect(typed.disks?.places.get('xvda')).toBe('/dev/x');
  });

  // Proves: flag, variable, the guest's file, the host's files, default: in this order.
  it('holds what is said nearest', async () => {
    const intervalOf = async (typed: object, env: object) =>
      (await meant('web1', undefined, typed, env)).interval;
    declare('web1', 'peer = "hostb"');
    expect(await intervalOf({}, {})).toBe('auto');
    put(etc('tsremus.toml'), 'interval = 50', 'hold = 5000');
    expect(await intervalOf({}, {})).toBe(50);
    declare('web1', 'peer = "hostb"', 'interval = 25');
    expect(await intervalOf({}, {})).toBe(25);
    expect(await intervalOf({}, { TSREMUS_INTERVAL: '30' })).toBe(30);
    expect(await intervalOf({ interval: '35' }, { TSREMUS_INTERVAL: '30' })).toBe(35);
    expect(await meant('web1')).toMatchObject({ holdMs: 5_000, host: 'hostb' });
    expect((await meant('web1', 'hostc')).host).toBe('hostc');
  });

  // Proves: a peer that is a whole command is one, and a host that is typed is none by that.
  it('takes a command for a peer', async () => {
    declare('web1', 'peer = "ssh -p 22 hostb tsremus receive"', 'ssh-command = ""');
    expect((await meant('web1')).sshCommand).toBe('');
    expect((await meant('web1', 'hostc')).sshCommand).toBeNull();
  });

  // Proves: a measurement goes nowhere, whatever the file says of a peer; and who types that there
  // is to be no buffer needs no script that makes one.
  it('passes over what does not count', async () => {
    declare('web1', 'peer = "x y"', 'ssh-command = ""', 'netbuf-script = "own"');
    const measured = await meant('web1', undefined, { blackhole: true, forceUnsafe: true });
    expect(measured).toMatchObject({ host: 'nowhere', sshCommand: null });
    const open = await meant('web1', undefined, { network: false, forceUnsafe: true });
    expect(open.netbufScript).toBeNull();
  });

  it('says where a peer could have been said', async () => {
    const ran = await runLine(['protect', 'web1'], run.io());
    expect(ran.code).toBe(64);
    expect(ran.err).toContain(
      "missing required argument 'host': guests.d/web1.toml does not name a peer, or is not there",
    );
  });

  // Proves: the message has file and line, what is wrong, and the nearest key; the exit code is 78.
  it.each([
    [['peeer = "hostb"'], 'line 1: "peeer" is no setting (is peer meant?)'],
    [['peer = "hostb"', 'intervall = 5'], 'line 2: "intervall" is no setting (is interval meant?)'],
    [['peer = 5'], 'line 1: peer is no text'],
    [['peer = ""'], 'line 1: peer is empty'],
    [['peer = "hostb"', 'no-wait = "yes"'], 'line 2: no-wait is no true or false'],
    [['allow = "x"'], 'line 1: allow is no list of texts'],
    [['allow = [1]'], 'line 1: allow is no list of texts'],
    [['peer = "hostb"', 'no-disk = true'], 'line 2: no-disk needs force-unsafe = true beside it'],
    [['allow = ["x"]', 'force-unsafe = false'], 'line 1: allow needs force-unsafe = true'],
    [['netbuf-script = "a/b"'], 'line 1: netbuf-script: "a/b" is not the whole path'],
    [['hold = 1'], 'line 1: hold: 1 is out of range'],
    [['[more]', 'x = 1'], 'line 1: "more" is no setting'],
  ])('refuses %j', async (lines, why) => {
    declare('web1', ...lines);
    const ran = await runLine(['protect', 'web1', 'hostb'], run.io());
    expect(ran.code).toBe(78);
    expect(ran.err).toContain(`tsremus: ${guestPath('web1')}, ${why}`);
    expect(ran.err).toContain('\nTry: man tsremus.toml  # ');
  });

  it('has no guest in a file for all of them', async () => {
    put(etc('tsremus.toml'), 'peer = "hostb"');
    const ran = await runLine(['protect', 'web1', 'hostb'], run.io());
    expect(ran.err).toContain('line 1: "peer" is of one guest: it goes into guests.d/NAME.toml');
  });
});

describe('--save', () => {
  /** What is told when a session with this command line has begun. */
  async function saved(domain: string, host: string | undefined, typed: object): Promise<string> {
    const { save = {} } = await meant(domain, host, { ...typed, save: true });
    return new Promise((resolve) => {
      const event = (kind: string, text: string) => {
        if (kind !== 'connected') resolve(`${kind}: ${text}`);
      };
      savingFor({ seedProgress() {}, event }, domain, save, run.io().env).event('connected', 'x');
    });
  }

  // Proves: what was typed, and nothing else, is what the same guest gets without being told.
  it('writes what was typed', async () => {
    const typed = {
      ...{ interval: '25', maxMemory: '512M', forceUnsafe: true, disk: false },
      allow: ['b_info.vpmu'],
    };
    const said = await saved('web1', 'hostb', typed);
    expect(said).toBe(
      `saved: ${guestPath('web1')} is written: peer = "hostb", interval = 25, ` +
        'max-memory = "512M", force-unsafe = true, no-disk = true, allow = ["b_info.vpmu"]',
    );
    const { save: _, ...first } = await meant('web1', 'hostb', typed);
    expect(await meant('web1')).toEqual(first);
    expect(statSync(guestPath('web1')).mode & 0o777).toBe(0o644);
    expect(readdirSync(etc('guests.d'))).toEqual(['web1.toml']);
  });

  // Proves: each key that a guest's file takes can be saved.
  it('has every key', async () => {
    const typed = {
      ...{ interval: 'auto', maxOverhead: '7', maxPending: '3', maxMemory: '64M' },
      ...{ bufferLimit: '2M', heartbeatTimeout: '2000', hold: '4000', withoutWitness: 'manual' },
      saveHelper: 'stock',
      ...{
        sshCommand: 'ssh',
        compression: false,
        wait: false,
        check: false,
        forceUnsafe: true,
        disk: false,
      },
      ...{ netbufScript: '/x', allow: ['a'] },
    };
    const said = await saved('web1', 'hostb', typed);
    const all = [...guestKeys, ...fileKeys].map(({ key }) => key);
    // -n and -N do not go together, nor do -d and what is said of disks.
    const others = ['no-network', 'disk', 'resync-rate'];
    for (const key of all) if (!others.includes(key)) expect(said).toContain(`${key} = `);
    const ofDisks = { disk: ['xvda=/dev/b/db1'], resyncRate: '25M' };
    const also = await saved('db1', 'hostb', ofDisks);
    expect(also).toContain('disk = ["xvda=/dev/b/db1"], resync-rate = "25M"');
    const { save: _, ...first } = await meant('db1', 'hostb', ofDisks);
    expect(await meant('db1')).toEqual(first);
  });

  // Proves: what is changed is said, with what it was; comments and the rest of the file stay.
  it('says what it changes, and leaves the rest', async () => {
    declare('web1', '# ours', 'peer = "hostb"', '', 'interval = 50 # slow', 'hold = 4000');
    expect(await saved('web1', 'hostb', {})).toBe(`saved: ${guestPath('web1')} says so already`);
    expect(await saved('web1', undefined, { interval: '25', maxPending: '3' })).toBe(
      `saved: ${guestPath('web1')} is changed: interval = 25 (was 50), max-pending = 3`,
    );
    expect(readFileSync(guestPath('web1'), 'utf8')).toBe(
      '# ours\npeer = "hostb"\n\ninterval = 25\nhold = 4000\nmax-pending = 3\n',
    );
  });

  // Proves: a value over several lines is replaced as a whole, and what is meant is what is there.
  it('writes anew what it cannot change in its line', async () => {
    declare('web1', 'peer = "hostb"', 'force-unsafe = true', 'allow = [', '  "a",', ']');
    await saved('web1', undefined, { allow: ['b'] });
    expect((await meant('web1')).allow).toEqual(['b']);
  });

  it('says why it could not', async () => {
    writeFileSync(join(run.dir, 'etc'), '');
    expect(await saved('web1', 'hostb', {})).toMatch(/^not-saved: what was typed is not saved: /);
    rmSync(join(run.dir, 'etc'));
  });

  it('goes with no measurement', async () => {
    const ran = await runLine(['protect', '-F', '-b', '--save', 'web1'], run.io());
    expect(ran.code).toBe(64);
    expect(ran.err).toContain('it cannot go with --save');
    expect(ran.err).toContain('Try: tsremus protect -F -b web1\n');
  });
});

describe('status', () => {
  const lineOf = (text: string, domain: string) =>
    text.split('\n').find((line) => line.startsWith(`${domain} `));

  // Proves: no sessions is well only where none is declared.
  it('is critical where a declared guest has no session', async () => {
    mkdirSync(run.dir, { recursive: true });
    expect(await status()).toMatchObject({ code: 0, out: 'no sessions\n' });
    declare('web1', 'peer = "hostb"');
    const ran = await status();
    expect(ran.code).toBe(2);
    expect(lineOf(ran.out, 'web1')).toMatch(/^web1 +- +missing +- +- +- +- +hostb$/);
    expect(ran.out).toContain(
      `web1: declared in ${guestPath('web1')}, and no session here protects it or holds its ` +
        'copy\n' +
        '  Try: tsremus protect web1  # here, if it runs here\n' +
        '  Try: ssh hostb tsremus status web1  # if it runs there\n',
    );
  });

  // Proves: after a reboot, too, when there is no run directory yet.
  it('is critical where nothing has run since the host was booted', async () => {
    declare('web1', 'peer = "hostb"');
    const io = run.io();
    io.env = { ...io.env, TSREMUS_RUN_DIR: join(run.dir, 'none') };
    expect((await runLine(['status', '--check'], io)).code).toBe(2);
    rmSync(guestPath('web1'));
    expect((await runLine(['status', '--check'], io)).code).toBe(3);
  });

  // Proves: a session of either role speaks for its guest, and is judged itself.
  it.each([
    ['primary', 'protected', null, 0],
    ['backup', 'standby', null, 0],
    ['backup', 'active', 'activated', 2],
    ['primary', 'ended', 'taken-over', 2],
    ['primary', 'late', null, 1],
  ] as const)('takes the word of a %s that is %s', async (role, state, outcome, code) => {
    declare('web1', 'peer = "hostb"');
    run.put(sampleStatus({ role, state, outcome }));
    const ran = await status();
    expect(ran.out).not.toContain('missing');
    expect(ran.code).toBe(code);
  });

  // Proves: one that is missing is not hidden by another that is well, nor shown where another is
  // named; who names it hears that it is critical, and not unknown.
  it('tells one guest from another', async () => {
    declare('db1', 'peer = "hostb"');
    run.put(sampleStatus());
    expect((await status()).code).toBe(2);
    expect(await status('web1')).toMatchObject({ code: 0 });
    expect((await status('db1')).code).toBe(2);
    expect((await status('other')).code).toBe(3);
  });

  // Proves: a file that cannot be used declares its guest all the same, and why is said.
  it('does not pass over a file that is wrong', async () => {
    mkdirSync(run.dir, { recursive: true });
    declare('web1', 'peeer = "hostb"');
    const ran = await status();
    expect(ran.code).toBe(2);
    expect(ran.out).toContain('or holds its copy; ');
    expect(ran.out).toContain('line 1: "peeer" is no setting');
    expect(ran.out).toContain('Try: tsremus protect web1 HOST');
  });

  it('says so to a monitor first', async () => {
    declare('db1', 'peer = "hostb"');
    run.put(sampleStatus());
    const ran = await status('--check');
    expect(ran.code).toBe(2);
    expect(ran.out).toMatch(/^TSREMUS CRITICAL - db1 missing, declared in .*; web1 protected, /);
    const { out } = await status('--metrics', '-');
    expect(out).toContain('tsremus_declared_guest_missing{domain="db1"} 1\n');
    declare('web1', 'peer = "hostb"');
    const more = await status('--metrics', '-');
    expect(more.out).toContain('tsremus_declared_guest_missing{domain="web1"} 0\n');
  });

  it('says so as JSON', async () => {
    declare('db1', 'peer = "hostb"');
    run.put(sampleStatus());
    const document = JSON.parse((await status('--json')).out);
    expect(document).toMatchObject({ level: 'critical', exit: 2, declared: ['db1'] });
    expect(document.missing).toMatchObject([
      { domain: 'db1', file: guestPath('db1'), peer: 'hostb', level: 'critical' },
    ]);
    expect(document.sessions).toHaveLength(1);
  });

  // Proves: what is no guest's file is none; a folder that cannot be read is not taken for empty.
  it('counts files by their names', async () => {
    mkdirSync(run.dir, { recursive: true });
    for (const name of ['.hidden', 'web1.toml.off', '-x']) put(etc(`guests.d/${name}`));
    put(etc('guests.d/-x.toml'));
    expect((await status()).code).toBe(0);
    rmSync(etc('guests.d'), { recursive: true });
    writeFileSync(etc('guests.d'), '');
    expect((await status()).code).toBe(0);
  });

  // Proves: each value of a guest's session is there with who says it.
  it('shows the settings of one guest', async () => {
    put(etc('tsremus.toml'), 'interval = 50', 'hold = 5000');
    declare('web1', 'peer = "hostb"', 'interval = 25');
    const rows = (await status('--show-config', 'web1')).out
      .split('\n')
      .map((line) => line.split(/ {2,}/));
    expect(rows.slice(1, -1).map(([name]) => name)).toEqual(
      [...guestKeys, ...fileKeys].map(({ key }) => key),
    );
    expect(rows).toContainEqual(['peer', 'hostb', `${guestPath('web1')}, line 1`]);
    expect(rows).toContainEqual(['interval', '25', `${guestPath('web1')}, line 2`]);
    expect(rows).toContainEqual(['hold', '5000', `${etc('tsremus.toml')}, line 2`]);
    expect(rows).toContainEqual(['no-disk', 'false', 'default']);
  });
});
