/**
 * The default transport with a real ssh and sshd, on loopback. Everything else replaces it by the
 * relay, which knows nothing of configuration files, shared connections or login shells.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { main } from './built.ts';
import { it } from './fixture.ts';
import { cleanUp, type Pair, prepare, protectHere } from './pair.ts';
import { processesWith, type Ran, Running, run, signal, until } from './process.ts';

const sshd = '/usr/sbin/sshd';
/** Debian's sshd wants it to be there; a service would make it. */
const privileges = '/run/sshd';

const missing = existsSync(sshd) ? null : `${sshd} is not installed`;

beforeAll(prepare);
afterAll(cleanUp);

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        resolve(address !== null && typeof address === 'object' ? address.port : 0),
      );
    });
  });
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    socket.on('close', () => socket.destroy());
    socket.on('connect', () => socket.end());
  });
}

/** Host B behind an sshd, and host A with an ssh that shares one connection for all there is. */
class Login {
  readonly env: NodeJS.ProcessEnv;
  readonly #pair: Pair;
  readonly #isOurs = process.getuid?.() === 0 && !existsSync(privileges);
  #pid = 0;

  constructor(pair: Pair) {
    this.#pair = pair;
    this.env = { ...pair.a.env, PATH: `${this.#path('bin-a')}:${process.env['PATH']}` };
  }

  #path(name: string): string {
    return join(this.#pair.dir, name);
  }

  #program(folder: string, name: string, lines: readonly string[]): void {
    mkdirSync(this.#path(folder), { recursive: true });
    const text = ['#!/bin/sh', ...lines, ''].join('\n');
    writeFileSync(join(this.#path(folder), name), text, { mode: 0o755 });
  }

  async open(): Promise<void> {
    if (this.#isOurs) mkdirSync(privileges, { mode: 0o755 });
    for (const name of ['host-key', 'key']) {
      spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', this.#path(name)]);
    }
    const there = Object.entries(this.#pair.b.env).map(
      ([name, value]) => `export ${name}='${value}'`,
    );
    this.#program('bin-b', 'tsremus', [...there, `exec ${main} "$@"`]);
    const port = await freePort();
    const server = [
      ...[`ListenAddress 127.0.0.1:${port}`, `HostKey ${this.#path('host-key')}`],
      ...[`AuthorizedKeysFile ${this.#path('key.pub')}`, 'StrictModes no', 'UsePAM no'],
      ...['PidFile none', 'PermitRootLogin yes', 'PrintMotd no'],
      `SetEnv PATH=${this.#path('bin-b')}:${process.env['PATH']}`,
    ];
    writeFileSync(this.#path('sshd_config'), `${server.join('\n')}\n`);
    const client = [
      ...['Host hostb', 'HostName 127.0.0.1', `Port ${port}`, `User ${userInfo().username}`],
      ...[`IdentityFile ${this.#path('key')}`, 'IdentitiesOnly yes', 'StrictHostKeyChecking no'],
      ...[`UserKnownHostsFile ${this.#path('known')}`, 'LogLevel ERROR'],
      ...['ControlMaster auto', `ControlPath ${this.#path('master')}`, 'ControlPersist yes'],
    ];
    writeFileSync(this.#path('ssh_config'), `${client.join('\n')}\n`);
    // ssh looks for its file where the passwd file says that its user lives.
    this.#program('bin-a', 'ssh', [`exec /usr/bin/ssh -F ${this.#path('ssh_config')} "$@"`]);
    const daemon = spawn(sshd, ['-D', '-e', '-f', this.#path('sshd_config')], { stdio: 'ignore' });
    this.#pid = daemon.pid ?? 0;
    await until('sshd answers', () => answers(port));
  }

  ssh(...words: string[]): Promise<Ran> {
    return run(join(this.#path('bin-a'), 'ssh'), words, this.env);
  }

  /** The process that holds the connection that all others share. */
  async master(): Promise<number> {
    const { err } = await this.ssh('-O', 'check', 'hostb');
    return Number(/pid=(\d+)/.exec(err)?.[1]);
  }

  protect(): Running {
    const words = [...protectHere, ...['-F', '-n', '-d', '--json', '-i', '50', 'g1', 'hostb']];
    return new Running(main, words, this.env);
  }

  /** The ssh of the session. */
  transport(): number {
    const found = processesWith(this.#pair.dir).filter(
      ({ argv }) => argv[0]?.endsWith('ssh') && argv.at(-1) === 'receive',
    );
    expect(found).toHaveLength(1);
    return found[0]?.pid ?? 0;
  }

  close(): void {
    if (this.#pid !== 0) signal(this.#pid, 'SIGTERM');
    if (this.#isOurs) rmdirSync(privileges);
  }
}

// Proves: a shared connection that is dead (ControlMaster), over which a plain ssh hangs, is used
// neither for the session nor for the question that follows when its own connection ends.
it('a stale shared connection', async ({ pair, skip }) => {
  skip(missing !== null, missing ?? '');
  const login = new Login(pair);
  let master = 0;
  try {
    await login.open();
    expect((await login.ssh('hostb', 'tsremus', '--version')).out).toMatch(/^\d+\.\d+\.\d+\n$/);
    master = await login.master();
    signal(master, 'SIGSTOP');
    const stale = new Running('ssh', ['hostb', 'true'], login.env);

    pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
    const protect = login.protect();
    await until('it is protected', () => protect.said('protected'));
    // The connection of the session alone ends: the backup is there and has to be asked anew.
    signal(login.transport(), 'SIGKILL');
    const ended = await protect.ended;
    expect(ended).toMatchObject({ code: 16, signal: null });
    expect(pair.a.state('g1')).toBe('running');
    expect(pair.b.log('g1')).toMatch(/answer #\d+ \(fresh\): promised/);
    expect(stale.child.exitCode).toBe(null);
    signal(stale.pid, 'SIGKILL');
  } finally {
    if (master !== 0) signal(master, 'SIGKILL');
    login.close();
  }
});
