/**
 * Whole sessions as an administrator types them, between two simulated hosts (native/simxl): what
 * is printed, the exit codes, and what status says on either side. Whether the protocol is right
 * is for other tests.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type SimHost, simPair } from '../simxl/sim-host.ts';
import { bundleProgram, repository } from './bundle.ts';

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

let root: string;
let pair: ReturnType<typeof simPair>;
const running: { child: ChildProcess; ended: Promise<Ended> }[] = [];

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'tsremus-session-'));
  await bundleProgram(root);
  symlinkSync(join(repository, 'node_modules'), join(root, 'node_modules'));
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

beforeEach(() => {
  pair = simPair();
  pair.a.create('web1', { rate: 200 });
});

afterEach(async () => {
  for (const { child } of running) child.kill('SIGKILL');
  await Promise.all(running.splice(0).map(({ ended }) => ended));
  // The receiving side outlives what started it: it is found by its own status.
  const { sessions } = await statusOf(pair.b);
  for (const { pid, process: state } of sessions) {
    if (state === 'alive') process.kill(pid, 'SIGKILL');
  }
  pair.close();
});

function environment(host: SimHost): Record<string, string> {
  const folder = (name: string) => join(host.dir, '..', `${host === pair.a ? 'a' : 'b'}-${name}`);
  mkdirSync(folder('run'), { recursive: true, mode: 0o700 });
  return {
    PATH: process.env['PATH'] ?? '',
    TSREMUS_NATIVE: join(repository, 'native/build/libtsremus.so'),
    TSREMUS_LIBXL: host.env['TSREMUS_LIBXL'] ?? '',
    SIMXL_HOST: host.dir,
    TSREMUS_RUN_DIR: folder('run'),
    TSREMUS_STATE_DIR: folder('state'),
    TSREMUS_LOG_DIR: folder('log'),
    // The most that there is: on a busy machine nobody takes the other side for dead.
    TSREMUS_HEARTBEAT_TIMEOUT: '60000',
  };
}

const program = () => join(root, 'dist/main.js');

/** Types a command on a host and waits for its end. */
function type(host: SimHost, ...argv: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { env: environment(host) };
    execFile(process.execPath, [program(), ...argv], options, (error, out, err) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
      resolve({ code, out, err });
    });
  });
}

interface StatusDocument {
  readonly level: string;
  readonly sessions: { state: string; pid: number; process: string; epoch: number | null }[];
}

async function statusOf(host: SimHost): Promise<StatusDocument> {
  return JSON.parse((await type(host, 'status', '--json')).out) as StatusDocument;
}

/** Waits until status says `state` on `host`; each look takes the time of a process. */
async function until(host: SimHost, state: string): Promise<void> {
  let seen = '';
  while (seen !== state) seen = (await statusOf(host)).sessions.at(-1)?.state ?? 'no session';
}

/** Starts `tsremus protect web1` from host a to host b. */
function protect(...options: string[]) {
  const far = Object.entries(environment(pair.b)).map(([key, value]) => `${key}='${value}'`);
  const command = `${far.join(' ')} '${process.execPath}' '${program()}' receive`;
  const argv = [program(), 'protect', ...options, '-s', '', 'web1', command];
  const child = spawn(process.execPath, argv, {
    env: environment(pair.a),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (data) => {
    out += String(data);
  });
  child.stderr.on('data', (data) => {
    err += String(data);
  });
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (code) => resolve({ code, out, err }));
  });
  running.push({ child, ended });
  return { child, ended };
}

describe('a session', () => {
  it('is shown on both sides, locked, and ended in order by stop', async () => {
    const session = protect();
    await until(pair.a, 'protected');
    await until(pair.b, 'standby');
    const check = await type(pair.a, 'status', '--check', 'web1');
    expect(check.out).toMatch(/^TSREMUS OK - web1 protected, epoch \d+, acknowledged .* \| 'web1_/);

    const again = await protect().ended;
    expect(again).toMatchObject({ code: 11, out: '' });
    expect(again.err).toMatch(/^tsremus: web1 is protected already, by process \d+\n/);

    const failover = await type(pair.b, 'failover', '--yes', 'web1');
    expect(failover.code).toBe(14);
    expect(failover.err).toMatch(/^tsremus: failover of web1 is refused: /);

    const stop = await type(pair.a, 'stop', 'web1');
    expect(stop).toMatchObject({ code: 0 });
    expect(stop.out).toMatch(/^protection of web1 ended in order/);
    expect(await session.ended).toMatchObject({ code: 0 });
    for (const host of [pair.a, pair.b]) {
      expect(await type(host, 'status')).toMatchObject({ code: 0, out: 'no sessions\n' });
    }
    expect(pair.a.find('web1')).toMatchObject({ state: 'running' });
    expect(pair.b.list()).toEqual([]);
  });

  it('ends in order by Ctrl-C: 130', async () => {
    const { child, ended } = protect('--json');
    await until(pair.a, 'protected');
    child.kill('SIGINT');
    const { code, out, err } = await ended;
    expect({ code, err }).toEqual({ code: 130, err: '' });
    const kinds = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).message_type);
    expect(kinds).toContain('protected');
    expect(kinds.at(-1)).toBe('result');
    expect(pair.a.find('web1')).toMatchObject({ state: 'running' });
  });

  it('that was killed is told by status, and cleared by stop', async () => {
    const { child, ended } = protect('--foreground');
    await until(pair.a, 'protected');
    child.kill('SIGKILL');
    await ended;
    const status = await type(pair.a, 'status');
    expect(status.code).toBe(2);
    expect(status.out).toMatch(/web1: its process \d+ died: /);
    expect(status.out).toContain('Try: tsremus stop web1');
    const again = await protect().ended;
    expect(again.code).toBe(11);
    expect(again.err).toContain('Try: tsremus stop web1');
    let stop = await type(pair.a, 'stop', 'web1');
    // While the backup is about to decide it says neither yes nor no, and the guest stays held.
    while (stop.code === 18) stop = await type(pair.a, 'stop', 'web1');
    // Which of the two depends on whether the backup had waited long enough to take over.
    expect([0, 17]).toContain(stop.code);
    expect(await type(pair.a, 'status')).toMatchObject({ code: 0, out: 'no sessions\n' });
    const guests = [pair.a, pair.b].map((host) => host.find('web1')?.state ?? 'none');
    expect(guests).toEqual(stop.code === 0 ? ['running', 'none'] : ['none', 'running']);
  });

  it('whose backup died leaves the guest running, and says so until it was seen', async () => {
    const { ended } = protect();
    await until(pair.b, 'standby');
    const { sessions } = await statusOf(pair.b);
    process.kill(sessions[0]?.pid ?? 0, 'SIGKILL');
    const { code, err } = await ended;
    expect(code).toBe(16);
    expect(err).toContain('tsremus: web1 runs on here without a copy: ');
    expect((await type(pair.a, 'status', 'web1')).code).toBe(2);
    expect((await type(pair.a, 'stop', 'web1')).out).toContain('seen');
    expect((await type(pair.a, 'status', 'web1')).code).toBe(3);
    expect((await type(pair.b, 'stop', 'web1')).code).toBe(0);
  });
});

describe('a refusal leaves everything as it was', () => {
  it('no such domain: 12', async () => {
    const ran = await type(pair.a, 'protect', 'web2', 'hostb');
    expect(ran).toMatchObject({ code: 12, out: '' });
    expect(ran.err).toMatch(/^tsremus: there is no domain web2 on this host\nTry: xl list\n$/);
  });

  it('no such host: 13', async () => {
    const ran = await type(pair.a, 'protect', '-s', '', 'web1', 'exit 255');
    expect(ran).toMatchObject({ code: 13, out: '' });
    expect(await type(pair.a, 'status')).toMatchObject({ code: 0, out: 'no sessions\n' });
    expect(pair.a.find('web1')).toMatchObject({ state: 'running' });
  });

  it('no tsremus there: 13', async () => {
    const ran = await type(pair.a, 'protect', '-s', '', 'web1', 'tsremus-is-not-here receive');
    expect(ran).toMatchObject({ code: 13, out: '' });
  });

  it('interfaces that dom0 does not have: 10', async () => {
    pair.a.create('web2', { more: ['--nic'] });
    // The host is called at the same time: this one says nothing before dom0 was looked at.
    const ran = await type(pair.a, 'protect', '-s', 'sleep 600 #', 'web2', 'hostb');
    expect(ran).toMatchObject({ code: 10, out: '' });
    expect(ran.err).toContain('web2 has 1 network interface, dom0 has none of them');
  });
});
