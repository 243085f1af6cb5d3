/** A simulated host for benchmarks, and the save of a guest on it in a process of its own. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type SimHost, simPair } from '../simxl/sim-host.ts';
import type { SaverPlan, SaverResult } from './saver.ts';
import type { SpawnerPlan, SpawnerResult } from './spawner.ts';

const build = join(import.meta.dirname, '../../native/build');
const runTimeoutMs = 600_000;

export interface BenchGuest {
  readonly memoryMib: number;
  /** Pages that the guest rewrites in turn; the rest of its memory is never touched. */
  readonly workingSet: number;
  readonly content?: 'mix' | 'random' | 'delta' | 'text' | 'sparse';
}

export async function withHost<T>(body: (host: SimHost) => Promise<T>): Promise<T> {
  const pair = simPair();
  try {
    return await body(pair.a);
  } finally {
    pair.close();
  }
}

/** A silent guest whose memory is a sparse file, so that its size costs nothing by itself. */
export function createGuest(host: SimHost, name: string, guest: BenchGuest): void {
  const set = ['--working-set', String(guest.workingSet), '--content', guest.content ?? 'mix'];
  // One tick an hour: page 0 changes with the burst, and with nothing else.
  host.create(name, {
    memoryMib: guest.memoryMib,
    fillPercent: 0,
    beaconMs: 0,
    more: [...set, '--tick', '3600000'],
  });
}

/** Runs a program of this folder on `host`, with a plan; it answers in one line of JSON. */
async function runOn(host: SimHost, program: string, plan: unknown): Promise<unknown> {
  const path = join(import.meta.dirname, program);
  const argv = ['--import', 'tsx', path, JSON.stringify(plan)];
  const { stdout } = await promisify(execFile)(process.execPath, argv, {
    env: { ...process.env, ...host.env, SIMXL_TOOL: join(build, 'simxl') },
    maxBuffer: 1 << 26,
    timeout: runTimeoutMs,
  });
  return JSON.parse(stdout);
}

export const save = async (host: SimHost, plan: SaverPlan) =>
  (await runOn(host, 'saver.ts', plan)) as SaverResult;

export const spawnBeside = async (host: SimHost, plan: SpawnerPlan) =>
  (await runOn(host, 'spawner.ts', plan)) as SpawnerResult;

/** Memory that could be had now, bytes. */
export function availableBytes(): number {
  const found = /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8'));
  return Number(found?.[1] ?? 0) * 1024;
}
