/**
 * A simulated host for tests: a folder of native/simxl. Every test gets folders of its own; `close`
 * ends all guests and removes them, whatever happened before.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const build = join(import.meta.dirname, '../../native/build');
const tool = join(build, 'simxl');

export type SimState = 'running' | 'paused' | 'suspended' | 'shutdown' | 'making' | 'dead';

/** `simxl info`, as far as tests look at it. */
export interface SimDomain {
  readonly domid: number;
  readonly name: string;
  readonly uuid: string;
  readonly type: 'pv' | 'pvh' | 'hvm';
  readonly state: SimState;
  readonly pid: number;
  readonly shutdown_reason?: string;
  /** Restored domains: the last whole epoch that was applied. */
  readonly epoch: number;
  readonly guest?: {
    readonly tag: string;
    readonly boot: string;
    readonly ticks: number;
    readonly writes: number;
    readonly beacons: number;
    readonly sum: string;
    readonly rate: number;
  };
}

export interface GuestOptions {
  readonly type?: 'pv' | 'pvh' | 'hvm';
  readonly memoryMib?: number;
  /** Pages rewritten per second. */
  readonly rate?: number;
  readonly fillPercent?: number;
  readonly beaconMs?: number;
  /** Further options of `simxl create`, such as --pci. */
  readonly more?: readonly string[];
}

/** One line that a guest spoke on the LAN. */
export interface Beacon {
  readonly guest: string;
  readonly boot: string;
  readonly seq: number;
  readonly ticks: number;
  readonly writes: number;
  readonly host: string;
  readonly domid: number;
  /** CLOCK_MONOTONIC of this machine. */
  readonly ns: number;
}

export const parseBeacon = (line: string): Beacon => JSON.parse(line) as Beacon;

export class SimHost {
  readonly dir: string;
  /** What a process on this host must have in its environment. */
  readonly env: NodeJS.ProcessEnv;

  /** LAN: a UDP port on 127.0.0.1, or a file that beacons are appended to. */
  constructor(dir: string, lan?: string) {
    this.dir = dir;
    this.env = { SIMXL_HOST: dir, TSREMUS_LIBXL: join(build, 'libsimxl.so') };
    this.run('list');
    if (lan !== undefined) writeFileSync(join(dir, 'lan'), `${lan}\n`);
  }

  /** Output of the tool; throws when it fails. */
  run(...args: string[]): string {
    return execFileSync(tool, ['--host', this.dir, ...args], { encoding: 'utf8' });
  }

  /** Starts a guest; returns its domid. */
  create(name: string, options: GuestOptions = {}): number {
    const { type = 'pvh', memoryMib = 16, rate = 0, fillPercent = 25, beaconMs = 10 } = options;
    const numbers = { memory: memoryMib, rate, fill: fillPercent, beacon: beaconMs };
    const flags = Object.entries(numbers).flatMap(([key, value]) => [`--${key}`, String(value)]);
    return Number(this.run('create', name, '--type', type, ...flags, ...(options.more ?? [])));
  }

  list(): SimDomain[] {
    return JSON.parse(this.run('list', '--json')) as SimDomain[];
  }

  /** The domain that exists under this name, or null. */
  find(name: string): SimDomain | null {
    return this.list().find((d) => d.name === name && d.state !== 'dead') ?? null;
  }

  config(name: string): Record<string, unknown> {
    return JSON.parse(this.run('config', name)) as Record<string, unknown>;
  }

  /** Null when every page agrees with the guest's bookkeeping, else what is wrong. */
  wrong(name: string): string | null {
    const done = spawnSync(tool, ['--host', this.dir, 'verify', name], { encoding: 'utf8' });
    return done.status === 0 ? null : `${done.stdout}${done.stderr}`.trim();
  }

  /** Adds fault rules (native/simxl/README.md), for every process of this host, at once. */
  fault(...rules: string[]): void {
    this.run('fault', ...rules);
  }

  clearFaults(): void {
    this.run('fault', '--clear');
  }

  /** The host loses its power: all guests stop, none is left. Other processes are the test's. */
  crash(): void {
    this.run('crash-host');
  }

  close(): void {
    this.run('destroy-all');
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Two hosts in a folder of their own, in memory where the machine allows it. */
export function simPair(lan?: string): { a: SimHost; b: SimHost; close(): void } {
  const base = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const dir = mkdtempSync(join(base, 'tsremus-hosts-'));
  const a = new SimHost(join(dir, 'a'), lan);
  const b = new SimHost(join(dir, 'b'), lan);
  return {
    a,
    b,
    close() {
      a.close();
      b.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
