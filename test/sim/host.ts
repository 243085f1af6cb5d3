/** One of the two hosts: its clock, its disk, its processes, and what of it dies with a crash. */
import { createHash } from 'node:crypto';
import type { Chance } from '../../src/host/clock.ts';
import type { ProcessLog } from '../../src/host/log.ts';
import type { HostPorts } from '../../src/host/ports.ts';
import type { Processes, ProcessId } from '../../src/host/process-id.ts';
import { Store } from '../../src/host/store.ts';
import { SimDisk } from './files.ts';
import { SimHypervisor } from './hypervisor.ts';
import type { Side } from './link.ts';
import { SimProcess } from './process.ts';
import { stateDirectory } from './record.ts';
import { SimRegistry } from './registry.ts';
import type { World } from './world.ts';

const gibibyte = 1024 ** 3;
/** Two sums of the same times may differ by so much. */
const clockGrainMs = 1e-6;

export class SimHost {
  readonly world: World;
  readonly side: Side;
  readonly disk: SimDisk;
  registry: SimRegistry;
  hypervisor: SimHypervisor;
  isUp = true;
  boot = 1;
  #nextPid = 100;
  processes: SimProcess[] = [];
  /** Extra time of each operation of the disk, ms. */
  diskSlowMs = 0;
  #wallStepMs = 0;
  #asleepFromMs: number | null = null;
  #sleptMs = 0;
  #sleepers: (() => void)[] = [];

  constructor(world: World, side: Side) {
    this.world = world;
    this.side = side;
    this.disk = new SimDisk(() => this.wallMs());
    this.disk.onName = (path) => {
      if (!/\.(standby|decision|outcome|lost)$/.test(path)) return;
      for (const session of world.sessions) session.recordChanged(this, path);
    };
    this.registry = new SimRegistry(this);
    this.hypervisor = new SimHypervisor(this);
  }

  get #rate(): number {
    return this.side === 'a' ? this.world.plan.clockRateA : this.world.plan.clockRateB;
  }

  /** The host's own clock: CLOCK_MONOTONIC, which stands still while the host is suspended. */
  nowMs(): number {
    const { plan } = this.world;
    const startMs = this.side === 'a' ? plan.clockStartA : plan.clockStartB;
    return startMs + (this.#worldMs - this.#sleptMs) * this.#rate;
  }

  get #worldMs(): number {
    return this.#asleepFromMs ?? this.world.nowMs;
  }

  /** The time of day goes on in a host that is suspended. */
  wallMs(): number {
    const { plan, nowMs } = this.world;
    const startMs = this.side === 'a' ? plan.clockStartA : plan.clockStartB;
    return Date.UTC(2026, 0, 1) + startMs + nowMs * this.#rate + this.#wallStepMs;
  }

  /** Runs `what` once `delayMs` of this host's own clock have passed. */
  after(delayMs: number, what: () => void): void {
    const dueMs = this.nowMs() + delayMs;
    this.world.after(delayMs / this.#rate, () => this.#due(dueMs, what));
  }

  #due(dueMs: number, what: () => void): void {
    const leftMs = dueMs - this.nowMs();
    if (this.#asleepFromMs !== null) this.#sleepers.push(() => this.#due(dueMs, what));
    else if (leftMs > clockGrainMs)
      this.world.after(leftMs / this.#rate, () => this.#due(dueMs, what));
    else what();
  }

  /** The host is suspended: its clock stands still. */
  sleep(): void {
    this.#asleepFromMs ??= this.world.nowMs;
  }

  wake(): void {
    if (this.#asleepFromMs === null) return;
    const sleptMs = this.world.nowMs - this.#asleepFromMs;
    this.#sleptMs += sleptMs;
    this.#asleepFromMs = null;
    for (const session of this.world.sessions)
      if (session.a === this) session.primarySlept(sleptMs);
    for (const sleeper of this.#sleepers.splice(0)) sleeper();
  }

  /** Somebody sets the time of day. */
  stepWall(byMs: number): void {
    this.#wallStepMs += byMs;
  }

  get bootId(): string {
    const digest = createHash('md5').update(`${this.side}${this.boot}`).digest('hex');
    return digest.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  }

  /** `world`: that of the session which it is for. */
  start(name: string, world: World): SimProcess {
    this.world.touched();
    const id = { pid: this.#nextPid, startTicks: this.#nextPid * 7, bootId: this.bootId };
    this.#nextPid += 1;
    const process = new SimProcess(this, world, name, id);
    this.processes.push(process);
    process.onExit(() => {
      this.processes = this.processes.filter((one) => one !== process);
    });
    return process;
  }

  /** Power-off, or a crash: nothing is synced, nobody says goodbye. */
  crash(): void {
    this.isUp = false;
    this.boot += 1;
    this.wake();
    for (const process of [...this.processes]) process.exit();
    this.hypervisor.crash();
    this.hypervisor = new SimHypervisor(this);
    this.registry = new SimRegistry(this);
    this.disk.powerOff(this.world.random);
  }

  #stateOf(id: ProcessId): 'alive' | 'dead' | 'other-boot' {
    if (id.bootId !== this.bootId) return 'other-boot';
    return this.processes.some((one) => one.id.pid === id.pid) ? 'alive' : 'dead';
  }

  #processesOf(self: SimProcess): Processes {
    return {
      self: self.id,
      state: (id) => this.#stateOf(id),
      signal: (id, signal) =>
        self.call(`signal ${signal}`, () => {
          const target = this.processes.find((one) => one.id.pid === id.pid);
          if (signal === 'SIGTERM') target?.terminate();
          else target?.exit();
        }),
    };
  }

  /** What `process` may use of this host. */
  portsOf(process: SimProcess): HostPorts {
    const { random, plan } = this.world;
    const chance: Chance = {
      bytes: (count) => Buffer.from(Array.from({ length: count }, () => random.int(0, 255))),
      share: () => random.next(),
    };
    const files = this.disk.filesFor({
      perform: (what, work) =>
        process.perform(what, plan.diskMs * 0.25 + this.diskSlowMs, () => work()),
    });
    return {
      ...process.time,
      refusals: [],
      // It counts the host's suspends.
      bootClock: { sinceBootMs: () => this.world.nowMs },
      chance,
      store: new Store(files, chance),
      processes: this.#processesOf(process),
      settings: {
        hostName: `host${this.side}`,
        memoryBytes: 4 * gibibyte,
        availableBytes: 3 * gibibyte,
        runDirectory: '/run/tsremus',
        stateDirectory,
        logDirectory: '/var/log/tsremus',
        logLevel: 'info',
      },
      openLog: (name) => this.#log(name),
    };
  }

  #log(name: string): ProcessLog {
    const { world, side } = this;
    const who = side.toUpperCase();
    const say = (text: string) => world.trace(who, () => `${name}: ${text}`);
    return { debug() {}, info: say, warning: say, error: say, flush() {}, close() {} };
  }
}
