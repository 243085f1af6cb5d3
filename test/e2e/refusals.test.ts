/**
 * What goes wrong before protection begins: one clear message, the documented exit code, and
 * everything as it was: the guest runs on, nothing is left on either host.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { protocolVersion } from '../../src/link/frame.ts';
import { main, nativeFile, repository } from './built.ts';
import { cleanUp, Pair, prepare } from './pair.ts';
import { type Ran, Running, run, until } from './process.ts';

const fakeSsh = `${join(repository, 'test/fixtures/bin')}:${process.env['PATH']}`;
let pair: Pair;

beforeAll(async () => {
  await prepare();
  pair = new Pair();
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
});

afterAll(() => {
  pair.close();
  cleanUp();
});

/** `tsremus` on host a with more or other environment; undefined takes a variable away. */
function tsremus(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  return run(process.execPath, [main, ...args], { ...pair.a.env, ...env });
}

/** What a user sees, without what differs from run to run. */
function seen({ code, out, err }: Ran): string {
  const text = `${out}${err}`
    .replaceAll(pair.dir, 'DIR')
    .replaceAll(repository, 'TSREMUS')
    .replace(/"[^"]*\.\.\." says/g, '"COMMAND..." says')
    .replace(/process \d+/g, 'process PID')
    .replace(` on ${hostname()} `, ' on B ')
    .replace(/[0-9a-f-]{36}\.[0-9a-f]{32}/g, 'RECORD');
  return `${text}exit ${code}`;
}

/** A script that is `tsremus receive` on host b with another state directory. */
function receiveWith(name: string, stateDir: string): string {
  const path = join(pair.dir, `receive-${name}`);
  const env = { ...pair.b.env, TSREMUS_STATE_DIR: stateDir };
  const lines = Object.entries(env).map(([key, value]) => `export ${key}='${value}'`);
  const script = ['#!/bin/sh', ...lines, `exec ${process.execPath} ${main} receive`, ''];
  writeFileSync(path, script.join('\n'), { mode: 0o755 });
  return path;
}

/** The file that is the first disk of a guest of simxl's. */
function putDisk(name: string): void {
  const images = join(pair.a.sim.dir, 'var/lib/xen/images');
  mkdirSync(images, { recursive: true });
  writeFileSync(join(images, `${name}-0.img`), '');
}

async function expectAsBefore(): Promise<void> {
  // The guard of a session that did not begin goes a moment after protect.
  await until('nothing is left here', () => pair.a.leftovers().join() === 'g1 running');
  await until('nothing is left on the backup', () => pair.b.leftovers().length === 0);
  await until('nothing runs any more', () => pair.processes().length === 0);
}

const protect = ['protect', '-F', '-n', '-d', '-e', 'g1'];
const toB = () => ['protect', '-F', '-n', '-d', '-e', '-s', '', 'g1', pair.receive(pair.b)];

describe('a host that cannot be reached', () => {
  const sshFailures = [
    'unknown-host',
    'refused',
    'timeout',
    'no-route',
    'host-key',
    'no-key',
    'silent',
  ];

  beforeAll(() => {
    for (const name of sshFailures) pair.a.sim.create(name, { memoryMib: 4 });
  });

  afterAll(() => {
    for (const name of sshFailures) pair.a.sim.run('destroy', name);
  });

  it.concurrent.for(sshFailures)('(%s)', async (why, { expect }) => {
    const args = ['protect', '-F', '-n', '-d', why, 'hostb'];
    const ran = await tsremus(args, { PATH: fakeSsh, FAKE_SSH: why });
    expect(seen(ran)).toMatchSnapshot();
    expect(ran.code).toBe(13);
    expect(pair.a.state(why)).toBe('running');
    expect(pair.a.session(why)).toBeNull();
  });
});

describe('what check fails of this host', () => {
  // Proves: it is refused with the same cure before anything is begun, and goes on on a person's
  // word.
  it('is refused, unless it is not looked at', async () => {
    const auto = join(pair.a.sim.dir, 'etc/xen/auto');
    mkdirSync(auto, { recursive: true });
    writeFileSync(join(auto, 'g1.cfg'), 'name = "g1"\n');
    try {
      const ran = await tsremus(toB());
      expect(ran.code).toBe(10);
      expect(ran.err).toContain(
        `domain g1 cannot be protected: on ${hostname()}: /etc/xen/auto/g1.cfg boots g1 ` +
          'with the host, whoever runs it then (--no-check goes on all the same)\n' +
          'Try: mv /etc/xen/auto/g1.cfg /etc/xen/  # ',
      );
      await expectAsBefore();
      const [command, ...words] = toB();
      const goesOn = new Running(main, [command ?? '', '--no-check', ...words], pair.a.env);
      await until('it is protected', () => pair.a.session('g1')?.state === 'protected');
      expect((await tsremus(['stop', 'g1'])).code).toBe(0);
      await goesOn.ended;
      await until('the backup has ended', () => pair.b.leftovers().length === 0);
    } finally {
      rmSync(auto, { recursive: true });
    }
  });
});

describe('a backup that cannot be reached', () => {
  it('for its name, which nobody has, with the real ssh', async (context) => {
    context.skip(!existsSync('/usr/bin/ssh'), 'ssh is not installed');
    const ran = await tsremus([...protect, 'hostb.invalid']);
    expect(ran.code).toBe(13);
    expect(ran.err).toMatch(/^tsremus: cannot reach the backup hostb\.invalid: /);
    await expectAsBefore();
  });

  it('without tsremus', async () => {
    const env = { PATH: fakeSsh, FAKE_SSH: 'run', FAKE_SSH_PATH: '/usr/bin:/bin' };
    const ran = await tsremus([...protect, 'hostb'], env);
    expect(seen(ran)).toMatchSnapshot();
    expect(ran.code).toBe(13);
    await expectAsBefore();
  });

  it('by a command that is not there', async () => {
    const ran = await tsremus(['protect', '-F', '-n', '-d', '-s', 'no-such-rsh', 'g1', 'hostb']);
    expect(seen(ran)).toMatchSnapshot();
    expect(ran.code).toBe(13);
    await expectAsBefore();
  });
});

describe('a peer', () => {
  /** A header of the next version: magic, version, HELLO, no flags, number 0, two bytes, crc. */
  const next = `\\${(protocolVersion + 1).toString(8).padStart(3, '0')}`;
  const strange = String.raw`tsrm${next}\000\001\000\000\000\000\000\002\000\000\000\000\000\000\000{}`;

  it('of another protocol version', async () => {
    const ran = await tsremus([...protect.slice(0, 4), '-s', '', 'g1', `printf '${strange}'; cat`]);
    expect(seen(ran)).toMatchSnapshot();
    expect(ran.code).toBe(13);
    await expectAsBefore();
  });

  it('of another protocol version that calls us', async () => {
    const line = `printf '${strange}' | ${pair.receive(pair.b)}; exit $?`;
    const ran = await run('/bin/sh', ['-c', line], pair.a.env);
    expect(seen({ ...ran, out: ran.out.replace(/[^ -~]+/g, '.') })).toMatchSnapshot();
    expect(ran.code).toBe(13);
    await expectAsBefore();
  });

  it('that speaks something else', async () => {
    const ran = await tsremus([
      ...protect.slice(0, 4),
      '-s',
      '',
      'g1',
      'echo Welcome to hostb; cat',
    ]);
    expect(seen(ran)).toMatchSnapshot();
    expect(ran.code).toBe(10);
    await expectAsBefore();
  });

  // Proves: neither more than a pipe holds nor less than a frame, of a command that ends at once,
  // is anything but what it is.
  it.each([
    ['much', 'yes "Welcome to hostb" | head -c 200000'],
    ['little', "echo 'HTTP/1.1 400 Bad'"],
  ])('that says %s and ends', async (name, command) => {
    const path = join(pair.dir, `says-${name}`);
    writeFileSync(path, `#!/bin/sh\n${command}\n`, { mode: 0o755 });
    const ran = await tsremus(['protect', '-F', '-n', '-d', '-e', '-s', '', 'g1', path]);
    expect(seen(ran)).toMatchSnapshot();
    await expectAsBefore();
  });

  it('that has a domain of this name', async () => {
    pair.b.sim.create('g1', { memoryMib: 4 });
    const ran = await tsremus(toB());
    pair.b.sim.run('destroy', 'g1');
    expect(seen(ran)).toMatchSnapshot();
    expect(ran.code).toBe(11);
    await expectAsBefore();
  });

  it('whose libxenlight does not work', async () => {
    pair.b.sim.fault('libxl_domain_create_restore fail -3');
    const ran = await tsremus(toB());
    pair.b.sim.clearFaults();
    // Whether the seed was under way or already through is a matter of luck.
    expect([10, 16]).toContain(ran.code);
    expect(ran.err).toMatch(/libxl/);
    await tsremus(['stop', 'g1']);
    // A lost copy is left to be seen there, too.
    expect((await pair.b.tsremus('status')).code).toBe(2);
    expect((await pair.b.tsremus('stop', 'g1')).code).toBe(0);
    await expectAsBefore();
  });

  it('whose disk is full', async (context) => {
    const probe = await run('unshare', ['-m', 'true'], pair.a.env).catch(() => null);
    context.skip(probe?.code !== 0, 'needs root to mount a small file system');
    const full = join(pair.dir, 'full');
    mkdirSync(full);
    const fill = `mount -t tmpfs -o size=4k tmpfs ${full} && printf %4096s > ${full}/fill`;
    const command = `exec unshare -m sh -c '${fill} && exec ${receiveWith('full', full)}'`;
    const ran = await tsremus([...toB().slice(0, -1), command]);
    expect(seen(ran)).toMatchSnapshot();
    expect(ran.code).toBe(15);
    await expectAsBefore();
  });

  it('whose state directory is a file', async () => {
    const file = join(pair.dir, 'file');
    writeFileSync(file, '');
    const ran = await tsremus([...toB().slice(0, -1), receiveWith('file', `${file}/x`)]);
    expect(seen(ran)).toMatchSnapshot();
    expect(ran.code).toBe(15);
    await expectAsBefore();
  });
});

describe('this host', () => {
  it('without Xen', async () => {
    const ran = await tsremus(toB(), { TSREMUS_LIBXL: undefined });
    // The library may be installed where no Xen runs.
    expect(ran.err).toMatch(
      /^tsremus: (no libxenlight is installed|cannot open .* not run under Xen)/,
    );
    expect(ran.err).toMatch(/\nTry: .*\n$/);
    expect(ran.code).toBe(69);
    await expectAsBefore();
  });

  it.each([
    ['a file that is not there', '/no/such/libxenlight.so'],
    ['a file that is no library', '/etc/hostname'],
    ['another library', nativeFile('libtsremus.so')],
  ])('with TSREMUS_LIBXL set to %s', async (_what, path) => {
    const ran = await tsremus(toB(), { TSREMUS_LIBXL: path });
    expect(seen(ran)).toMatchSnapshot();
    expect(ran.code).toBe(69);
    await expectAsBefore();
  });

  it('on which Xen does not answer', async () => {
    pair.a.sim.fault('libxl_ctx_alloc fail -3');
    const ran = await tsremus(toB());
    pair.a.sim.clearFaults();
    expect(seen(ran)).toMatchSnapshot();
    expect(ran.code).toBe(69);
    await expectAsBefore();
  });

  it('for a user who is not root', async (context) => {
    context.skip(process.geteuid?.() !== 0, 'needs root, to stop being root');
    const probe = await run('unshare', ['-m', 'true'], pair.a.env).catch(() => null);
    context.skip(
      probe?.code !== 0,
      'needs leave to mount, to put a libxenlight into /usr/local/lib',
    );
    // A library at a place where Xen's would be: found without TSREMUS_LIBXL, refuses to open.
    const lib = join(pair.dir, 'lib');
    mkdirSync(lib);
    pair.a.sim.fault('libxl_ctx_alloc fail -3');
    const line =
      `cp ${nativeFile('libsimxl.so')} ${lib}/libxenlight.so.4.17.0 && ` +
      `mount --bind ${lib} /usr/local/lib && chmod -R a+rX ${pair.dir} && ` +
      `exec setpriv --reuid=65534 --clear-groups "$@"`;
    const args = ['-m', 'sh', '-c', line, 'sh', process.execPath, main, ...toB()];
    const ran = await run('unshare', args, { ...pair.a.env, TSREMUS_LIBXL: undefined });
    pair.a.sim.clearFaults();
    expect(seen(ran)).toMatchSnapshot();
    expect(ran.code).toBe(77);
    await expectAsBefore();
  });

  it('whose run directory cannot be made', async () => {
    const ran = await tsremus(toB(), { TSREMUS_RUN_DIR: '/dev/null/x' });
    expect(seen(ran)).toMatchSnapshot();
    expect(ran.code).toBe(15);
    await expectAsBefore();
  });

  it('whose run directory is relative', async () => {
    const ran = await tsremus(toB(), { TSREMUS_RUN_DIR: 'run' });
    expect(seen(ran)).toMatchSnapshot();
    expect(ran.code).toBe(78);
    await expectAsBefore();
  });
});

describe('a guest', () => {
  afterAll(expectAsBefore);

  it.concurrent.for([
    [12, 'g2'],
    [12, '4711'],
    [64, ''],
  ] as const)('exits %i when it is called %j', async ([code, name], { expect }) => {
    const ran = await tsremus(['protect', '-F', '-n', '-d', name, 'hostb']);
    expect(seen(ran)).toMatchSnapshot();
    expect(ran.code).toBe(code);
  });

  it.concurrent.for([
    ['PCI devices', 10, ['--pci'], ['-F', '-n', '-d']],
    ['vNUMA', 10, ['--vnuma'], ['-F', '-n', '-d']],
    ['9pfs', 10, ['--9pfs'], ['-F', '-n', '-d']],
    ['a driver domain', 10, ['--nic', '--backend', 'net1'], ['-F', '-n', '-d']],
    // The host is called at the same time: this one does not refuse before dom0 was looked at.
    ['an interface that dom0 does not have', 10, ['--nic'], ['-F', '-d', '-s', 'sleep 600 #']],
    ['a writable disk, without -d', 69, ['--disk'], ['-F', '-n']],
    ['a disk and an interface, without a word', 69, ['--disk', '--nic'], []],
    ['a disk that is gone, without -d', 10, ['--nic', '--disk'], ['-F', '-n']],
    ['a pause of its own', 10, ['--paused'], ['-F', '-n', '-d']],
  ] as const)('with %s exits %i', async ([what, code, more, flags], { expect }) => {
    const name = what.replace(/\W/g, '-');
    pair.a.sim.create(name, { memoryMib: 4, more });
    if (more[0] === '--disk') putDisk(name);
    const before = pair.a.state(name);
    const ran = await tsremus(['protect', ...flags, name, 'hostb']);
    expect(pair.a.state(name)).toBe(before);
    pair.a.sim.run('destroy', name);
    expect(seen(ran)).toMatchSnapshot();
    expect(ran.code).toBe(code);
  });

  it('that is shut down', async () => {
    pair.a.sim.create('g3', { memoryMib: 4 });
    pair.a.sim.run('poweroff', 'g3');
    await until('it is', () => pair.a.state('g3') === 'shutdown');
    const ran = await tsremus(['protect', '-F', '-n', '-d', 'g3', 'hostb']);
    pair.a.sim.run('destroy', 'g3');
    expect(seen(ran)).toMatchSnapshot();
    expect(ran.code).toBe(10);
  });

  it('that is protected already', async () => {
    const first = await pair.protected({ args: ['-e'] });
    const ran = await tsremus(toB());
    await pair.moreEpochs(pair.a, 'g1', 2);
    expect((await tsremus(['stop', 'g1'])).code).toBe(0);
    await first.ended;
    expect(seen(ran)).toMatchSnapshot();
    expect(ran.code).toBe(11);
    await expectAsBefore();
  });
});

describe('a command line', () => {
  afterAll(expectAsBefore);

  it.concurrent.for([
    [69, 'protect -c g1 hostb'],
    [64, 'protect -F -b -s rsh g1'],
    [64, 'protect -F -n -N remus-netbuf-setup g1 hostb'],
    [64, 'protect --buffer-limit 64x g1 hostb'],
    [64, 'resync'],
    [64, 'resync g1'],
    [64, 'resync --resync-rate 5x g1 hostb'],
    [64, 'resync --resync-rate 1 g1 hostb'],
    [64, 'resync g1 -hostb'],
    [12, 'resync nobody hostb'],
    [64, 'protect g1'],
    [64, 'protect -n g1 hostb'],
    [64, 'protect -F -n -d -i 0 g1 hostb'],
    [64, 'protect -F -n -d -i x g1 hostb'],
    [64, 'protect -F -n -d --heartbeat-timeout 10 g1 hostb'],
    [64, 'protect -p g1 hostb'],
    [64, 'protect --frobnicate g1 hostb'],
    [64, 'frobnicate'],
    [12, 'stop g1'],
    [12, 'failover --yes g1'],
  ] as const)('exits %i: %s', async ([code, line], { expect }) => {
    const ran = await tsremus(line.split(' '));
    expect(seen(ran)).toMatchSnapshot();
    expect(ran.code).toBe(code);
  });
});

// Proves: what the other host's environment says wrong is said here in its words, and the line that
// is to be typed there goes there.
it('a variable that there is not, on the other host', async () => {
  const path = join(pair.dir, 'receive-typo');
  const script = `#!/bin/sh\nTSREMUS_STATEDIR=/x exec ${pair.receive(pair.b)}\n`;
  writeFileSync(path, script, { mode: 0o755 });
  const ran = await tsremus(['protect', '-F', '-n', '-d', '-e', '-s', '', 'g1', path]);
  expect(seen(ran)).toMatchSnapshot();
  await expectAsBefore();
});
