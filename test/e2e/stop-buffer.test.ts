/** `tsremus stop` where the output buffer of a dead session cannot be removed at first. */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { main } from './built.ts';
import { it } from './fixture.ts';
import { cleanUp, type Pair, prepare } from './pair.ts';
import { run, signal } from './process.ts';

beforeAll(prepare, 120_000);
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
