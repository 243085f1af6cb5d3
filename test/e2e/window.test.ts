/**
 * The window of `tsremus protect` and the session that it shows: whatever becomes of the one, the
 * other goes on; what ends protection in order does so through it.
 */
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { main } from './built.ts';
import { it } from './fixture.ts';
import { cleanUp, type Pair, prepare } from './pair.ts';
import { isRunning, parentOf, Running, run, signal, stateOf, until } from './process.ts';
import { key, Terminal } from './terminal.ts';

beforeAll(prepare);
afterAll(cleanUp);

const guest = { memoryMib: 16, rate: 1_000 };
const shown = ['-F', '-n', '-d', '-i', '50', '-s', ''];

/** As typed, towards b. */
function line(pair: Pair, ...more: string[]): string {
  const command = pair.wire.command(pair.receive(pair.b));
  return `${main} protect ${more.join(' ')} -F -n -d -i 50 -s '' g1 '${command}'`;
}

/** The processes of a protected g1. */
interface Both {
  readonly window: number;
  readonly session: number;
}

async function whenProtected(pair: Pair): Promise<Both> {
  await pair.acknowledged(pair.a, 'g1', 3);
  const session = pair.a.session('g1')?.pid ?? 0;
  return { session, window: parentOf(session) };
}

/** Protects g1 in a terminal. */
async function inTerminal(pair: Pair, ...more: string[]): Promise<Both & { terminal: Terminal }> {
  pair.a.sim.create('g1', guest);
  const terminal = new Terminal(pair.a.env);
  terminal.type(line(pair, ...more));
  return { terminal, ...(await whenProtected(pair)) };
}

/** The same with its output collected, as a program starts it. */
async function collected(pair: Pair): Promise<Both & { protect: Running }> {
  pair.a.sim.create('g1', guest);
  const command = pair.wire.command(pair.receive(pair.b));
  const protect = new Running(main, ['protect', '--json', ...shown, 'g1', command], pair.a.env);
  return { protect, ...(await whenProtected(pair)) };
}

/** Epochs are still acknowledged, and the copy is one: nobody took anybody for dead. */
async function goesOn(pair: Pair): Promise<void> {
  await pair.moreEpochs(pair.a, 'g1', 20);
  expect(pair.a.session('g1')?.state).toBe('protected');
  expect(pair.b.session('g1')?.state).toBe('standby');
}

async function stopped(pair: Pair): Promise<void> {
  const stop = await pair.a.tsremus('stop', 'g1');
  expect(stop).toMatchObject({ code: 0, err: '' });
  expect(pair.a.state('g1')).toBe('running');
  expect(pair.a.sim.wrong('g1')).toBeNull();
}

/** Something is written on the terminal. */
async function saySomething(pair: Pair): Promise<void> {
  const set = await pair.a.tsremus('set', 'g1', 'interval=60');
  expect(set.code).toBe(0);
}

describe('a stuck terminal costs nothing', () => {
  // Proves: Ctrl-S stops what is shown and nothing else, in both ways to run a session; what was
  // said meanwhile is shown by Ctrl-Q, and Ctrl-C ends protection in order.
  it.concurrent.for([[[]], [['--foreground']]])('Ctrl-S, with %j', async ([more], { pair }) => {
    const { terminal } = await inTerminal(pair, ...(more ?? []));
    terminal.press(key.stopOutput);
    await saySomething(pair);
    await saySomething(pair);
    await goesOn(pair);
    expect(terminal.out).not.toContain('checkpoints every 60 ms');
    terminal.press(key.goOnOutput);
    await terminal.shows('checkpoints every 60 ms');
    terminal.press(key.interrupt);
    await terminal.shows('protection of g1 ended in order');
    await terminal.showsCode(130);
    await terminal.hangUp();
  });

  // Proves: whoever wants to end protection needs no terminal that moves.
  it.concurrent('SIGTERM at a window that cannot write', async ({ pair }) => {
    const { terminal, window, session } = await inTerminal(pair);
    terminal.press(key.stopOutput);
    await saySomething(pair);
    signal(window, 'SIGTERM');
    await until('the session has ended', () => !isRunning(session));
    expect(pair.a.session('g1')).toBeNull();
    expect(pair.a.state('g1')).toBe('running');
    terminal.press(key.goOnOutput);
    await terminal.shows('protection of g1 ended in order');
    await terminal.showsCode(143);
    await terminal.hangUp();
  });

  // Proves: a stopped window is only that.
  it.concurrent('Ctrl-Z', async ({ pair }) => {
    const { terminal, window } = await inTerminal(pair);
    terminal.press(key.suspend);
    await until('the window stands', () => stateOf(window) === 'T');
    await saySomething(pair);
    await goesOn(pair);
    terminal.type('fg');
    await terminal.shows('checkpoints every 60 ms');
    terminal.press(key.interrupt);
    await terminal.shows('protection of g1 ended in order');
    await terminal.showsCode(130);
    await terminal.hangUp();
  });
});

describe('the loss of the window does not touch the session', () => {
  // Proves: a closed terminal ends the window alone, which had said how to look and how to end.
  it.concurrent('a hang-up', async ({ pair }) => {
    const { terminal, window, session } = await inTerminal(pair);
    await terminal.shows(/closing this window does not end .* tsremus status g1; .* stop g1/);
    await terminal.hangUp();
    await until('the window is gone', () => !isRunning(window));
    expect(isRunning(session)).toBe(true);
    await goesOn(pair);
    await stopped(pair);
  });

  // Proves: whoever said nohup is written to until the end.
  it.concurrent('nohup, and the end of the terminal', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const terminal = new Terminal(pair.a.env);
    const file = join(pair.dir, 'nohup.out');
    terminal.type(`nohup ${line(pair)} >${file} 2>&1 &`);
    const { window } = await whenProtected(pair);
    await terminal.hangUp();
    await goesOn(pair);
    await stopped(pair);
    await until('the window has ended', () => !isRunning(window));
    expect(readFileSync(file, 'utf8')).toMatch(/\nprotection of g1 ended in order: .*\n$/);
  });

  // Proves: neither does its death.
  it.concurrent('kill -9', async ({ pair }) => {
    const { protect, window } = await collected(pair);
    signal(window, 'SIGKILL');
    expect((await protect.ended).signal).toBe('SIGKILL');
    await goesOn(pair);
    await stopped(pair);
  });

  // Proves: nor a reader that has enough, and the exit code is still the session's.
  it.concurrent('| head -1', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const script = `${line(pair, '--json')} | head -1; echo "codes=\${PIPESTATUS[*]}"`;
    const piped = run('bash', ['--norc', '-c', script], pair.a.env);
    await whenProtected(pair);
    await saySomething(pair);
    await goesOn(pair);
    await stopped(pair);
    const { out, err } = await piped;
    expect(out).toMatch(/^\{.*\}\ncodes=0 0\n$/);
    expect(err).toBe('');
  });
});

describe('the window', () => {
  // Proves: SIGTERM at the window ends protection in order, with the lines and the code of a
  // session in the foreground.
  it.concurrent('passes SIGTERM on', async ({ pair }) => {
    const { protect, window } = await collected(pair);
    expect(window).toBe(protect.pid);
    signal(window, 'SIGTERM');
    const { code, err } = await protect.ended;
    expect({ code, err }).toEqual({ code: 143, err: '' });
    const kinds = protect.events.map((event) => event['message_type']);
    expect(kinds).toEqual(expect.arrayContaining(['connected', 'protected', 'ending']));
    expect(protect.events.at(-1)).toMatchObject({ outcome: 'stopped', by: 'sigterm', exit: 143 });
    expect(pair.a.state('g1')).toBe('running');
    await until('nothing is left on the backup', () => pair.b.leftovers().length === 0);
  });

  // Proves: a session that was killed cannot say so; the window does, with what to type.
  it.concurrent('says that its session was killed', async ({ pair }) => {
    const { protect, session } = await collected(pair);
    signal(session, 'SIGKILL');
    const { code, err } = await protect.ended;
    expect(code).toBe(16);
    expect(JSON.parse(err).error).toMatchObject({
      code: 'session-died',
      message: expect.stringMatching(/^g1: its process \d+ died: the guest runs on here without/),
      hint: expect.stringMatching(/^tsremus stop g1 /),
    });
  });

  // Proves: a refusal reaches its stderr and its exit code.
  it.concurrent('says why the session could not begin', async ({ pair }) => {
    const ran = await pair.a.tsremus('protect', ...shown, 'nobody', 'false');
    expect(ran).toMatchObject({ code: 12, out: '' });
    expect(ran.err).toBe('tsremus: there is no domain nobody on this host\nTry: xl list\n');
    const json = await pair.a.tsremus('protect', '--json', ...shown, 'nobody', 'false');
    expect(json).toMatchObject({ code: 12, out: '' });
    expect(JSON.parse(json.err).error).toMatchObject({ code: 'no-such-domain', exit: 12 });
  });
});

// Proves: every process of ours is found by its name.
it.concurrent('every process is called tsremus', async ({ pair }) => {
  const { window, session } = await collected(pair);
  const pids = [window, session, pair.receiver(), ...pair.guards()];
  expect(pids).toHaveLength(4);
  for (const pid of pids) {
    expect(readFileSync(`/proc/${pid}/comm`, 'utf8')).toBe('tsremus\n');
    expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).toMatch(/^tsremus /);
  }
  await stopped(pair);
});

// Proves: logrotate(8) can move the log of either side away, and the session goes on in a new one.
it.concurrent('SIGHUP reopens the logs', async ({ pair }) => {
  const { session } = await collected(pair);
  for (const [pid, log, line] of [
    [session, join(pair.a.logDir, 'g1.primary.log'), / ack \d+\n/],
    [pair.receiver(), join(pair.b.logDir, 'g1.backup.log'), /\n/],
  ] as const) {
    renameSync(log, join(pair.dir, `moved-${pid}`));
    signal(pid, 'SIGHUP');
    const isNew = () => existsSync(log) && line.test(readFileSync(log, 'utf8'));
    await until(`${log} is written anew`, isNew);
  }
  await stopped(pair);
});
