/** `tsremus stop` of the output buffer that a dead session left. */
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { main, nativeFile } from './built.ts';
import { it } from './fixture.ts';
import { cleanUp, type Pair, prepare } from './pair.ts';
import { run, signal } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

/** `tsremus` on host A, with stand-ins for `ip` and `tc`: `tc` does as `script` says. */
function withTc(pair: Pair, script: string, ...args: string[]) {
  const bin = join(pair.dir, 'bin');
  mkdirSync(bin, { recursive: true });
  for (const [name, text] of [
    ['ip', 'cat >/dev/null'],
    ['tc', script],
  ] as const) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  const env = { ...pair.a.env, PATH: `${bin}:${process.env['PATH']}` };
  return run(process.execPath, [main, ...args], env);
}

const broken = 'cat >/dev/null; echo "RTNETLINK answers: Device or resource busy" >&2; exit 2';
const fine = 'cat >/dev/null; echo "[]"';

// Proves: an end that could not open the buffer is shown as held, with what to type; and the
// permission, once given, is enough for the next attempt though the backup is gone by then.
it.concurrent('says so, and stop types itself again', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 32, rate: 2_000 });
  const protect = await pair.protected();
  const { uuid = '', session = '', domid } = pair.a.session('g1') ?? {};
  signal(protect.pid, 'SIGKILL');
  await protect.ended;
  const statePath = join(pair.a.runDir, `${uuid}.network.json`);
  const state = { schema: 1, domain: 'buffer of g1', domid, uuid, session, interfaces: [] };
  writeFileSync(statePath, JSON.stringify(state));

  const stuck = await withTc(pair, broken, 'stop', 'g1');
  expect(stuck.code).toBe(18);
  expect(stuck.err).toMatch(/g1 may go on here, but its output buffer is not removed: .* busy/);
  expect(stuck.err).toContain('Try: tsremus stop g1  # tries again');
  const status = await pair.a.tsremus('status');
  expect(status.code).toBe(2);
  expect(status.out).toMatch(/its output buffer could not be removed: .* busy/);
  expect(status.out).toContain('Try: tsremus stop g1 ');

  await pair.wire.set({ there: 'cut', back: 'cut', refuse: true });
  const again = await withTc(pair, fine, 'stop', 'g1');
  expect(again).toMatchObject({ code: 0, err: '' });
  expect(existsSync(statePath)).toBe(false);
  expect(pair.a.state('g1')).toBe('running');
  expect((await pair.a.tsremus('status')).out).toBe('no sessions\n');
});

/** The state of an output buffer of g1, as a session wrote it; all else of that is gone. */
function putBuffer(pair: Pair, state: object): string {
  const { domid, uuid = '' } = pair.a.sim.find('g1') ?? {};
  rmSync(pair.a.runDir, { recursive: true, force: true });
  mkdirSync(pair.a.runDir, { mode: 0o700 });
  const statePath = join(pair.a.runDir, `${uuid}.network.json`);
  const whose = { schema: 1, domain: 'g1', domid, uuid, session: 'lost', interfaces: [] };
  writeFileSync(statePath, JSON.stringify({ ...whose, ...state }));
  return statePath;
}

// Proves: the state of a session is lost, its buffer is not: it is seen, the backup is asked, and
// gives the permission that its own record knows of.
it.concurrent('asks the backup that the buffer names', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 32, rate: 2_000 });
  const protect = await pair.protected();
  const { session, transport } = pair.a.session('g1') ?? {};
  signal(protect.pid, 'SIGKILL');
  await protect.ended;
  for (const guard of pair.guards()) signal(guard, 'SIGKILL');
  const peer = { ...transport, heartbeat_timeout_ms: 1_000 };
  const statePath = putBuffer(pair, { session, peer });
  const status = await pair.a.tsremus('status');
  expect(status.code).toBe(2);
  expect(status.out).toContain('Try: tsremus stop g1  # asks the other host');
  const stop = await withTc(pair, fine, 'stop', 'g1');
  // While the backup decides it may have activated: then that is what it says.
  expect([0, 17]).toContain(stop.code);
  expect(existsSync(statePath)).toBe(false);
  expect(pair.a.state('g1')).toBe(stop.code === 0 ? 'running' : null);
});

// Proves: without a way to ask nobody decides but the administrator; what is held is dropped
// before the guest is destroyed.
it.concurrent('drops what is held, then destroys, where nobody can be asked', async ({ pair }) => {
  const script = join(pair.dir, 'script');
  const log = join(pair.dir, 'script.log');
  const list = `SIMXL_HOST='${pair.a.sim.dir}' '${nativeFile('simxl')}' list`;
  writeFileSync(script, `#!/bin/sh\n{ echo "$1"; ${list}; } >>'${log}' 2>&1\n`);
  chmodSync(script, 0o755);
  const made = { name: 'lo', devid: 0, emulated: false, queues: ['lo'], action: null, script };
  pair.a.sim.create('g1', { memoryMib: 4 });
  const statePath = putBuffer(pair, { interfaces: [made] });

  const held = await withTc(pair, fine, 'stop', 'g1');
  expect(held.code).toBe(18);
  expect(held.err).toContain('nothing here says which host has its copy');
  expect(held.err).toContain(
    'Try: tsremus stop --force-unsafe g1  # only if the copy on the other',
  );
  expect(held.err).toContain('Try: tsremus stop --destroy g1  # drops what is held');
  expect(existsSync(log)).toBe(false);

  const destroyed = await withTc(pair, fine, 'stop', '--destroy', 'g1');
  expect(destroyed).toMatchObject({ code: 0, err: '' });
  expect(readFileSync(log, 'utf8')).toMatch(/^teardown\n(.*\n)*.*g1/);
  expect(pair.a.state('g1')).toBeNull();
  expect(existsSync(statePath)).toBe(false);
});

// Proves: nobody is asked for a guest that is gone.
it.concurrent('removes what is left of a guest that is gone', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 4 });
  const statePath = putBuffer(pair, {});
  pair.a.sim.run('destroy', 'g1');
  const stop = await withTc(pair, fine, 'stop', 'g1');
  expect(stop.code).toBe(19);
  expect(existsSync(statePath)).toBe(false);
  expect((await pair.a.tsremus('status')).out).toBe('no sessions\n');
});
