/**
 * A systemd of its own: the program of this machine as process 1 of namespaces of its own, with the
 * units that a test gives it and a D-Bus. It sees this machine's files, but /run, which is empty,
 * and no process of it; it is one that needs root, unshare(1) and nsenter(1), and no virtual
 * machine. What it decides is real systemd's: states, signals, order, time.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Ran, run, until } from '../e2e/process.ts';

const program = '/lib/systemd/systemd';
const library = '/lib/systemd/system';
/** Of the library: what a start, a D-Bus and a shutdown need. */
const borrowed = [
  ...['sysinit', 'basic', 'sockets', 'slices', 'shutdown', 'umount', 'final', 'local-fs'],
  ...['network', 'network-online', 'multi-user'],
].map((name) => `${name}.target`);
const bus = ['dbus.service', 'dbus.socket'];

const target = `[Unit]
Requires=dbus.socket
After=dbus.socket
`;

/** No controllers: only systemd's own tree of names is its. */
const boot = `
set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/dbus
umount -R /sys/fs/cgroup
mount -t tmpfs tmpfs /sys/fs/cgroup
mkdir /sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
mount --bind "$CONF" /etc/systemd/system.conf
exec ${program} --system --log-target=console --log-level=info --show-status=0 \\
  systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1
`;

const conf = `[Manager]
DefaultMemoryAccounting=no
DefaultTasksAccounting=no
DefaultCPUAccounting=no
`;

/** Why there can be no such host here; null: there can. */
export function noSystemdHere(): string | null {
  if (process.getuid?.() !== 0) return 'needs root';
  for (const path of [program, join(library, 'dbus.service'), '/usr/bin/busctl']) {
    if (!existsSync(path)) return `${path} is not installed`;
  }
  return null;
}

/** Folders of control groups, the deepest first. */
function groupsIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const inner = readdirSync(folder, { withFileTypes: true }).filter((one) => one.isDirectory());
  return [...inner.flatMap((one) => groupsIn(join(folder, one.name))), folder];
}

/** What systemd made beside us in the trees of controllers, empty by now. */
function leftInControllers(): string[] {
  return readFileSync('/proc/self/cgroup', 'utf8')
    .trim()
    .split('\n')
    .flatMap((line) => {
      const [, controller = '', path = ''] = line.split(':');
      if (controller === '' || controller.startsWith('name=')) return [];
      const own = join('/sys/fs/cgroup', controller, path);
      return ['init.scope', 'system.slice'].flatMap((name) => groupsIn(join(own, name)));
    })
    .filter(isEmptyGroup);
}

/** True where no process is in it, or below. */
function isEmptyGroup(folder: string): boolean {
  return groupsIn(folder).every((one) => readFileSync(join(one, 'cgroup.procs'), 'utf8') === '');
}

export class SystemdHost {
  readonly dir: string;
  readonly #tree: string;
  readonly #group: string;
  #first: ChildProcess | null = null;
  log = '';

  constructor() {
    this.dir = mkdtempSync('/dev/shm/tsremus-systemd-');
    this.#tree = mkdtempSync('/dev/shm/tsremus-tree-');
    this.#group = join(this.#tree, `tsremus-test-${process.pid}`);
    mkdirSync(join(this.dir, 'units'));
  }

  /** Gives it a unit; before `start`. */
  unit(name: string, text: string): void {
    writeFileSync(join(this.dir, 'units', name), text);
  }

  async start(): Promise<void> {
    for (const name of [...borrowed, ...bus]) {
      const from = join(library, name);
      if (existsSync(from)) copyFileSync(from, join(this.dir, 'units', name));
    }
    const dbus = join(this.dir, 'units/dbus.service');
    writeFileSync(dbus, readFileSync(dbus, 'utf8').replace(/^OOMScoreAdjust=.*$/m, ''));
    this.unit('default.target', target);
    writeFileSync(join(this.dir, 'conf'), conf);
    // A group of its own below whatever is there: it takes all that is in its root for its own.
    const mounted = spawnSync('mount', [
      '-t',
      'cgroup',
      '-o',
      'none,name=systemd',
      'cgroup',
      this.#tree,
    ]);
    if (mounted.status !== 0) throw new Error(`no tree of control groups: ${mounted.stderr}`);
    mkdirSync(this.#group);
    const spaces = ['--mount', '--pid', '--fork', '--kill-child', '--cgroup', '--ipc', '--uts'];
    const unshare = `exec unshare ${spaces.join(' ')} sh -c "$BOOT"`;
    const line = `echo 0 > ${this.#group}/cgroup.procs; ${unshare}`;
    this.#first = spawn('sh', ['-c', line], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        BOOT: boot,
        CONF: join(this.dir, 'conf'),
        SYSTEMD_UNIT_PATH: join(this.dir, 'units'),
        container: 'tsremus',
      },
    });
    for (const stream of [this.#first.stdout, this.#first.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.log += text;
      });
    }
    await until('systemd runs', async () => {
      const asked = await this.run('systemctl', 'is-system-running');
      return /^(running|degraded)/.test(asked.out);
    });
  }

  /** The pid of its process 1 out here. */
  get #pid(): number {
    const pid = this.#first?.pid;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return Number(children.split(' ')[0]);
  }

  /** Runs a command in there, in no unit of systemd's. */
  run(...argv: string[]): Promise<Ran> {
    const outside = join(this.#group, 'outside');
    const line = `mkdir -p ${outside}; echo 0 > ${outside}/cgroup.procs; exec "$@"`;
    const enter = ['nsenter', '-t', `${this.#pid}`, '-m', '-p', '-i', '-u', '-C'];
    return run('sh', ['-c', line, 'sh', ...enter, ...argv], { PATH: process.env['PATH'] });
  }

  /** Properties of a unit, as systemctl-show(1) says them. */
  async show(unit: string, ...names: string[]): Promise<Record<string, string>> {
    const { out } = await this.run('systemctl', 'show', unit, '-p', names.join(','));
    const lines = out.trim().split('\n');
    return Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    );
  }

  /** The scopes that are there, by the start of their name. */
  async scopes(prefix: string): Promise<string[]> {
    const words = ['list-units', '--plain', '--no-legend', '--type=scope', `${prefix}*`];
    const { out } = await this.run('systemctl', ...words);
    return out.split('\n').flatMap((line) => line.split(' ')[0] || []);
  }

  /** Ends it and all that it ran. */
  async close(): Promise<void> {
    const first = this.#first;
    if (first !== null) {
      process.kill(this.#pid, 'SIGKILL');
      await new Promise((resolve) => first.once('exit', resolve));
    }
    // What it ran ends with it, but not at once.
    await until('its control groups are empty', () => {
      try {
        for (const folder of [...groupsIn(this.#group), ...leftInControllers()]) rmdirSync(folder);
        return true;
      } catch {
        return false;
      }
    });
    spawnSync('umount', [this.#tree]);
    rmSync(this.#tree, { recursive: true });
    rmSync(this.dir, { recursive: true });
  }
}
