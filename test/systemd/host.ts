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

/**
 * The unified tree of control groups, with whatever controllers there are: on the old one systemd
 * does not wait for the end of a unit's processes where it takes itself to be in a container
 * (src/core/unit.c, unit_kill_context), and then its order at a stop says nothing.
 */
const boot = `
set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/dbus
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --bind "$CONF" /etc/systemd/system.conf
touch "$LOG"
mount --bind "$LOG" /dev/kmsg
exec ${program} --system --log-target=kmsg --log-level=info --show-status=0 \\
  systemd.unified_cgroup_hierarchy=1
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

export class SystemdHost {
  readonly dir: string;
  readonly #tree: string;
  readonly #group: string;
  readonly #log: string;
  #first: ChildProcess | null = null;

  constructor() {
    this.dir = mkdtempSync('/dev/shm/tsremus-systemd-');
    this.#tree = mkdtempSync('/dev/shm/tsremus-tree-');
    this.#group = join(this.#tree, `tsremus-test-${process.pid}`);
    this.#log = join(this.dir, 'systemd.log');
    mkdirSync(join(this.dir, 'units'));
  }

  /** What systemd said of its units. */
  get log(): string {
    return existsSync(this.#log) ? readFileSync(this.#log, 'utf8') : '';
  }

  /** Gives it a unit; before `start`, or it has to be told (daemon-reload). */
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
    const mounted = spawnSync('mount', ['-t', 'cgroup2', 'cgroup2', this.#tree]);
    if (mounted.status !== 0) throw new Error(`no tree of control groups: ${mounted.stderr}`);
    mkdirSync(this.#group);
    const spaces = ['--mount', '--pid', '--fork', '--kill-child', '--cgroup', '--ipc', '--uts'];
    const unshare = `exec unshare ${spaces.join(' ')} sh -c "$BOOT"`;
    const line = `echo 0 > ${this.#group}/cgroup.procs; ${unshare}`;
    this.#first = spawn('sh', ['-c', line], {
      stdio: 'ignore',
      env: {
        PATH: process.env['PATH'],
        BOOT: boot,
        CONF: join(this.dir, 'conf'),
        LOG: this.#log,
        // As ever: without the first it forgets at a reload what it was told of scopes.
        SYSTEMD_UNIT_PATH: `/run/systemd/transient:${join(this.dir, 'units')}`,
        container: 'tsremus',
      },
    });
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
        for (const folder of groupsIn(this.#group)) rmdirSync(folder);
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
