/**
 * A guest under protection on simxl: `tsremus protect` and `tsremus receive` as two processes, a
 * pipe between them for a link, each on a simulated host of its own. What is measured comes from
 * outside: the status file, the guest's own clock, /proc.
 */
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { SessionStatus } from '../../src/registry/status.ts';
import { main, nativeFile } from '../e2e/built.ts';
import { processesWith, Running, run, until } from '../e2e/process.ts';
import { type SimHost, simPair } from '../simxl/sim-host.ts';
import { type BenchGuest, createGuest } from './bench-host.ts';

export const guestName = 'g1';
const startTimeoutMs = 120_000;
const stopTimeoutMs = 120_000;
/** The status is written every second; a machine with other work may take its time. */
const sampleTimeoutMs = 120_000;
/** Figures of a busy machine are worth little, but a benchmark is not to end in a takeover. */
const patience = ['--heartbeat-timeout', '15000'];
const clockTicks = 100;

/** One look at both processes. */
export interface Sample {
  readonly timeMs: number;
  readonly epoch: number;
  readonly bytesSent: number;
  /** The same before it was encoded. */
  readonly bytesRaw: number;
  readonly primary: ProcessFigures;
  readonly backup: ProcessFigures;
}

export interface ProcessFigures {
  readonly rssBytes: number;
  readonly cpuMs: number;
}

function processFigures(pid: number): ProcessFigures {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  return {
    rssBytes: Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1024,
    cpuMs: (ticks * 1000) / clockTicks,
  };
}

export class ProtectedPair {
  readonly #sims = simPair();
  readonly #dir = dirname(this.#sims.a.dir);
  readonly #onSignal = () => {
    this.close();
    process.exit(130);
  };
  #protect: Running | null = null;

  constructor() {
    // What it starts leads sessions of its own: nobody else would end it.
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, this.#onSignal);
  }

  get a(): SimHost {
    return this.#sims.a;
  }

  get b(): SimHost {
    return this.#sims.b;
  }

  #env(name: 'a' | 'b'): NodeJS.ProcessEnv {
    return {
      PATH: process.env['PATH'],
      SIMXL_HOST: this.#sims[name].dir,
      TSREMUS_LIBXL: nativeFile('libsimxl.so'),
      TSREMUS_RUN_DIR: join(this.#dir, `run-${name}`),
      TSREMUS_STATE_DIR: join(this.#dir, `state-${name}`),
      TSREMUS_LOG_DIR: join(this.#dir, `log-${name}`),
    };
  }

  /** Creates the guest and protects it; returns when some epochs are acknowledged. */
  async start(guest: BenchGuest, burst: number, args: readonly string[]): Promise<void> {
    createGuest(this.a, guestName, guest);
    this.burst(burst);
    const receive = join(this.#dir, 'receive');
    const lines = Object.entries(this.#env('b')).map(([key, value]) => `export ${key}='${value}'`);
    const exec = `exec ${main} receive`;
    writeFileSync(receive, ['#!/bin/sh', ...lines, exec, ''].join('\n'));
    chmodSync(receive, 0o755);
    const common = ['protect', '--foreground', '-F', '-n', '-d', '-s', '', ...patience];
    const argv = [...common, ...args, guestName, receive];
    this.#protect = new Running(main, argv, this.#env('a'));
    await this.#orEnded(
      until('the first epochs', () => (this.status()?.epoch ?? 0) >= 3, startTimeoutMs),
    );
  }

  /** What is awaited, or an error when protection ends before it. */
  async #orEnded<T>(awaited: Promise<T>): Promise<T> {
    const ended = this.#protect?.ended.then(({ code, err }) => {
      throw new Error(`protect ended with ${code}: ${err}`);
    });
    ended?.catch(() => {});
    return ended === undefined ? awaited : Promise.race([awaited, ended as Promise<never>]);
  }

  /** Pages that the guest rewrites after every resume, from the next one on. */
  burst(pages: number): void {
    this.a.run('burst', guestName, String(pages));
  }

  /** The primary's status file, as it is. */
  status(role: 'primary' | 'backup' = 'primary'): SessionStatus | null {
    const dir = join(this.#dir, role === 'primary' ? 'run-a' : 'run-b');
    if (!existsSync(dir)) return null;
    const name = readdirSync(dir).find((file) => file.endsWith(`.${role}.json`));
    return name === undefined
      ? null
      : (JSON.parse(readFileSync(join(dir, name), 'utf8')) as SessionStatus);
  }

  /** Processes of one side: whoever has that host's folder in its environment, guests excepted. */
  #pids(name: 'a' | 'b'): number[] {
    const tool = nativeFile('simxl');
    return processesWith(`SIMXL_HOST=${this.#sims[name].dir}\0`)
      .filter(({ argv }) => argv[0] !== tool)
      .map(({ pid }) => pid);
  }

  /** Waits for the next status file, so that its epoch and its time belong together. */
  async sample(): Promise<Sample> {
    const before = this.status()?.updated;
    const status = await this.#orEnded(
      until(
        'a new status',
        () => {
          const now = this.status();
          return now !== null && now.updated !== before ? now : null;
        },
        sampleTimeoutMs,
      ),
    );
    const backup = this.status('backup');
    if (backup === null) throw new Error('the backup has no status');
    return {
      timeMs: Date.parse(status.updated),
      epoch: status.epoch ?? 0,
      bytesSent: status.bytes_sent,
      bytesRaw: status.bytes_raw,
      primary: processFigures(status.pid),
      backup: processFigures(backup.pid),
    };
  }

  /** The newest pauses by the guest's own clock, ns, the oldest of them first (at most 256). */
  pausesNs(): readonly number[] {
    const info = JSON.parse(this.a.run('info', guestName)) as { pauses_ns: number[] };
    return info.pauses_ns;
  }

  /** Ends protection in order; the guest runs on, unprotected. */
  async stop(): Promise<void> {
    const done = await run(process.execPath, [main, 'stop', guestName], this.#env('a'));
    if (done.code !== 0) throw new Error(`stop said ${done.code}: ${done.err}`);
    await until('the end of protect', () => this.#pids('a').length === 0, stopTimeoutMs);
  }

  /**
   * The host stands still and never comes back; returns when the copy runs on the other one. Not
   * SIGKILL at once: the end of the link activates nothing where output is not buffered.
   */
  async loseHost(): Promise<void> {
    const pids = this.#pids('a');
    this.a.run('freeze-host');
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    await until('the copy runs', () => this.status('backup')?.state === 'active', startTimeoutMs);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    this.a.crash();
  }

  close(): void {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, this.#onSignal);
    for (const name of ['a', 'b'] as const) {
      for (const pid of this.#pids(name)) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // It has gone meanwhile.
        }
      }
    }
    this.#sims.close();
  }
}
