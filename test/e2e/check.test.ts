/**
 * `tsremus check` against two hosts and a guest, each of them broken in one way: the line that is
 * about it says so with what to type, and no other line does. Both hosts are simxl's, their tools
 * stand-ins (test/fixtures/check-bin); the question goes through `tsremus receive` as ever.
 */

import { lookup } from 'node:dns/promises';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { checkNames } from '../../src/core/check/line.ts';
import { deadOwner, sampleStatus } from '../registry/sample-status.ts';
import { main, nativeFile, repository } from './built.ts';
import { it } from './fixture.ts';
import { cleanUp, type Host, type Pair, prepare } from './pair.ts';
import { type Ran, run } from './process.ts';

const tools = join(repository, 'test/fixtures/check-bin');
let ownAddress = '';

beforeAll(async () => {
  await prepare();
  ({ address: ownAddress } = await lookup(hostname()));
});
afterAll(cleanUp);

interface Line {
  readonly where: string;
  readonly name: string;
  readonly level: string;
  readonly text: string;
  readonly next: string | null;
}

/** A file of the simulated host. */
function put(host: Host, path: string, text = '', mode = 0o644): void {
  const at = join(host.sim.dir, path);
  mkdirSync(dirname(at), { recursive: true });
  writeFileSync(at, text, { mode });
}

const remove = (host: Host, path: string) => rmSync(join(host.sim.dir, path), { recursive: true });

/** What `run` is told beside what every host has. */
interface Bench {
  readonly pair: Pair;
  readonly a: Host;
  readonly b: Host;
  /** Of the guest's interface, which the guest has been given by then. */
  readonly vif: string;
  /** Environment and program of either side, to be broken. */
  readonly envA: NodeJS.ProcessEnv;
  readonly envB: NodeJS.ProcessEnv;
  programB: string;
  /** Lines of the script that leads to B, before the program. */
  beforeB: string;
  /** Whoever asks is not root. */
  isNobody: boolean;
}

const guestFiles = {
  '/etc/xen/scripts/vif-bridge': 0o755,
  '/sys/class/net/xenbr0/ifindex': 0o644,
};

function furnish(host: Host): void {
  for (const [path, mode] of Object.entries(guestFiles)) put(host, path, '', mode);
  put(host, '/sys/class/net/eth0/mtu', '1500\n');
  put(host, '/etc/xen/xl.conf', '# as Debian has it\nautoballoon="off"\n');
  put(host, '/proc/cpuinfo', 'model name\t: A Processor of 2026\n');
}

function environment(host: Host): NodeJS.ProcessEnv {
  return { ...host.env, TSREMUS_MAX_MEMORY: '64M', PATH: `${tools}:${process.env['PATH']}` };
}

/** Two hosts on which g1 can be protected, with one interface. */
function benchOf(pair: Pair, guest: readonly string[]): Bench {
  const { a, b } = pair;
  for (const host of [a, b]) furnish(host);
  const domid = a.sim.create('g1', { memoryMib: 16, more: ['--nic', ...guest] });
  const vif = `/sys/class/net/vif${domid}.0`;
  put(a, `${vif}/ifindex`, '7\n');
  symlinkSync(`../../../vif-${domid}-0`, join(a.sim.dir, vif, 'device'));
  const envB = { ...environment(b), SSH_CONNECTION: `${ownAddress} 1 ${ownAddress} 22` };
  return {
    pair,
    a,
    b,
    vif,
    envA: environment(a),
    envB,
    programB: main,
    beforeB: '',
    isNobody: false,
  };
}

/** A script that is `tsremus receive` on a host. */
function receive(dir: string, name: string, env: NodeJS.ProcessEnv, lines: string): string {
  const path = join(dir, name);
  const exports = Object.entries(env).map(([key, value]) => `export ${key}='${value}'`);
  writeFileSync(path, ['#!/bin/sh', ...exports, lines, ''].join('\n'));
  chmodSync(path, 0o755);
  return path;
}

async function check(bench: Bench, ...args: string[]): Promise<Ran> {
  const { pair, a, b, envA, envB, programB, beforeB } = bench;
  const exec = (program: string) => `exec ${process.execPath} ${program} receive`;
  const there = receive(pair.dir, 'to-b', envB, `${beforeB}\n${exec(programB)}`);
  receive(b.sim.dir, 'ssh', environment(a), exec(main));
  const words = [process.execPath, main, 'check', '--json', ...args, '-s', '', 'g1', there];
  if (!bench.isNobody) return run(process.execPath, words.slice(1), envA);
  await run('chmod', ['-R', 'a+rwX', pair.dir], envA);
  return run('setpriv', ['--reuid=65534', '--clear-groups', ...words], envA);
}

const linesOf = ({ out }: Ran) => (JSON.parse(out) as { lines: Line[] }).lines;
/** `here modules fail` of each line that is not well. */
const amiss = (lines: readonly Line[]) =>
  lines
    // How fast a busy machine is says nothing of the program.
    .filter(({ name, level }) => level !== 'ok' && name !== 'bandwidth')
    .map(({ where, name, level }) => `${where} ${name} ${level}`)
    .sort();

interface Case {
  readonly what: string;
  /** Options of `simxl create`, beside one interface. */
  readonly guest?: readonly string[];
  readonly args?: readonly string[];
  readonly breaks: (bench: Bench) => void;
  /** Every line that is not well; the first one's cure is `cure`. */
  readonly amiss: readonly string[];
  readonly cure: string | RegExp;
}

const note = (host: Host, name: string, text = '') => put(host, `/${name}`, text);
const xen = (host: Host, ...lines: string[]) => put(host, '/xen', `${lines.join('\n')}\n`);
const noXen = (host: Host) => host.sim.fault('libxl_ctx_alloc fail -3');

/** Date of a process, an hour ahead. */
const dateAhead = `const D = Date;
globalThis.Date = class extends D {
  constructor(...a) { if (a.length > 0) super(...a); else super(D.now() + 3600000); }
};`;
const ahead = `data:text/javascript;base64,${Buffer.from(dateAhead).toString('base64')}`;

/** Another program there: `sed` makes it of this one. */
function otherProgram(bench: Bench, sed: string): void {
  const dir = join(bench.pair.dir, 'other');
  cpSync(dirname(main), join(dir, 'dist'), { recursive: true });
  symlinkSync(join(repository, 'node_modules'), join(dir, 'node_modules'));
  cpSync(join(repository, 'package.json'), join(dir, 'package.json'));
  bench.beforeB = `sed -i '${sed}' ${dir}/dist/*.mjs`;
  bench.programB = join(dir, 'dist/main.js');
  bench.envB['TSREMUS_NATIVE'] = nativeFile('libtsremus.so');
}

const cases: readonly Case[] = [
  {
    what: 'a Xen that does not answer there',
    breaks: ({ b }) => noXen(b),
    amiss: [
      ...['between processors skip', 'between xen-versions skip'],
      ...['there log-dirty skip', 'there needs skip', 'there vcpus skip', 'there xen fail'],
    ],
    cure: 'xl info  # fails where the host was not booted with Xen',
  },
  {
    what: 'a PV guest, and no shadow paging here',
    guest: ['--type', 'pv'],
    breaks: ({ a }) => xen(a, 'shadow=0'),
    amiss: ['here log-dirty fail'],
    cure: 'man tsremus-requirements  # PV GUESTS: make it PVH, or a Xen with shadow paging',
  },
  {
    what: 'a PV guest, and no shadow paging there',
    guest: ['--type', 'pv'],
    breaks: ({ b }) => xen(b, 'shadow=0'),
    amiss: ['there log-dirty warn'],
    cure: /man tsremus-requirements {2}# PV GUESTS/,
  },
  {
    what: 'no paging at all here',
    breaks: ({ a }) => xen(a, 'shadow=0', 'hap=0'),
    amiss: ['here log-dirty fail'],
    cure: /^xl info/,
  },
  {
    what: 'a kernel without a module here',
    breaks: ({ a }) => note(a, 'modprobe-sch_plug'),
    amiss: ['here modules fail'],
    cure: /^apt-get install linux-image-amd64/,
  },
  {
    what: 'a module that may not be loaded here',
    breaks: ({ a }) => note(a, 'modprobe-ifb', 'install /bin/false\n'),
    amiss: ['here modules fail'],
    cure: /^sysctl kernel\.modules_disabled/,
  },
  {
    what: 'a kernel that loads nothing any more, here',
    breaks: ({ a }) => {
      note(a, 'modprobe-ifb', 'insmod /lib/modules/6.1/kernel/drivers/net/ifb.ko numifbs=0\n');
      put(a, '/proc/sys/kernel/modules_disabled', '1\n');
    },
    amiss: ['here modules fail'],
    cure: /^sysctl kernel\.modules_disabled/,
  },
  {
    what: 'a kernel without a module there',
    breaks: ({ b }) => note(b, 'modprobe-sch_plug'),
    amiss: ['there modules warn'],
    cure: /apt-get install linux-image-amd64/,
  },
  {
    what: 'a tc of old here',
    breaks: ({ a }) => note(a, 'tc', 'qdisc noqueue 0: dev lo root refcnt 2\n'),
    amiss: ['here interfaces fail', 'here tools fail'],
    cure: 'tc -V  # iproute2 5.0 or newer is needed',
  },
  {
    what: 'ingress filters of somebody else here',
    breaks: ({ a, vif }) => {
      const dev = vif.slice(vif.lastIndexOf('/') + 1);
      note(a, 'tc', JSON.stringify([{ kind: 'clsact', dev }]));
    },
    amiss: ['here interfaces fail'],
    cure: /^tc filter show dev vif\d+\.0 ingress/,
  },
  {
    what: 'an interface that dom0 has not',
    breaks: ({ a, vif }) => remove(a, vif),
    amiss: ['here interfaces fail'],
    cure: /^ls \/sys\/class\/net/,
  },
  {
    what: 'a folder of the program that is a file here',
    breaks: ({ pair, envA }) => {
      writeFileSync(join(pair.dir, 'file'), '');
      envA['TSREMUS_LOG_DIR'] = join(pair.dir, 'file/log');
    },
    amiss: ['here directories fail'],
    cure: /^ls -ld .*\/file/,
  },
  {
    what: 'records that cannot be written there',
    breaks: ({ pair, envB }) => {
      writeFileSync(join(pair.dir, 'file'), '');
      envB['TSREMUS_STATE_DIR'] = join(pair.dir, 'file/records');
    },
    amiss: ['there directories fail'],
    cure: /ls -ld .*\/file/,
  },
  {
    what: 'less memory than a session may use here',
    breaks: ({ envA }) => {
      envA['TSREMUS_MAX_MEMORY'] = '15T';
    },
    amiss: ['here memory warn'],
    cure: /^xl mem-set Domain-0 \d+m$/,
  },
  {
    what: 'autoballoon there',
    breaks: ({ b }) => remove(b, '/etc/xen/xl.conf'),
    amiss: ['there balloon warn'],
    cure: /less \/etc\/xen\/xl\.conf {2}# autoballoon="off"/,
  },
  {
    what: 'a process that holds the lock of xl there',
    breaks: ({ b }) => {
      put(b, '/var/lock/xl');
      const { ino } = statSync(join(b.sim.dir, '/var/lock/xl'));
      put(b, '/proc/locks', `1: POSIX  ADVISORY  WRITE 4711 00:1a:${ino} 0 EOF\n`);
    },
    amiss: ['there balloon warn'],
    cure: /ps -o pid,etime,cmd -p 4711/,
  },
  {
    what: 'a guest that boots with this host',
    breaks: ({ a }) => put(a, '/etc/xen/auto/web.cfg', 'type = "pvh"\nname = "g1"\n'),
    amiss: ['here autostart fail'],
    cure: /^mv \/etc\/xen\/auto\/web\.cfg \/etc\/xen\//,
  },
  {
    what: 'a guest that boots with the other host',
    breaks: ({ b }) => put(b, '/etc/xen/auto/g1', "name='g1'\n"),
    amiss: ['there autostart fail'],
    cure: /mv \/etc\/xen\/auto\/g1 \/etc\/xen\//,
  },
  {
    what: 'passed-through devices',
    guest: ['--pci'],
    breaks: () => {},
    amiss: ['here devices fail', 'here confinement warn', 'there confinement fail'],
    cure: /^man tsremus-protect {2}# LIMITS/,
  },
  {
    what: 'a disk that is written to',
    guest: ['--disk'],
    breaks: ({ a, b }) => {
      for (const host of [a, b]) put(host, '/var/lib/xen/images/g1-0.img');
    },
    amiss: ['here disks fail'],
    cure: /^man tsremus-protect .* script=block-tsremus,target=\/var\/lib\/xen\/images\/g1-0.img /,
  },
  {
    what: 'a disk that is not there, with -d',
    guest: ['--disk'],
    args: ['-d'],
    breaks: ({ a }) => put(a, '/var/lib/xen/images/g1-0.img'),
    amiss: ['there needs fail'],
    cure: /ls -l \/var\/lib\/xen\/images\/g1-0\.img/,
  },
  {
    what: 'a guest that does not say that it can be suspended',
    breaks: ({ a }) => note(a, 'mute'),
    amiss: ['here suspend warn'],
    cure: /^xenstore-ls \/local\/domain\/\d+\/control/,
  },
  {
    what: 'a guest that is paused',
    breaks: ({ a }) => a.sim.run('pause', 'g1'),
    amiss: ['between connection skip', 'here guest fail'],
    cure: 'xl unpause g1',
  },
  {
    what: 'no memory for the copy',
    breaks: ({ b }) => xen(b, 'free_kb=20000'),
    amiss: ['there room fail'],
    cure: /xl list {2}# \d+ MiB more are to be free/,
  },
  {
    what: 'fewer processors there than the guest has',
    guest: ['--vcpus', '8'],
    breaks: () => {},
    amiss: ['there vcpus warn'],
    cure: /xl info/,
  },
  {
    what: 'a bridge that is not there',
    breaks: ({ b }) => remove(b, '/sys/class/net/xenbr0'),
    amiss: ['there needs fail'],
    cure: /ip link add name xenbr0 type bridge/,
  },
  {
    what: 'a script that cannot be executed there',
    breaks: ({ b }) => chmodSync(join(b.sim.dir, '/etc/xen/scripts/vif-bridge'), 0o644),
    amiss: ['there needs fail'],
    cure: /chmod \+x \/etc\/xen\/scripts\/vif-bridge/,
  },
  {
    what: 'a kernel that is not there for the next boot',
    breaks: ({ b }) => remove(b, '/boot/vmlinuz-guest'),
    amiss: ['there needs fail'],
    cure: /ls -l \/boot\/vmlinuz-guest/,
  },
  {
    what: 'another guest of that name there',
    breaks: ({ b }) => b.sim.create('g1', { memoryMib: 4 }),
    amiss: ['there name fail'],
    cure: /xl list -v g1/,
  },
  {
    what: 'a login that greets',
    breaks: (bench) => {
      bench.beforeB = 'echo Welcome to hostb';
    },
    amiss: ['between login fail'],
    cure: /.+/,
  },
  {
    what: 'a login that warns',
    breaks: (bench) => {
      bench.beforeB = 'echo This host is watched >&2';
    },
    amiss: ['between login warn'],
    cure: /must lead to tsremus receive/,
  },
  {
    what: 'no tsremus there',
    breaks: (bench) => {
      bench.beforeB = 'exec /no/such/tsremus receive';
    },
    amiss: ['between connection fail'],
    cure: /.+/,
  },
  {
    what: 'another version of tsremus there',
    breaks: (bench) => otherProgram(bench, 's/"0\\.1\\.0"/"0.0.9"/g'),
    amiss: ['between versions warn'],
    cure: 'tsremus --version  # install the same version on both hosts',
  },
  {
    what: 'a tsremus there that knows no check',
    breaks: (bench) => otherProgram(bench, 's/"promise", *"check"/"promise"/'),
    amiss: ['between connection fail'],
    cure: 'tsremus --version  # install the same version on both hosts',
  },
  {
    what: 'an older Xen there',
    breaks: ({ b }) => xen(b, 'minor=16'),
    amiss: ['between xen-versions fail'],
    cure: /^man tsremus-requirements {2}# XEN VERSIONS: the backup may not/,
  },
  {
    what: 'a newer Xen there',
    breaks: ({ b }) => xen(b, 'minor=18'),
    amiss: ['between xen-versions warn'],
    cure: /^man tsremus-requirements {2}# XEN VERSIONS: it cannot be protected back/,
  },
  {
    what: 'a processor there that can do less',
    breaks: ({ b }) => xen(b, 'hw_cap1=0xf7fa3003'),
    amiss: ['between processors warn'],
    cure: /^man tsremus-requirements {2}# PROCESSORS/,
  },
  {
    what: 'a processor there that cannot take the state of the guest',
    breaks: ({ b }) => xen(b, 'hw_cap1=0xe7fa3203'),
    amiss: ['between processors fail'],
    cure: /^man tsremus-requirements {2}# PROCESSORS/,
  },
  {
    what: 'a clock that is an hour ahead there',
    breaks: ({ envB }) => {
      envB['NODE_OPTIONS'] = `--import=${ahead}`;
    },
    amiss: ['between clock warn'],
    cure: /^timedatectl/,
  },
  {
    what: 'smaller packets there',
    breaks: ({ b }) => put(b, '/sys/class/net/eth0/mtu', '1400\n'),
    amiss: ['between mtu warn'],
    cure: /^ip -s link/,
  },
  {
    what: 'a route for smaller packets here',
    breaks: ({ pair, envA }) => {
      const bin = join(pair.dir, 'bin');
      mkdirSync(bin);
      const route = '[{"dst":"192.0.2.1","dev":"eth0","metrics":[{"mtu":1400}]}]';
      writeFileSync(join(bin, 'ip'), `#!/bin/sh\necho '${route}'\n`, { mode: 0o755 });
      envA['PATH'] = `${bin}:${envA['PATH']}`;
    },
    amiss: ['between mtu warn'],
    cure: /^ip -s link/,
  },
  {
    what: 'no way back',
    breaks: ({ envB }) => {
      envB['PATH'] = `${join(repository, 'test/fixtures/bin')}:${envB['PATH']}`;
      envB['FAKE_SSH'] = 'host-key';
    },
    amiss: ['between way-back warn'],
    cure: /ssh .* true {2}# as root, to accept its key once/,
  },
  {
    what: 'a question that comes from elsewhere than its host',
    breaks: ({ envB }) => {
      envB['SSH_CONNECTION'] = '192.0.2.7 1 192.0.2.8 22';
    },
    amiss: ['between way-back warn'],
    cure: /ssh -o BatchMode=yes \S+ tsremus --version/,
  },
];

/** What is in a folder and below. */
const treeOf = (dir: string) => readdirSync(dir, { recursive: true, encoding: 'utf8' }).sort();

describe('of two hosts and a guest', () => {
  // Proves: where nothing is wrong every line is well, the exit code is 0, and nothing was made.
  it('nothing is amiss', async ({ pair }) => {
    const bench = benchOf(pair, []);
    const before = [pair.a, pair.b].map(({ sim }) => treeOf(sim.dir));
    const ran = await check(bench);
    const lines = linesOf(ran);
    expect(amiss(lines)).toEqual([]);
    expect(ran.code).toBe(0);
    // The script that stands in for ssh is the test's own.
    remove(pair.b, '/ssh');
    expect([pair.a, pair.b].map(({ sim }) => treeOf(sim.dir))).toEqual(before);
    for (const { runDir, stateDir, logDir } of [pair.a, pair.b]) {
      for (const dir of [runDir, stateDir, logDir]) expect(existsSync(dir), dir).toBe(false);
    }
    const names = new Set(lines.map(({ name }) => name));
    expect([...names].sort()).toEqual(checkNames.filter((name) => name !== 'session').sort());
  });

  // Proves: each fault has its line and its cure, and no other line is moved by it; only a failure
  // is in the exit code.
  it.concurrent.for(cases)('$what', async (one, { pair, expect }) => {
    const bench = benchOf(pair, one.guest ?? []);
    one.breaks(bench);
    const ran = await check(bench, ...(one.args ?? []));
    const lines = linesOf(ran);
    expect(amiss(lines), JSON.stringify(lines, null, 1)).toEqual([...one.amiss].sort());
    const cures = lines.filter(({ level }) => level === 'fail' || level === 'warn');
    expect(cures.map(({ next }) => next ?? '')).toContainEqual(
      typeof one.cure === 'string'
        ? expect.stringContaining(one.cure)
        : expect.stringMatching(one.cure),
    );
    const fails = one.amiss.some((line) => line.endsWith(' fail'));
    expect(ran.code).toBe(fails ? 10 : 0);
  });

  // Proves: a guest that is protected is not taken for one that cannot be.
  it.concurrent('a session lives', async ({ pair, expect }) => {
    const bench = benchOf(pair, []);
    await pair.protected();
    const lines = linesOf(await check(bench, '-n'));
    expect(amiss(lines)).toEqual([
      ...['here modules skip', 'here session warn', 'here tools skip'],
      ...['there copy-disks skip', 'there name skip', 'there room skip'],
    ]);
    expect(lines.find(({ name }) => name === 'session')?.next).toBe('tsremus status g1');
  });

  // Proves: a session that died is named, with the line that clears up after it.
  it.concurrent('a session died', async ({ pair, expect }) => {
    const bench = benchOf(pair, []);
    const { uuid = '' } = pair.a.sim.find('g1') ?? {};
    const status = sampleStatus({ domain: 'g1', uuid, ...deadOwner() });
    mkdirSync(pair.a.runDir, { recursive: true });
    writeFileSync(join(pair.a.runDir, `${uuid}.primary.json`), JSON.stringify(status));
    const line = linesOf(await check(bench, '-n')).find(({ name }) => name === 'session');
    expect(line).toMatchObject({ level: 'warn', next: 'tsremus stop g1' });
  });

  // Proves: who is not root is told so, and how to be.
  it.concurrent('nobody asks', async ({ pair, expect, skip }) => {
    skip(process.geteuid?.() !== 0, 'needs root, to stop being root');
    const bench = benchOf(pair, []);
    bench.isNobody = true;
    const ran = await check(bench);
    const lines = linesOf(ran);
    expect(amiss(lines)).toContain('here root fail');
    expect(lines.find(({ name }) => name === 'root')?.next).toMatch(/^sudo tsremus check --json/);
    expect(ran.code).toBe(10);
  });

  // Proves: --fix has the modules loaded at every boot, and changes nothing else.
  it.concurrent('what is harmless is mended', async ({ pair, expect }) => {
    const { a, envA } = benchOf(pair, []);
    const before = treeOf(a.sim.dir);
    const ran = await run(process.execPath, [main, 'check', '--json', '--fix'], envA);
    expect(ran.code).toBe(0);
    const made = treeOf(a.sim.dir).filter((path) => !before.includes(path));
    const file = 'etc/modules-load.d/tsremus.conf';
    expect(made).toEqual([dirname(file), file]);
    const loaded = readFileSync(join(a.sim.dir, file), 'utf8').split('\n').slice(1, -1);
    expect(loaded).toEqual([
      'ifb',
      'sch_plug',
      'sch_ingress',
      'act_mirred',
      'act_gact',
      'cls_matchall',
    ]);
    const line = linesOf(ran).find(({ name }) => name === 'modules');
    expect(line?.text).toContain('at every boot');
  });

  // Proves: a name that nobody has is said as everywhere.
  it.concurrent('there is no such guest', async ({ pair, expect }) => {
    const { envA } = benchOf(pair, []);
    const ran = await run(process.execPath, [main, 'check', 'nobody'], envA);
    expect(ran).toMatchObject({ code: 12, out: '' });
    expect(ran.err).toMatch(/^tsremus: there is no domain nobody on this host\nTry: /);
  });
});
