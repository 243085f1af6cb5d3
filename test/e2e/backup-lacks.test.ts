/**
 * What the backup's host has not is found before it is needed; what goes after that is waited for,
 * and the copy is kept until it is there again.
 */
import {
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { main, nativeFile, repository } from './built.ts';
import { it } from './fixture.ts';
import { cleanUp, type Host, noticing, type Pair, prepare } from './pair.ts';
import { signal, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

const script = '/etc/xen/scripts/vif-bridge';
const bridge = '/sys/class/net/xenbr0';

/** A file of the simulated host. */
function make(host: Host, path: string, text = ''): void {
  const at = join(host.sim.dir, path);
  mkdirSync(dirname(at), { recursive: true });
  writeFileSync(at, text, { mode: 0o755 });
}

const remove = (host: Host, path: string) => rmSync(join(host.sim.dir, path));

const withInterface = { memoryMib: 16, rate: 1_000, more: ['--nic'] };

// Proves: a bridge that the backup has not is named before there is a copy, with what to type
// there; the guest runs on, and nothing is left.
it.concurrent('a bridge that is not there is refused at the start', async ({ pair }) => {
  pair.a.sim.create('g1', withInterface);
  make(pair.b, script);
  const { code, err } = await pair.protect().ended;
  expect(code).toBe(10);
  expect(err).toContain('the bridge of interface 0 (xenbr0) is not there');
  expect(err).toContain('ip link add name xenbr0 type bridge');
  expect(pair.a.state('g1')).toBe('running');
  await until('nothing is left there', () => pair.b.leftovers().length === 0);
});

const hostFile = (host: Host, line: string) => make(host, '/xen', `${line}\n`);

// Proves: registers that the backup's processors have not are found before anything is copied, and
// not when the copy is to run; the backup's log has the reason, too, and no copy was begun.
it.concurrent('a processor without AVX is refused at the start', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 16 });
  hostFile(pair.b, 'hw_cap1=0xe7fa3203');
  const { code, err } = await pair.protect().ended;
  expect(code).toBe(10);
  expect(err).toContain('its processors have no AVX, whose registers are a part of');
  expect(err).toContain('PROCESSORS: cpuid= gives the guest what both have');
  expect(pair.a.state('g1')).toBe('running');
  await until('nothing is left there', () => pair.b.leftovers().length === 0);
  expect(pair.b.log('g1.backup')).toContain('its processors have no AVX');
  expect(pair.b.log('g1.backup')).not.toContain('ack 0');
});

// Proves: what only a program in the guest may miss is said, and is no reason not to protect it.
it.concurrent('a processor without SSSE3 is warned of', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 16 });
  hostFile(pair.b, 'hw_cap1=0xf7fa3003');
  const protect = await pair.protected();
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
  await protect.ended;
  const told = protect.events.find((event) => event['message_type'] === 'processors');
  expect(told?.['text']).toContain('1 feature is missing there that a guest may use');
});

const boots = '/etc/xen/auto/g1';

// Proves: what check fails of the other host is refused before anything is copied, with the line
// that mends it there, and with its own words to go on all the same.
it.concurrent('a host that boots the guest by itself is refused at the start', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  make(pair.b, boots, "name='g1'\n");
  const { code, err } = await pair.protect().ended;
  expect(code).toBe(10);
  expect(err).toMatch(/on \S+: \/etc\/xen\/auto\/g1 boots g1 with the host, whoever runs it then/);
  expect(err).toContain('mv /etc/xen/auto/g1 /etc/xen/');
  expect(pair.a.state('g1')).toBe('running');
  await until('nothing is left there', () => pair.b.leftovers().length === 0);
  expect(pair.b.log('g1.backup')).toContain('boots g1 with the host');
  expect(pair.b.log('g1.backup')).not.toContain('link open');
  await pair.protected({ args: ['--no-check'] });
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
});

// Proves: what check only warns of is said, with what to type, and the guest is protected.
it.concurrent('what is not well on the other host is said at the start', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  remove(pair.b, '/etc/xen/xl.conf');
  const protect = await pair.protected();
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
  await protect.ended;
  const told = protect.events.filter((event) => event['message_type'] === 'check');
  expect(told).toEqual([
    expect.objectContaining({
      text: expect.stringMatching(/^on \S+: autoballoon is on/),
      ...{ name: 'balloon', where: 'there', next: expect.stringContaining('autoballoon="off"') },
    }),
  ]);
});

/** A program that knows nothing of HELLO's `checks`, as that of before it; `receive` of it. */
function receiveOfOlder(pair: Pair): string {
  const home = join(pair.dir, 'older');
  const dist = join(home, 'dist');
  cpSync(dirname(main), dist, { recursive: true });
  symlinkSync(join(repository, 'node_modules'), join(home, 'node_modules'));
  const known = /\bhello\.checks\b/g;
  let uses = 0;
  for (const name of readdirSync(dist).filter((one) => one.endsWith('.mjs'))) {
    const text = readFileSync(join(dist, name), 'utf8');
    uses += text.match(known)?.length ?? 0;
    writeFileSync(join(dist, name), text.replaceAll(known, 'hello.unknown'));
  }
  expect(uses).toBeGreaterThanOrEqual(2);
  const path = join(pair.dir, 'receive-older');
  const script = readFileSync(pair.receive(pair.b), 'utf8')
    .replace(main, join(dist, 'main.js'))
    .replace('exec ', `export TSREMUS_NATIVE='${nativeFile('libtsremus.so')}'\nexec `);
  writeFileSync(path, script);
  chmodSync(path, 0o755);
  return path;
}

// Proves: a backup that does not answer CONFIG is not waited for.
it.concurrent('an older backup, which is asked nothing, is protected to as ever', async ({
  pair,
}) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  make(pair.b, boots, "name='g1'\n");
  await pair.protected({ command: pair.wire.command(receiveOfOlder(pair)) });
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
});

/** The primary's host loses its power. */
function kill(pair: Pair, ...pids: number[]): void {
  for (const pid of [...pids, ...pair.guards()]) signal(pid, 'SIGKILL');
  pair.a.sim.run('crash-host');
}

// Proves: a bridge that went while the guest was protected costs nothing: the copy is not built
// into a failure that would destroy it, status says what is lacking, and the copy runs as soon as
// somebody has made it. (The stand-in destroys a copy that is built without it, as libxl does.)
it.concurrent('a bridge that has gone since is waited for', async ({ pair }) => {
  pair.a.sim.create('g1', withInterface);
  make(pair.b, script);
  make(pair.b, bridge);
  const protect = await pair.protected({ args: noticing });
  remove(pair.b, bridge);
  await pair.wire.cut();
  kill(pair, protect.pid);
  const waiting = await until('it waits', () => {
    const found = pair.b.session('g1');
    return /kept until it can be built/.test(found?.reason ?? '') ? found : null;
  });
  expect(waiting.reason).toContain('the bridge of interface 0 (xenbr0) is not there');
  expect(waiting.next).toEqual([expect.stringContaining('ip link add name xenbr0 type bridge')]);
  expect(pair.b.state('g1')).toBeNull();
  make(pair.b, bridge);
  await until('the copy runs', () => pair.b.state('g1') === 'running');
  expect(pair.b.sim.wrong('g1')).toBeNull();
});

/** A script of its own for an interface: notes how its guest is called when it looks that up. */
const asking = `#!/bin/sh
domid=\${XENBUS_PATH#backend/vif/}
"$SIMXL_TOOL" info "\${domid%/*}" >> "$SIMXL_HOST/called"
echo "$1 $2 $vif" >> "$SIMXL_HOST/words"
`;

const read = (host: Host, path: string) => readFileSync(join(host.sim.dir, path), 'utf8');

// Proves: the script of an interface runs while the copy is built, and finds the guest by its own
// name there and then. (xl names a copy only afterwards, and its script would find g1--incoming.)
it.concurrent('the script of an interface finds the guest by its name', async ({ pair }) => {
  pair.a.sim.create('g1', withInterface);
  make(pair.b, bridge);
  make(pair.b, script, asking);
  const protect = await pair.protected({ args: noticing });
  expect(pair.b.sim.list().map(({ name }) => name)).toEqual(['g1--incoming']);
  await pair.wire.cut();
  kill(pair, protect.pid);
  await until('the copy runs', () => pair.b.state('g1') === 'running');
  const [{ name } = { name: '' }, ...more] = JSON.parse(`[${read(pair.b, 'called')}]`);
  expect([name, more]).toEqual(['g1', []]);
  expect(read(pair.b, 'words')).toMatch(/^online type_if=vif vif\d+\.0\n$/);
  expect(pair.b.sim.wrong('g1')).toBeNull();
});

// Proves: a guest that somebody has started under the copy's name meanwhile costs nothing either:
// the copy is kept, and runs once it can have its name.
it.concurrent('a name that another guest has taken since is waited for', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  const protect = await pair.protected({ args: noticing });
  pair.b.sim.create('g1', { memoryMib: 8 });
  await pair.wire.cut();
  kill(pair, protect.pid);
  const waiting = await until('it waits', () => {
    const found = pair.b.session('g1');
    return /kept until it can be built/.test(found?.reason ?? '') ? found : null;
  });
  expect(waiting.reason).toContain('another domain is called g1 here');
  expect(waiting.next).toEqual([expect.stringMatching(/^xl list -v g1 .*xl rename/)]);
  expect(
    pair.b.sim
      .list()
      .map(({ name }) => name)
      .sort(),
  ).toEqual(['g1', 'g1--incoming']);
  pair.b.sim.run('destroy', 'g1');
  await until('the copy runs', () => pair.b.state('g1') === 'running');
  expect(pair.b.sim.wrong('g1')).toBeNull();
});

// Proves: a CPU pool that the backup does not have, or that has no processor there, is named before
// there is a copy, with what to type there; with it the guest is protected.
it.concurrent('a CPU pool that is not there is refused at the start', async ({ pair }) => {
  const pools = (host: Host, text: string) => writeFileSync(join(host.sim.dir, 'pools'), text);
  pools(pair.a, 'Pool-0 0\nfast 1\n');
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000, more: ['--pool', 'fast'] });
  const none = await pair.protect().ended;
  expect(none.code).toBe(10);
  expect(none.err).toMatch(/g1 could not run on .*: the CPU pool fast is not there/);
  expect(none.err).toContain('xl cpupool-create ');
  pools(pair.b, 'Pool-0 0-1\nfast\n');
  expect((await pair.protect().ended).err).toContain('the CPU pool fast has no processor');
  expect(pair.a.state('g1')).toBe('running');
  pools(pair.b, 'Pool-0 0\nfast 1\n');
  await pair.protected();
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
});

// Proves: an older Xen on the backup, which would take the stream until its end and fail at the
// takeover, is refused before there is a copy; a newer one is not.
it.concurrent('an older Xen is refused at the start', async ({ pair }) => {
  const minor = (host: Host, number: number) =>
    writeFileSync(join(host.sim.dir, 'xen'), `minor=${number}\n`);
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  minor(pair.b, 16);
  const older = await pair.protect().ended;
  expect(older.code).toBe(10);
  expect(older.err).toMatch(/g1 could not run on .*: that has Xen 4\.16\S*, .* has 4\.17/);
  expect(older.err).toContain('man tsremus-requirements');
  expect(pair.b.sim.list()).toEqual([]);
  expect(pair.a.state('g1')).toBe('running');
  minor(pair.b, 18);
  await pair.protected();
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
});
