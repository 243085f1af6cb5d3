/**
 * What an administrator installs: the Debian package on host A, the npm tarball on host B. Both are
 * installed without a compiler and without a network, and a session does not need its files again.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { main, repository } from './built.ts';
import { it } from './fixture.ts';
import { cleanUp, type Host, noticing, type Pair, prepare } from './pair.ts';
import { Running, signal, until } from './process.ts';

let work = '';
/** A folder with nothing in it but what installing may use. */
let path = '';
let deb = '';
let tarball = '';

const isDebian = spawnSync('dpkg-deb', ['--version']).status === 0;

function build(kind: 'deb' | 'pack'): string {
  const script = join(repository, 'scripts/package.mjs');
  return execFileSync(process.execPath, [script, kind], { encoding: 'utf8' }).trim();
}

beforeAll(async () => {
  await prepare();
  work = mkdtempSync(join(tmpdir(), 'tsremus-packages-'));
  path = join(work, 'path');
  mkdirSync(path);
  for (const name of ['node', 'npm', 'env', 'sh']) {
    const from = execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
    symlinkSync(from, join(path, name));
  }
  tarball = build('pack');
  if (isDebian) deb = build('deb');
});

afterAll(() => {
  rmSync(work, { recursive: true, force: true });
  cleanUp();
});

/** Installs the tarball as plain `npm install --global` does; its command. */
function installTarball(name: string): string {
  const prefix = join(work, name);
  const home = join(work, 'home');
  const npm = ['install', '--global', '--no-audit', '--no-fund', '--prefix', prefix, tarball];
  // Nobody answers there; and no settings of this user's.
  const env = { PATH: path, HOME: home, npm_config_registry: 'http://127.0.0.1:9/' };
  execFileSync(join(path, 'npm'), npm, { env, cwd: work, stdio: 'pipe' });
  return join(prefix, 'bin/tsremus');
}

function unpackDeb(name: string): string {
  const root = join(work, name);
  execFileSync('dpkg-deb', ['--extract', deb, root]);
  return join(root, 'usr/sbin/tsremus');
}

/** Links that lead nowhere, below a folder. */
function danglingIn(folder: string): string[] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => {
    const at = join(folder, name);
    return lstatSync(at).isSymbolicLink() && !existsSync(at);
  });
}

/** A script that is `receive` of another installation on `host`. */
function receiveOf(command: string, host: Host, pair: Pair): string {
  const file = join(pair.dir, 'receive-installed');
  const own = readFileSync(pair.receive(host), 'utf8').split('\n');
  const lines = own.map((line) => (line.startsWith('exec ') ? `exec ${command} receive` : line));
  writeFileSync(file, lines.join('\n'));
  chmodSync(file, 0o755);
  return file;
}

/** `file` is there, on `host` of the test. */
function make(host: Host, file: string): void {
  const at = join(host.sim.dir, file);
  mkdirSync(dirname(at), { recursive: true });
  writeFileSync(at, '', { mode: 0o755 });
}

/** A session from the one installation to the other, some epochs old. */
async function session(
  pair: Pair,
  here: string,
  there: string,
  more: readonly string[] = [],
): Promise<Running> {
  for (const host of [pair.a, pair.b]) {
    for (const file of ['/etc/xen/scripts/vif-bridge', '/sys/class/net/xenbr0']) make(host, file);
  }
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000, more: ['--nic'] });
  const command = pair.wire.command(receiveOf(there, pair.b, pair));
  const args = ['-F', '-n', '-d', '--json', '-i', '50', '-s', '', '--hold', '300', ...more];
  const protect = new Running(
    here,
    ['protect', '--foreground', ...args, 'g1', command],
    pair.a.env,
  );
  const ended = protect.ended.then(({ code, err }) => {
    throw new Error(`protect ended early with ${code}: ${err}`);
  });
  await Promise.race([ended, pair.acknowledged(pair.a, 'g1', 3)]);
  ended.catch(() => {});
  return protect;
}

describe('the tarball', () => {
  // Proves: no compiler, no scripts, no network; pages and command are where npm puts them.
  it('is installed by plain npm', () => {
    const command = installTarball('plain');
    const { version } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
    const said = execFileSync(command, ['--version'], { env: { PATH: path }, encoding: 'utf8' });
    expect(said.trim()).toBe(version);
    expect(danglingIn(join(work, 'plain'))).toEqual([]);
    for (const page of ['man8/tsremus-protect.8', 'man7/tsremus-runbook.7']) {
      expect(existsSync(join(work, 'plain/share/man', page)), page).toBe(true);
    }
  });
});

describe('the Debian package', () => {
  it('has all that belongs to it, and nothing that its group may write', ({ skip }) => {
    skip(!isDebian, 'dpkg-deb is not installed');
    const root = dirname(dirname(dirname(unpackDeb('whole'))));
    expect(danglingIn(root)).toEqual([]);
    const files = readdirSync(root, { recursive: true, encoding: 'utf8' });
    expect(files).toEqual(
      expect.arrayContaining([
        'etc/logrotate.d/tsremus',
        'etc/xen/scripts/block-tsremus',
        'usr/lib/ocf/resource.d/tsremus/protect',
        'etc/tsremus',
        'usr/lib/systemd/system/tsremus@.service',
        'usr/lib/tmpfiles.d/tsremus.conf',
        'usr/share/bash-completion/completions/tsremus',
        'usr/share/fish/vendor_completions.d/tsremus.fish',
        'usr/share/zsh/vendor-completions/_tsremus',
        'usr/share/man/man8/tsremus-check.8.gz',
        'usr/lib/tsremus/native/build/libtsremus.so',
        'usr/lib/tsremus/native/build/tsremus-disk-guard',
        'usr/share/doc/tsremus/copyright',
        'usr/share/doc/tsremus/docs/JSON.md',
        'usr/share/doc/tsremus/docs/PROTOCOL.md',
        'usr/share/man/man5/tsremus.toml.5.gz',
        'usr/share/man/man7/tsremus-runbook.7.gz',
        'usr/share/man/man8/tsremus-protect.8.gz',
      ]),
    );
    const writable = files.filter((name) => {
      const at = join(root, name);
      return !lstatSync(at).isSymbolicLink() && (statSync(at).mode & 0o022) !== 0;
    });
    expect(writable).toEqual([]);
    const guard = join(root, 'usr/lib/tsremus/native/build/tsremus-disk-guard');
    expect(statSync(guard).mode & 0o777).toBe(0o755);
  });

  // Proves: what Debian's own reviewer would refuse or complain of is not in it, or is overridden
  // with its reason in the package.
  it('leaves lintian nothing to complain of', ({ skip }) => {
    skip(!isDebian || spawnSync('lintian', ['--version']).error !== undefined, 'needs lintian');
    const said = spawnSync('lintian', ['--fail-on', 'error,warning', deb], { encoding: 'utf8' });
    expect(said).toMatchObject({ status: 0, stdout: '' });
  });

  // Proves: who removes it while a session runs is told so, and nothing is taken away.
  it('is not removed from under a session', async ({ pair, skip }) => {
    skip(!isDebian || process.getuid?.() !== 0, 'needs dpkg and root');
    const root = join(work, 'removed');
    mkdirSync(join(root, 'var/lib/dpkg/info'), { recursive: true });
    mkdirSync(join(root, 'var/lib/dpkg/updates'));
    for (const name of ['status', 'available']) writeFileSync(join(root, 'var/lib/dpkg', name), '');
    const dpkg = (...words: string[]) =>
      spawnSync(
        'dpkg',
        [`--root=${root}`, '--force-depends', '--force-script-chrootless', ...words],
        { encoding: 'utf8', env: { ...process.env, ...pair.a.env } },
      );
    expect(dpkg('--install', deb)).toMatchObject({ status: 0 });
    const command = join(root, 'usr/sbin/tsremus');
    const protect = await session(pair, command, command);
    const refused = dpkg('--remove', 'tsremus');
    expect(refused.status).not.toBe(0);
    expect(refused.stderr).toContain('Try: tsremus status');
    expect(existsSync(command)).toBe(true);
    expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
    await protect.ended;
    await until('its copy is given up', () => pair.b.sessions().length === 0);
    expect(dpkg('--remove', 'tsremus')).toMatchObject({ status: 0 });
    expect(existsSync(join(root, 'usr/lib/tsremus'))).toBe(false);
  });
});

describe('a session whose files are gone', () => {
  // Proves: an upgrade takes no file away that the copy needs to go on and to tell the network so,
  // hours later.
  it('takes over', async ({ pair, skip }) => {
    skip(!isDebian, 'dpkg-deb is not installed');
    await session(pair, unpackDeb('deb-a'), installTarball('npm-b'), noticing);
    for (const name of ['deb-a', 'npm-b']) rmSync(join(work, name), { recursive: true });
    await pair.wire.cut();
    await until('the copy runs', () => pair.b.session('g1')?.state === 'active');
    expect(pair.b.state('g1')).toBe('running');
    expect(pair.b.sim.wrong('g1')).toBeNull();
    await until('the network was told', () => / was (not )?announced/.test(pair.b.log()));
    expect(pair.b.log()).toMatch(/ was announced/);
  });

  // Proves: nor what the guard needs to settle what protect left, when that dies, and to boot anew.
  it('is settled by its guard', async ({ pair }) => {
    const protect = await session(pair, installTarball('npm-guard'), main);
    rmSync(join(work, 'npm-guard'), { recursive: true });
    signal(protect.pid, 'SIGKILL');
    const boot = pair.a.sim.find('g1')?.guest?.boot;
    pair.a.sim.run('reboot', 'g1');
    await until('it is booted anew', () => {
      const found = pair.a.sim.find('g1');
      return found?.state === 'running' && found.guest?.boot !== boot;
    });
    expect(pair.b.record('')).toEqual(['promised', 'standby']);
    expect(pair.a.log()).not.toMatch(/Cannot find module/);
  });
});
