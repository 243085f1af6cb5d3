/**
 * What this machine can do at best: memcpy, a pipe, other compressors, each measured by
 * native/bench/yardstick.c beside the figure that it is compared with.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { undisturbed } from './figures.ts';

const program = join(import.meta.dirname, '../../native/build/yardstick');

export interface Yardstick {
  readonly bytes: number;
  /** Bytes that came out: fewer where something was compressed. */
  readonly out: number;
  readonly ns: readonly number[];
}

function ask(args: readonly (string | number)[], input?: Buffer): Yardstick | null {
  const done = spawnSync(program, args.map(String), {
    maxBuffer: 1 << 24,
    ...(input === undefined ? {} : { input }),
  });
  if (done.status === 3) return null;
  if (done.status !== 0) {
    const why = done.error?.message ?? done.stderr.toString();
    throw new Error(`yardstick ${args.join(' ')}: ${why.trim()}; run npm run bench`);
  }
  return JSON.parse(done.stdout.toString()) as Yardstick;
}

function mustAsk(...args: readonly (string | number)[]): Yardstick {
  const answer = ask(args);
  if (answer === null) throw new Error(`yardstick ${args.join(' ')} said nothing`);
  return answer;
}

type Mover = (bytes: number, rounds: number, regionBytes?: number) => Yardstick;

/** How `bytes` are moved, so many times, each time in the next part of a region. */
const mover =
  (how: string): Mover =>
  (bytes, rounds, regionBytes = 256 << 20) =>
    mustAsk(how, bytes, rounds, regionBytes);

/** memcpy of `bytes` to another buffer, neither of them in the cache. */
export const memcpyOf = mover('copy');

/** memcpy of single pages that lie scattered in a memory file, as dirty pages do. */
export const gatherOf = mover('gather');

/** The same pages written into a memory file: one copy by the kernel. */
export const fileOf = mover('file');

/** The same through a pipe between two threads. */
export const pipeOf = mover('pipe');

/** And through a pair of sockets, as the drain takes them: the ceiling of libxl's stream. */
export const socketOf = mover('socket');

/** libzstd on `data`, in batches; null where the machine has no libzstd.so.1. */
export const zstdOf = (data: Buffer, level: number, batchBytes: number, ms: number) =>
  ask(['zstd', level, batchBytes, ms], data);

/** liblz4 on `data`, in batches; null where the machine has no liblz4.so.1. */
export const lz4Of = (data: Buffer, batchBytes: number, ms: number) =>
  ask(['lz4', batchBytes, ms], data);

/** GB (10^9 bytes) a second, undisturbed. */
export const speedOf = ({ bytes, ns }: Yardstick) => bytes / undisturbed(ns);
