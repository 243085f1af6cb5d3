/**
 * Which process, for ever: pid, start time and boot. A pid alone is used again.
 *
 * "Is it dead?" is answered yes only with proof, because a wrong yes could let two guests run.
 */
import { readFileSync } from 'node:fs';
import { errnoCode, storageError } from './errors.ts';

export interface ProcessId {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks after boot at which the process started. */
  readonly startTicks: number;
  readonly bootId: string;
}

export interface ProcessIdOptions {
  /** Instead of /proc, for tests. */
  readonly procDir?: string;
}

interface Stat {
  readonly state: string;
  readonly threads: number;
  readonly startTicks: number;
}

/** This process. */
export function ownProcessId(options: ProcessIdOptions = {}): ProcessId {
  const stat = readStat(process.pid, options);
  if (stat === null) throw storageError(new Error('no entry of this process'), 'read', '/proc');
  return { pid: process.pid, startTicks: stat.startTicks, bootId: readBootId(options) };
}

export function sameProcess(left: ProcessId, right: ProcessId): boolean {
  return (
    left.pid === right.pid && left.startTicks === right.startTicks && left.bootId === right.bootId
  );
}

/** `dead` and `other-boot` both mean: certainly gone. */
export type ProcessState = 'alive' | 'dead' | 'other-boot';

/**
 * What became of a process. Not `alive` only with proof: another boot, no such pid, the pid used by
 * a later process, or a zombie without living threads. Throws an OperationError `storage` when
 * /proc cannot tell.
 */
export function processState(id: ProcessId, options: ProcessIdOptions = {}): ProcessState {
  if (readBootId(options) !== id.bootId) return 'other-boot';
  const stat = readStat(id.pid, options);
  if (stat === null || stat.startTicks !== id.startTicks) return 'dead';
  // The first thread of a process can be a zombie while others still write files.
  const zombie = stat.state === 'Z' || stat.state === 'X';
  return zombie && stat.threads <= 1 ? 'dead' : 'alive';
}

export function isProcessAlive(id: ProcessId, options: ProcessIdOptions = {}): boolean {
  return processState(id, options) === 'alive';
}

/** Processes as a port: who we are, who lives, and how to end one. */
export interface Processes {
  readonly self: ProcessId;
  /** As `processState`. */
  state(id: ProcessId): ProcessState;
  /** Sends a signal to a process that is certainly the one meant; one that has gone is no error. */
  signal(id: ProcessId, signal: 'SIGTERM' | 'SIGKILL'): void;
}

/** Those of this host. */
export function systemProcesses(): Processes {
  const self = ownProcessId();
  return {
    self,
    state: (id) => processState(id),
    signal(id, signal) {
      if (processState(id) !== 'alive') return;
      try {
        process.kill(id.pid, signal);
      } catch (error) {
        if (errnoCode(error) !== 'ESRCH') throw error;
      }
    },
  };
}

function readBootId(options: ProcessIdOptions): string {
  const path = `${options.procDir ?? '/proc'}/sys/kernel/random/boot_id`;
  try {
    return readFileSync(path, 'latin1').trim();
  } catch (cause) {
    throw storageError(cause, 'read', path);
  }
}

/** Null when there is no such process. */
function readStat(pid: number, options: ProcessIdOptions): Stat | null {
  const path = `${options.procDir ?? '/proc'}/${pid}/stat`;
  try {
    return parseStat(readFileSync(path, 'latin1'));
  } catch (cause) {
    const errno = errnoCode(cause);
    if (errno === 'ENOENT' || errno === 'ESRCH') return null;
    throw storageError(cause, 'read', path);
  }
}

/** Parses /proc/PID/stat; the name in brackets may itself hold spaces and brackets. */
export function parseStat(text: string): Stat {
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .trim()
    .split(' ');
  // Counted from field 3 of proc(5): state 3, num_threads 20, starttime 22.
  const state = fields[0] ?? '';
  const threads = Number(fields[17]);
  const startTicks = Number(fields[19]);
  if (!/^[A-Za-z]$/.test(state) || !Number.isInteger(threads) || !Number.isInteger(startTicks)) {
    throw new Error(`not a stat line: ${text.slice(0, 80)}`);
  }
  return { state, threads, startTicks };
}
