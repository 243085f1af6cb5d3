/**
 * One lab, one user: a lock file that names its holder.
 *
 * Guarantee: at most one process tree changes the lab at a time. The holder's children (a test
 * runner's workers, for one) inherit the lock by an environment variable. A lock whose holder is
 * dead is taken over; pid reuse is told apart by the process's start time.
 */
import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { LabError, sleep } from './command.ts';
import { lockPath } from './settings.ts';

interface Holder {
  readonly pid: number;
  readonly startTicks: string;
  readonly purpose: string;
  readonly since: string;
}

const inheritVariable = 'TSREMUS_LAB_LOCK';
let depth = 0;

/** The kernel's start time of a process, which with the pid names it for ever. */
export function startTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command name may hold spaces and brackets; field 22 counts from behind the last one.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

function readHolder(): Holder | undefined {
  try {
    return JSON.parse(readFileSync(lockPath, 'utf8')) as Holder;
  } catch {
    return undefined;
  }
}

/** Who holds the lab now, if that process still lives. */
export function lockHolder(): Holder | undefined {
  const holder = readHolder();
  return holder && startTicks(holder.pid) === holder.startTicks ? holder : undefined;
}

/** The lab is one, and others may be using it: waits for its turn, and says for whom. */
export async function waitForTurn(report: (text: string) => void): Promise<void> {
  for (let saidMs = 0; ; ) {
    const holder = lockHolder();
    if (holder === undefined) return;
    if (Date.now() - saidMs > 30_000) {
      const { purpose, pid, since } = holder;
      report(`waiting: ${purpose} uses the lab (process ${pid}, since ${since})`);
      saidMs = Date.now();
    }
    await sleep(1000);
  }
}

/** Takes the lock for `purpose`; returns the function that gives it back. Nests freely. */
export function acquireLock(purpose: string): () => void {
  const inherited = process.env[inheritVariable];
  const holder = lockHolder();
  const ours = holder && (holder.pid === process.pid || inherited === holderKey(holder));
  if (!ours) {
    if (holder) throw busy(holder);
    takeFile(purpose);
    process.once('exit', releaseFile);
  }
  depth += 1;
  let released = false;
  return () => {
    if (released) return;
    released = true;
    depth -= 1;
    if (depth === 0) releaseFile();
  };
}

/** Waits until the lock is free and takes it; others who wait may be faster, now and then. */
export async function acquireInTurn(
  purpose: string,
  report: (text: string) => void,
): Promise<() => void> {
  for (;;) {
    await waitForTurn(report);
    try {
      return acquireLock(purpose);
    } catch (error) {
      if (lockHolder() === undefined) throw error;
    }
  }
}

/** Runs `work` while holding the lock. */
export async function withLock<T>(purpose: string, work: () => Promise<T>): Promise<T> {
  const release = acquireLock(purpose);
  try {
    return await work();
  } finally {
    release();
  }
}

function takeFile(purpose: string): void {
  const mine: Holder = {
    pid: process.pid,
    startTicks: startTicks(process.pid) ?? '',
    purpose,
    since: new Date().toISOString(),
  };
  const draft = `${lockPath}.${process.pid}`;
  writeFileSync(draft, JSON.stringify(mine));
  try {
    // Only a dead holder's file can be here: checked by the caller.
    rmSync(lockPath, { force: true });
    linkSync(draft, lockPath); // fails when another process was faster
  } catch (cause) {
    const holder = lockHolder();
    if (holder) throw busy(holder);
    throw new LabError(`cannot take the lock ${lockPath}`, { cause });
  } finally {
    rmSync(draft, { force: true });
  }
  process.env[inheritVariable] = holderKey(mine);
}

function releaseFile(): void {
  const holder = readHolder();
  if (holder?.pid === process.pid) rmSync(lockPath, { force: true });
  if (process.env[inheritVariable]?.startsWith(`${process.pid}:`)) {
    delete process.env[inheritVariable];
  }
}

function holderKey(holder: Holder): string {
  return `${holder.pid}:${holder.startTicks}`;
}

function busy(holder: Holder): LabError {
  return new LabError(
    `the lab is in use: ${holder.purpose} (process ${holder.pid}, since ${holder.since})`,
    { hint: 'wait until it ends, or end that process' },
  );
}
