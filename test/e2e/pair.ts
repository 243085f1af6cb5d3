/**
 * Two simulated hosts, the program on both, and a link between them that can be cut. Every pair has
 * folders of its own; `close` ends every process that was started for it and removes them.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { SessionStatus } from '../../src/registry/status.ts';
import { bundleFixture } from '../fixtures/bundle.ts';
import type { LinkState } from '../fixtures/relay.ts';
import {
  type Beacon,
  parseBeacon,
  type SimHost,
  type SimState,
  simPair,
} from '../simxl/sim-host.ts';
import { ensureBuilt, main, nativeFile } from './built.ts';
import { type Found, processesWith, type Ran, Running, run, signal, until } from './process.ts';

/**
 * The heartbeat timeout, ms, of every session whose test is not about silence: the most that there
 * is, so that no process is so slow that its peer takes it for dead.
 */
const patientMs = 60_000;

/**
 * The one where silence has to be noticed, ms. A test has to wait for it, and its processes must
 * come to speak within it, however busy the machine is: of its ten heartbeats one is enough.
 */
export const silenceMs = 10_000;

/** Arguments of a session that notices silence. */
export const noticing: readonly string[] = ['--heartbeat-timeout', String(silenceMs)];

/**
 * `tsremus protect` as one process, so that what a test does to it is done to the session. What the
 * window does of its own is for window.test.ts.
 */
export const protectHere: readonly string[] = ['protect', '--foreground'];

let relay = '';

/** For beforeAll and afterAll of every file that uses pairs. */
export async function prepare(): Promise<void> {
  await ensureBuilt();
  relay = await bundleFixture('relay');
}

export function cleanUp(): void {
  rmSync(dirname(relay), { recursive: true, force: true });
}

/** One simulated host with its folders of state. */
export class Host {
  readonly name: 'a' | 'b';
  readonly sim: SimHost;
  readonly runDir: string;
  readonly stateDir: string;
  readonly logDir: string;
  readonly env: NodeJS.ProcessEnv;

  constructor(name: 'a' | 'b', sim: SimHost) {
    this.name = name;
    this.sim = sim;
    const dir = dirname(sim.dir);
    this.runDir = join(dir, `run-${name}`);
    this.stateDir = join(dir, `state-${name}`);
    this.logDir = join(dir, `log-${name}`);
    // As tsremus-requirements(7) has it; what warns of that is seen where it is tested.
    mkdirSync(join(sim.dir, 'etc/xen'), { recursive: true });
    writeFileSync(join(sim.dir, 'etc/xen/xl.conf'), 'autoballoon="off"\n');
    this.env = {
      PATH: process.env['PATH'],
      SIMXL_HOST: sim.dir,
      TSREMUS_LIBXL: nativeFile('libsimxl.so'),
      TSREMUS_RUN_DIR: this.runDir,
      TSREMUS_STATE_DIR: this.stateDir,
      TSREMUS_ALLOW: join(dir, `allow-${name}`),
      TSREMUS_LOG_DIR: this.logDir,
      TSREMUS_LOG_LEVEL: 'debug',
      TSREMUS_HEARTBEAT_TIMEOUT: String(patientMs),
    };
  }

  /** Runs a command of the program on this host. */
  tsremus(...args: string[]): Promise<Ran> {
    return run(process.execPath, [main, ...args], this.env);
  }

  /** The status files, as they are; one that a session has just removed is none. */
  sessions(): SessionStatus[] {
    if (!existsSync(this.runDir)) return [];
    const names = readdirSync(this.runDir).filter((name) => name.endsWith('.json'));
    return names.flatMap((name) => {
      try {
        return [JSON.parse(readFileSync(join(this.runDir, name), 'utf8')) as SessionStatus];
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
        throw error;
      }
    });
  }

  session(guest: string): SessionStatus | null {
    return this.sessions().find((one) => one.domain === guest) ?? null;
  }

  /** What simxl says of the guest; null when it is not on this host. */
  state(guest: string): SimState | null {
    return this.sim.find(guest)?.state ?? null;
  }

  /** Whatever the program left here: domains, status files, claims, sockets. */
  leftovers(): string[] {
    const files = existsSync(this.runDir) ? readdirSync(this.runDir) : [];
    return [...this.sim.list().map(({ name, state }) => `${name} ${state}`), ...files];
  }

  /** What the record says of the guest's sessions: the parts that are there, in order. */
  record(guest: string): string[] {
    const uuid = this.sim.find(guest)?.uuid ?? '';
    if (!existsSync(this.stateDir)) return [];
    return readdirSync(this.stateDir)
      .filter((name) => name.includes(uuid) && /\.(standby|decision|outcome)$/.test(name))
      .map((name) => JSON.parse(readFileSync(join(this.stateDir, name), 'utf8')).says as string)
      .sort();
  }

  /** What sessions logged here: of one guest, or of all. */
  log(guest = ''): string {
    if (!existsSync(this.logDir)) return '';
    const names = readdirSync(this.logDir).filter((name) => name.startsWith(guest));
    const files = names.map((name) => join(this.logDir, name));
    return files.map((path) => `--- ${path}\n${readFileSync(path, 'utf8')}`).join('\n');
  }
}

/** The network between the hosts. */
export class Wire {
  readonly #file: string;
  #state: LinkState = {
    version: 0,
    there: 'open',
    back: 'open',
    delayMs: 0,
    damage: false,
    refuse: false,
  };

  constructor(file: string) {
    this.#file = file;
    writeFileSync(file, JSON.stringify(this.#state));
  }

  /** The command that reaches `receive` on the other host. */
  command(receive: string): string {
    return `exec ${process.execPath} ${relay} ${this.#file} ${receive}`;
  }

  relays(): Found[] {
    return processesWith(dirname(this.#file)).filter(
      ({ argv }) => argv[1] === relay && argv[2] === this.#file,
    );
  }

  /** Returns when every connection obeys. */
  async set(change: Partial<LinkState>): Promise<void> {
    this.#state = { ...this.#state, ...change, version: this.#state.version + 1 };
    writeFileSync(this.#file, JSON.stringify(this.#state));
    const { version } = this.#state;
    await until(`the relays obey version ${version}`, () =>
      this.relays().every(({ pid }) => {
        if (existsSync(`${this.#file}.${pid}.${version}`)) return true;
        // Not before it listens: the signal would end it.
        if (this.#isUp(pid)) signalIfThere(pid, 'SIGUSR2');
        return false;
      }),
    );
  }

  #isUp(pid: number): boolean {
    const prefix = `${this.#file}.${pid}.`;
    return readdirSync(dirname(this.#file)).some((name) =>
      join(dirname(this.#file), name).startsWith(prefix),
    );
  }

  /** Silently: packets are lost, nobody is told. */
  cut(): Promise<void> {
    return this.set({ there: 'cut', back: 'cut' });
  }

  heal(): Promise<void> {
    return this.set({ there: 'open', back: 'open', refuse: false });
  }
}

function signalIfThere(pid: number, name: NodeJS.Signals): void {
  try {
    signal(pid, name);
  } catch {
    // It has gone meanwhile.
  }
}

export interface ProtectOptions {
  readonly from?: Host;
  readonly guest?: string;
  /** Besides -F -n -d --json -i 50. */
  readonly args?: readonly string[];
  readonly command?: string;
  readonly env?: NodeJS.ProcessEnv;
}

export class Pair {
  readonly dir: string;
  readonly a: Host;
  readonly b: Host;
  readonly wire: Wire;
  readonly #sims: ReturnType<typeof simPair>;
  readonly #lan: string;

  constructor() {
    this.#sims = simPair();
    this.dir = dirname(this.#sims.a.dir);
    this.#lan = join(this.dir, 'lan');
    for (const sim of [this.#sims.a, this.#sims.b])
      writeFileSync(join(sim.dir, 'lan'), `${this.#lan}\n`);
    this.a = new Host('a', this.#sims.a);
    this.b = new Host('b', this.#sims.b);
    for (const host of [this.a, this.b]) this.#writeReceive(host);
    this.wire = new Wire(join(this.dir, 'wire'));
  }

  #writeReceive(host: Host): void {
    const lines = Object.entries(host.env).map(([name, value]) => `export ${name}='${value}'`);
    const exec = `exec ${main} receive`;
    writeFileSync(this.receive(host), ['#!/bin/sh', ...lines, exec, ''].join('\n'));
    chmodSync(this.receive(host), 0o755);
  }

  /** A script that is `tsremus receive` on `host`. */
  receive(host: Host): string {
    return join(this.dir, `receive-${host.name}`);
  }

  /** Starts `tsremus protect` of g1 on a, towards b. */
  protect(options: ProtectOptions = {}): Running {
    const { from = this.a, guest = 'g1', args = [] } = options;
    const to = from === this.a ? this.b : this.a;
    const command = options.command ?? this.wire.command(this.receive(to));
    const common = [...protectHere, '-F', '-n', '-d', '--json', '-i', '50', '-s', '', ...args];
    // As an administrator starts it: what the program's first line asks of node counts as well.
    return new Running(main, [...common, guest, command], {
      ...from.env,
      ...options.env,
    });
  }

  /** Starts protection and waits for some acknowledged epochs. */
  async protected(options: ProtectOptions = {}, epochs = 3): Promise<Running> {
    const { from = this.a, guest = 'g1' } = options;
    const protect = this.protect(options);
    const ended = protect.ended.then(({ code, err }) => {
      throw new Error(`protect ended early with ${code}: ${err}`);
    });
    await Promise.race([ended, this.acknowledged(from, guest, epochs)]);
    ended.catch(() => {});
    return protect;
  }

  /** Waits until epoch `epoch` of the guest that runs on `host` is acknowledged. */
  acknowledged(host: Host, guest: string, epoch: number): Promise<unknown> {
    // The log, because the status of a session that only goes on is written once a second.
    const line = new RegExp(` ack ${epoch}$`, 'm');
    return until(`epoch ${epoch} of ${guest} is acknowledged`, () => line.test(host.log(guest)));
  }

  /** Waits until `count` more epochs are acknowledged than by now. */
  moreEpochs(host: Host, guest: string, count: number): Promise<unknown> {
    const acks = host.log(guest).match(/ ack \d+$/gm) ?? [];
    return this.acknowledged(host, guest, acks.length - 1 + count);
  }

  /** The process that holds the copy of `guest` on `host`. */
  receiver(guest = 'g1', host = this.b): number {
    const pid = host.session(guest)?.pid;
    if (pid === undefined) throw new Error(`nobody holds a copy of ${guest}`);
    return pid;
  }

  /** The guards of the sessions of `host`. */
  guards(host = this.a): number[] {
    return processesWith(`SIMXL_HOST=${host.sim.dir}\0`)
      .filter(({ argv }) => argv.includes('guard'))
      .map(({ pid }) => pid);
  }

  /** Every process of the two hosts but the guests' own. */
  processes(): Found[] {
    const tool = nativeFile('simxl');
    return processesWith(this.dir).filter(({ argv }) => argv[0] !== tool);
  }

  /** Everything that guests said so far. */
  beacons(): Beacon[] {
    if (!existsSync(this.#lan)) return [];
    const lines = readFileSync(this.#lan, 'utf8').split('\n').slice(0, -1);
    return lines.map(parseBeacon);
  }

  /** What is known when a test fails. */
  report(): string {
    return [
      ...[this.a, this.b].map(
        (host) => `=== host ${host.name}\n${host.sim.run('list')}${host.log()}`,
      ),
      ...this.processes().map(({ pid, argv }) => `${pid} ${argv.join(' ')}`),
    ].join('\n');
  }

  close(): void {
    for (const { pid } of this.processes()) signalIfThere(pid, 'SIGKILL');
    this.#sims.close();
  }
}
