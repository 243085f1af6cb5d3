/** tsremus.toml on two hosts: what it says reaches a session, and what it cannot say stops none. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { main } from './built.ts';
import { it } from './fixture.ts';
import { cleanUp, type Host, noticing, type Pair, prepare, protectHere } from './pair.ts';
import { Running, run, signal, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

/** The folder of a host's settings, which its receive reads, too. */
function settingsOf(pair: Pair, host: Host, text: string): string {
  const dir = join(pair.dir, `etc-${host.name}`);
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'tsremus.toml'), text);
  return dir;
}

/** The way to B, where `dir` has the settings. */
const way = (pair: Pair, dir: string) =>
  pair.wire.command(`env TSREMUS_CONFIG_DIR=${dir} ${pair.receive(pair.b)}`);

// Proves: the interval and the memory of a session are those of the files on either host.
it.concurrent('says how a session is', async ({ pair, expect }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  const here = settingsOf(pair, pair.a, 'interval = 70\nmax-memory = "96M"\n');
  const there = settingsOf(pair, pair.b, 'max-memory = "80M"\n');
  const argv = [...protectHere, '-F', '-n', '-d', '--json', '-s', '', 'g1', way(pair, there)];
  const protect = new Running(main, argv, { ...pair.a.env, TSREMUS_CONFIG_DIR: here });
  await pair.acknowledged(pair.a, 'g1', 3);
  const mib = 1024 ** 2;
  const found = await until('both have said how they are', () => {
    const [a, b] = [pair.a.session('g1'), pair.b.session('g1')];
    return a?.memory && b?.memory ? [a, b] : null;
  });
  expect(found.map((one) => one?.memory?.max_bytes)).toEqual([96 * mib, 80 * mib]);
  expect(found[0]?.schedule).toMatchObject({ mode: 'fixed', interval_ms: 70 });
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
  await protect.ended;
});

// Proves: what is typed with --save is all that the same guest needs to be told the next time, and
// with it status expects the guest to be protected.
it.concurrent('declare a guest, which then needs its name alone', async ({ pair, expect }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  const env = { ...pair.a.env, TSREMUS_CONFIG_DIR: settingsOf(pair, pair.a, '') };
  const typed = ['-F', '-n', '-d', '-i', '70', ...noticing, '-s', '', '--save'];
  const way = pair.wire.command(pair.receive(pair.b));
  const first = new Running(main, [...protectHere, ...typed, '--json', 'g1', way], env);
  await until('it is saved', () => first.said('saved'));
  await pair.acknowledged(pair.a, 'g1', 1);
  const status = () => run(main, ['status'], env);
  expect((await status()).code).toBe(0);
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
  await first.ended;
  const missing = await status();
  expect(missing.code).toBe(2);
  expect(missing.out).toContain('g1: declared in ');
  const second = new Running(main, [...protectHere, '--json', 'g1'], env);
  await until('it is protected', () => pair.a.session('g1')?.state === 'protected');
  expect(pair.a.session('g1')?.schedule).toMatchObject({ mode: 'fixed', interval_ms: 70 });
  expect((await status()).code).toBe(0);
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
  await second.ended;
});

// Proves: a guest that could not be protected is not declared: its name may be misspelt.
it.concurrent('declare no guest whose session never began', async ({ pair, expect }) => {
  pair.a.sim.create('g1', { memoryMib: 16 });
  const dir = settingsOf(pair, pair.a, '');
  const env = { ...pair.a.env, TSREMUS_CONFIG_DIR: dir };
  const typed = ['protect', '--save', '-F', '-n', '-d', '-s', ''];
  expect((await run(main, [...typed, 'g1', 'exit 3'], env)).code).toBe(13);
  expect((await run(main, [...typed, 'g2', 'exit 3'], env)).code).toBe(12);
  expect(existsSync(join(dir, 'guests.d'))).toBe(false);
});

// Proves: a file on the backup that cannot be is a refusal with its line, and nothing is begun.
it.concurrent('is refused where it is wrong', async ({ pair, expect }) => {
  pair.a.sim.create('g1', { memoryMib: 16 });
  const there = settingsOf(pair, pair.b, '\nmax-memoory = "1G"\n');
  const { code, err } = await pair.protect({ command: way(pair, there) }).ended;
  expect(code).toBe(15);
  expect(err).toContain('tsremus.toml, line 2: \\"max-memoory\\" is no setting');
  expect(err).toContain('is max-memory meant?');
  await until('nothing is left there', () => pair.b.leftovers().length === 0);
});

// Proves: a primary that asks for the promise gets it whatever was written on the backup meanwhile.
it.concurrent('keeps nobody from an answer', async ({ pair, expect }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  const there = settingsOf(pair, pair.b, '');
  const protect = await pair.protected({ command: way(pair, there) });
  settingsOf(pair, pair.b, 'this is = no TOML');
  for (const pid of [...pair.guards(), protect.pid]) signal(pid, 'SIGKILL');
  const stopped = await pair.a.tsremus('stop', 'g1');
  expect(stopped.code).toBe(0);
  await until('the copy is given up', () => pair.b.state('g1') === null);
});
