// Goal: what carries the link is started as xl would start it, its failures become one clear
// sentence, and no process is ever left. Method: real processes; ssh is test/fixtures/bin/ssh.
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { checkAskedFor } from '../../src/app/receive.ts';
import { systemClock as clock, systemTimers as timers } from '../../src/host/clock.ts';
import type { OperationError } from '../../src/host/errors.ts';
import { askFresh, type ConnectOptions, connectBackup } from '../../src/link/connect.ts';
import { openTransport, type Transport } from '../../src/link/transport.ts';
import { type TransportCommand, transportCommand } from '../../src/link/transport-command.ts';
import { bundleFixture } from '../fixtures/bundle.ts';
import { Heard, operationError, sampleConfig, sampleDigest, sampleHello } from './support.ts';

const bin = join(import.meta.dirname, '../fixtures/bin');
const remoteDir = mkdtempSync(join(tmpdir(), 'tsremus-remote-'));
let receiver = '';

beforeAll(async () => {
  receiver = await bundleFixture('receiver');
});

/** Our environment with the fake ssh first, behaving as `mode`. */
function withSsh(mode: string, extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${bin}:${process.env['PATH']}`, FAKE_SSH: mode, ...extra };
}

/** A remote PATH in which `tsremus` is the receiver with this behaviour. */
function withReceiver(mode: string): NodeJS.ProcessEnv {
  const dir = mkdtempSync(join(remoteDir, `${mode}-`));
  const run = `exec ${process.execPath} ${receiver} ${mode}`;
  const script = `#!/bin/sh\n[ "$*" = receive ] || exit 64\n${run}\n`;
  writeFileSync(join(dir, 'tsremus'), script, { mode: 0o755 });
  return withSsh('run', { FAKE_SSH_PATH: `${dir}:/usr/bin:/bin` });
}

/** What sshd tells a forced command. */
const asked = (command: string) => ({ SSH_ORIGINAL_COMMAND: command });

function options(env: NodeJS.ProcessEnv, more: Partial<ConnectOptions> = {}): ConnectOptions {
  // Only a hang takes as long.
  return { clock, timers, env, timeoutMs: 300_000, ...more };
}

const ssh = transportCommand('host-b', undefined);
/** How a person goes our way to host-b. */
const trial = 'ssh -o BatchMode=yes -o ControlPath=none host-b';

/** Why the connection does not come to be. */
function failure(command: TransportCommand, env: NodeJS.ProcessEnv): Promise<OperationError> {
  return operationError(() => connectBackup(command, sampleHello, options(env)));
}

/** The states (R, S, T, ...) of the processes of the transport's group, as in proc(5). */
function groupStates(transport: Transport): string[] {
  const states: string[] = [];
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    let stat = '';
    try {
      stat = readFileSync(`/proc/${name}/stat`, 'latin1');
    } catch {
      continue;
    }
    const [state = '', , group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (Number(group) === transport.pid) states.push(state);
  }
  return states;
}

/** True while a process of the transport's group runs; one that awaits its reaper does not. */
function groupAlive(transport: Transport): boolean {
  return groupStates(transport).some((state) => state !== 'Z');
}

async function untilGone(transport: Transport): Promise<void> {
  while (groupAlive(transport)) await new Promise((resolve) => setImmediate(resolve));
}

describe('an ssh that fails', () => {
  it.each([
    ['unknown-host', 'the host name is not known', 'getent hosts host-b'],
    ['refused', 'connection refused', `${trial} true`],
    ['timeout', 'it does not answer', 'ping -c 3 host-b'],
    ['banner', 'it does not answer', 'ping -c 3 host-b'],
    ['no-route', 'there is no route to it', 'ping -c 3 host-b'],
    ['host-key', 'its host key is not known here', 'ssh host-b true'],
    ['no-key', 'it does not accept our key', 'ssh-copy-id host-b'],
    ['closed', 'it closed the connection', `${trial} true`],
  ])('%s', async (mode, why, hint) => {
    const error = await failure(ssh, withSsh(mode));
    expect(error.code).toBe('peer-unreachable');
    expect(error.message).toContain(`cannot reach the backup host-b: ${why}; it said: `);
    expect(error.hint).toMatch(new RegExp(`^${hint}  # `));
  });

  it('and says nothing', async () => {
    const error = await failure(ssh, withSsh('silent'));
    expect(error.message).toBe(
      'cannot reach the backup host-b: the other side ended the link (exit code 255)',
    );
    expect(error.hint).toBe(`${trial.replace('ssh', 'ssh -v')} true  # says where it ends`);
  });

  it('at another name, which an alias of its configuration stands for', async () => {
    const env = withSsh('unknown-host', { FAKE_SSH_HOST: 'b.example.org' });
    const error = await failure(ssh, env);
    expect(error.hint).toMatch(/^getent hosts b\.example\.org /);
  });

  it('is not installed', async () => {
    const error = await operationError(() =>
      connectBackup(ssh, sampleHello, options({ PATH: '/nowhere' })),
    );
    expect(error.code).toBe('command-not-found');
    expect(error.message).toBe('cannot start ssh: command not found');
    expect(error.hint).toBe('apt-get install openssh-client');
  });
});

describe('a backup', () => {
  it('without tsremus', async () => {
    const env = withSsh('run', { FAKE_SSH_PATH: '/usr/bin:/bin' });
    const error = await operationError(() => connectBackup(ssh, sampleHello, options(env)));
    expect(error.code).toBe('peer-without-tsremus');
    expect(error.message).toContain('tsremus is not installed there');
    expect(error.hint).toBe(`${trial} tsremus --version  # must print a version`);
    expect(error.message).toMatch(/; it said: .*tsremus: (command )?not found$/);
  });

  it('without node', async () => {
    const dir = mkdtempSync(join(remoteDir, 'no-node-'));
    // As npm installs it: env(1) looks for node, and says 127 as a shell does for tsremus.
    writeFileSync(join(dir, 'tsremus'), '#!/usr/bin/env node\n', { mode: 0o755 });
    const error = await failure(ssh, withSsh('run', { FAKE_SSH_PATH: dir }));
    expect(error.code).toBe('peer-without-tsremus');
    expect(error.message).toMatch(
      /^cannot use the backup host-b: node, which runs tsremus, is not installed there, .*: /,
    );
    expect(error.message).toMatch(/; it said: .*node.*: No such file or directory$/);
    expect(error.hint).toMatch(new RegExp(`^${trial} node --version  # `));
  });

  it('whose login is bound to receive, asked for another command, says so at once', async () => {
    const [error] = [await operationError(async () => checkAskedFor(asked('tsremus --version')))];
    expect(error.code).toBe('peer-refused');
    expect(error.message).toBe(
      'this login runs tsremus receive and nothing else (asked for: tsremus --version)',
    );
    expect(() => checkAskedFor(asked('tsremus receive'))).not.toThrow();
    expect(() => checkAskedFor({})).not.toThrow();
  });

  it.each([
    ['that shows control characters', 'tsrm^D^@^A^@^@^@^@^@^C^@^@^@'],
    ['that refuses itself', 'tsremus: stdin or stdout is a terminal: no primary is there\r\n'],
  ])('behind a terminal %s', async (_what, text) => {
    const command = transportCommand('host-b', `printf '%s' '${text}'; exit 0; ssh -tt`);
    const error = await failure(command, process.env);
    expect(error.code).toBe('protocol');
    expect(error.message).not.toContain('protocol 16');
    expect(error.message).toContain('terminal');
    expect(error.hint).toMatch(/ssh -tt host-b tty {2}# must print: not a tty$/);
  });

  it('behind a pipe that gives back what it gets', async () => {
    const error = await failure(transportCommand('cat', ''), process.env);
    expect(error.message).toContain('what was sent comes back');
    expect(error.hint).toBe('(cat) </dev/null  # must lead to tsremus receive');
  });

  it('with a tsremus that cannot be executed', async () => {
    const dir = mkdtempSync(join(remoteDir, 'denied-'));
    writeFileSync(join(dir, 'tsremus'), '', { mode: 0o644 });
    const env = withSsh('run', { FAKE_SSH_PATH: dir });
    const error = await operationError(() => connectBackup(ssh, sampleHello, options(env)));
    expect(error.code).toBe('peer-without-tsremus');
    expect(error.message).toContain('tsremus cannot be executed there');
  });

  it('that refuses', async () => {
    const env = withReceiver('refuse');
    const error = await operationError(() => connectBackup(ssh, sampleHello, options(env)));
    expect(error.code).toBe('disk-full');
    expect(error.message).toBe('host-b says: no space left');
    // What it offers is for its own host.
    expect(error.hint).toBe('ssh host-b df /var');
  });

  it('whose shell greets first', async () => {
    const env = withReceiver('garbage');
    const error = await operationError(() => connectBackup(ssh, sampleHello, options(env)));
    expect(error.code).toBe('protocol');
    expect(error.message).toContain('found "Welcome to host-b"');
    expect(error.hint).toMatch(new RegExp(`^${trial} true  # must print nothing`));
  });

  it('that says nothing', async () => {
    const env = withReceiver('mute');
    const more = { timeoutMs: 300 };
    const error = await operationError(() => connectBackup(ssh, sampleHello, options(env, more)));
    expect(error.code).toBe('peer-unreachable');
    expect(error.message).toBe('cannot reach the backup host-b: no answer within 300 ms');
  });

  it('whose receive process dies', async () => {
    const { link, transport } = await connectBackup(
      ssh,
      sampleHello,
      options(withReceiver('crash')),
    );
    const heard = new Heard(link);
    await heard.untilClosed();
    expect(heard.closes[0]?.kind).toBe('eof');
    const error = await transport.explain({
      reason: heard.closes[0]?.reason ?? '',
      error: null,
    });
    expect(error.message).toBe(
      'cannot reach the backup host-b: the other side ended the link (exit code 3)' +
        '; it said: receiver: out of luck',
    );
    expect((await transport.exited).code).toBe(3);
  });
});

describe('a session over a transport', () => {
  it('moves epochs, heartbeats and an orderly end', async () => {
    const connection = await connectBackup(ssh, sampleHello, options(withReceiver('good')));
    const { link, reply, transport } = connection;
    expect(reply.host).toBe('host-b');
    const heard = new Heard(link);
    await link.sendConfig(sampleConfig);
    for (let epoch = 0; epoch < 3; epoch++) {
      const sent = link.sendData(epoch, Buffer.alloc(8 * 1024 * 1024, epoch + 1));
      link.send({ kind: 'heartbeat', seq: epoch, heldMs: 0 });
      await sent;
      await link.endEpoch(epoch, 2048, sampleDigest);
    }
    await heard.until(({ kinds }) => kinds.filter((kind) => kind === 'ack').length === 3);
    expect(heard.kinds.filter((kind) => kind === 'echo').length).toBe(3);
    expect(heard.messages.at(-1)).toEqual({ kind: 'ack', epoch: 2 });
    await connection.close('stopped');
    expect((await transport.exited).code).toBe(0);
    expect(groupAlive(transport)).toBe(false);
  });

  it('goes on after the other side was stopped for a while', async () => {
    const connection = await connectBackup(ssh, sampleHello, options(withReceiver('good')));
    const { link, transport } = connection;
    const heard = new Heard(link);
    const group = -(transport.pid ?? 0);
    process.kill(group, 'SIGSTOP');
    while (groupStates(transport).some((state) => state !== 'T')) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    const sent = link.sendData(0, Buffer.alloc(8 * 1024 * 1024));
    // Nothing moves, and this side is not held up by it: old heartbeats give way to new ones.
    for (let seq = 0; seq < 2000; seq++) {
      link.send({ kind: 'heartbeat', seq, heldMs: 0 });
      if (seq % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(heard.kinds).not.toContain('echo');
    expect(link.counters.inFlightBytes).toBeLessThanOrEqual(link.counters.windowBytes);
    process.kill(group, 'SIGCONT');
    await sent;
    await link.endEpoch(0, 1, sampleDigest);
    await heard.untilKind('ack');
    expect(heard.messages).toContainEqual({ kind: 'echo', seq: 1999 });
    await connection.close('stopped');
  });

  it('asks for the promise by a connection of its own', async () => {
    const hello = { ...sampleHello, purpose: 'promise' as const };
    const beganMs = clock.nowMs();
    const asked = await askFresh(ssh, hello, 7, options(withReceiver('good')));
    expect(asked.answer).toEqual({ kind: 'promised' });
    // The question left when there was somebody to put it to.
    expect(asked.askedAtMs).toBeGreaterThan(beganMs);
    expect(asked.askedAtMs).toBeLessThan(clock.nowMs());
  });

  it('takes no answer to another question', async () => {
    const hello = { ...sampleHello, purpose: 'promise' as const };
    const error = await operationError(() =>
      askFresh(ssh, hello, 7, options(withReceiver('behind'))),
    );
    expect(error.code).toBe('peer-refused');
  });

  it('takes the failure to ask for a failure, never for an answer', async () => {
    const hello = { ...sampleHello, purpose: 'promise' as const };
    const error = await operationError(() =>
      askFresh(ssh, hello, 7, options(withReceiver('crash'))),
    );
    expect(error.code).toBe('peer-unreachable');
  });
});

describe('the command', () => {
  it('is ssh with our options and without a shell', async () => {
    const record = join(mkdtempSync(join(remoteDir, 'args-')), 'args');
    const env = withSsh('refused', { FAKE_SSH_ARGS: record });
    await operationError(() => connectBackup(ssh, sampleHello, options(env)));
    const args = readFileSync(record, 'utf8').trim().split('\n');
    expect(args.slice(0, 4)).toEqual(['-o', 'BatchMode=yes', '-o', 'ConnectTimeout=10']);
    // No master connection that is dead and not yet noticed to be.
    expect(args).toContain('ControlPath=none');
    expect(args.slice(-4)).toEqual(['--', 'host-b', 'tsremus', 'receive']);
  });

  it('is, with -s CMD, what xl makes of it', () => {
    expect(transportCommand('host-b', 'ssh -p 2222')).toEqual({
      file: '/bin/sh',
      args: ['-c', 'exec ssh -p 2222 host-b tsremus receive'],
      host: 'host-b',
      remoteShell: 'ssh -p 2222 host-b',
      remoteTrial: 'ssh -p 2222 host-b',
      isSsh: false,
    });
  });

  it("is, with -s '', the host itself as a shell command", async () => {
    const command = transportCommand(`${process.execPath} ${receiver} good | cat`, '');
    const connection = await connectBackup(command, sampleHello, options(process.env));
    await connection.close('done');
    await connection.transport.exited;
    await untilGone(connection.transport);
  });

  it.each(['', '  ', '-oProxyCommand=id'])('refuses the host %j', async (host) => {
    const error = await operationError(() => transportCommand(host, undefined));
    expect(error.message).toContain('is no host');
  });

  it('of -s that does not exist is named', async () => {
    const command = transportCommand('host-b', '/no/such/ssh');
    const error = await operationError(() =>
      connectBackup(command, sampleHello, options(process.env)),
    );
    expect(error.code).toBe('peer-unreachable');
    expect(error.message).toContain('command not found: /no/such/ssh');
    expect(error.hint).toBe('/no/such/ssh host-b tsremus --version  # must print a version');
  });

  it("of -s '' is named, and no host invented for it", async () => {
    const command = transportCommand('echo "Connection refused" >&2; exit 1', '');
    const error = await operationError(() =>
      connectBackup(command, sampleHello, options(process.env)),
    );
    expect(error.message).toBe(
      'cannot reach the backup "echo "Connection refused" >&2; exit 1": connection refused' +
        '; it said: Connection refused',
    );
    expect(error.hint).toBe(
      '(echo "Connection refused" >&2; exit 1) </dev/null  # must lead to tsremus receive',
    );
  });

  it('of -s on a host without tsremus', async () => {
    const command = transportCommand('host-b', 'sh -c "tsremus receive"');
    const env = { PATH: '/usr/bin:/bin' };
    const error = await operationError(() => connectBackup(command, sampleHello, options(env)));
    expect(error.code).toBe('peer-without-tsremus');
  });
});

describe('nothing is left', () => {
  it('when the connecting is aborted', async () => {
    const controller = new AbortController();
    const env = withSsh('hang');
    const failed = operationError(() =>
      connectBackup(ssh, sampleHello, options(env, { signal: controller.signal })),
    );
    controller.abort();
    expect((await failed).code).toBe('aborted');
  });

  it('of a shell command with children', async () => {
    const marker = join(mkdtempSync(join(remoteDir, 'marker-')), 'late');
    const command = transportCommand(`(sleep 600; touch ${marker}) | sleep 600`, '');
    const transport = openTransport(command, { timers, env: process.env });
    transport.input.resume();
    expect(groupAlive(transport)).toBe(true);
    const exit = await transport.close(0);
    expect(exit.signal).toBe('SIGTERM');
    await untilGone(transport);
    expect(existsSync(marker)).toBe(false);
  });

  it('of a command that ignores SIGTERM', async () => {
    const command = transportCommand(`exec ${process.execPath} ${receiver} stubborn`, '');
    const transport = openTransport(command, { timers, env: process.env });
    const exit = await transport.close(200);
    expect(exit.signal).toMatch(/SIGTERM|SIGKILL/);
    await untilGone(transport);
  });

  it('in the background of a command that has ended', async () => {
    const transport = openTransport(transportCommand('sleep 600 & exit 4', ''), {
      timers,
      env: process.env,
    });
    expect((await transport.exited).code).toBe(4);
    await untilGone(transport);
  });
});

it('stderr is passed on by lines and its last 4 KiB are kept', async () => {
  const lines: string[] = [];
  const script =
    'i=0; while [ $i -lt 400 ]; do echo "line number $i" >&2; i=$((i+1)); done; exit 5';
  const transport = openTransport(transportCommand(script, ''), {
    timers,
    env: process.env,
    onStderrLine: (line) => lines.push(line),
  });
  const exit = await transport.exited;
  expect(lines.length).toBe(400);
  expect(lines[399]).toBe('line number 399');
  expect(exit.stderr.length).toBeLessThanOrEqual(4096);
  expect(exit.stderr).toContain('line number 399');
});
