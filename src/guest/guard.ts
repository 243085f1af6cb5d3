/**
 * The guard: a small process beside `tsremus protect`, in a session of its own.
 *
 * It sees that the guest is never left suspended for good. libxl's save asks the guest to suspend
 * and resumes it; if protect is killed in between, nobody would. The guard reads from a pipe: when
 * that ends without a word, protect died, and the guard resumes the guest if it is, or
 * becomes, suspended. It never unpauses and never opens an output buffer, so the guest of a protect
 * that was killed stays as mute as it was.
 *
 * And it watches the guest's own end where protect no longer does (keep-watch.ts): on the word
 * `watch DOMID` at once, after protect died with the permission that a guest's end needs.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { runDirectory } from '../config/settings.ts';
import type { Hypervisor } from '../hypervisor/port.ts';
import { claimWatch } from '../registry/run-directory.ts';
import { keepWatch } from './keep-watch.ts';

/**
 * How long the guard resumes: a suspend that was requested before protect died is obeyed when the
 * guest gets to it. libxl itself waits 60 s for a guest to suspend.
 */
const rescueMs = 65_000;
const pollMs = 50;
/** The guard has its library open: it claims the watch in far less. */
const watchingMsMax = 10_000;

/** Whom a guard stands by, and for which session. */
export interface Guarded {
  readonly domid: number;
  readonly uuid: string;
  readonly name: string;
  readonly session: string;
  /** False with -e: nobody watches the guest once protect is gone. */
  readonly wait: boolean;
}

/** Resumes the guest when it is suspended; true as soon as it ended, or is gone. */
async function rescueOnce(xen: Hypervisor, domid: number, uuid: string): Promise<boolean> {
  const info = await xen.info(domid);
  // A domain number is not used again soon, but the UUID makes it certain.
  if (info === null || info.uuid !== uuid || info.dying) return true;
  if (!info.shutdown) return false;
  if (info.shutdownReason !== 'suspend') return true;
  await xen.resume(domid);
  return false;
}

/**
 * Watches the guest for a while and resumes it whenever it is found suspended. Not any longer than
 * the watch is ours: what a later session suspends is no leftover.
 */
async function rescue(xen: Hypervisor, guarded: Guarded, isStopped: () => boolean): Promise<void> {
  const end = performance.now() + rescueMs;
  while (performance.now() < end && !isStopped()) {
    if (await rescueOnce(xen, guarded.domid, guarded.uuid).catch(() => false)) return;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** Protect died: nobody resumes the guest any more, and nobody sees to its end. */
async function standIn(xen: Hypervisor, guarded: Guarded, isStopped: () => boolean): Promise<void> {
  const release = await claimWatch(runDirectory(process.env), guarded);
  if (release === null) return; // a later session has begun
  try {
    // Both at once: what is resumed has not ended, and what has ended is not resumed.
    const rescued = rescue(xen, guarded, isStopped);
    if (guarded.wait) await keepWatch(xen, guarded, { isStopped, isOrphan: true });
    await rescued;
  } finally {
    release();
  }
}

function guardedFrom(argv: readonly string[]): Guarded | null {
  const [number, uuid = '', name = '', session = '', after] = argv;
  const domid = Number(number);
  if (!Number.isInteger(domid) || domid <= 0 || uuid === '' || name === '') return null;
  return { domid, uuid, name, session, wait: after === 'wait' };
}

/** The hidden subcommand `tsremus guard DOMID UUID NAME SESSION wait|leave`; stdin is protect's. */
export async function runGuard(argv: readonly string[]): Promise<number> {
  const guarded = guardedFrom(argv);
  if (guarded === null) return 64;
  let isWatching = false;
  let isLeaving = false;
  for (const signal of ['SIGHUP', 'SIGINT'] as const) process.on(signal, () => {});
  process.on('SIGTERM', () => {
    isLeaving ||= isWatching;
  });
  process.stdout.on('error', () => {}); // protect has gone, and hears nothing
  // Opened now: when protect is gone there may be no time left to load anything.
  const { openXen } = await import('../hypervisor/xen/xen.ts');
  const xen = await openXen();
  process.stdout.write('ready\n');
  let said = '';
  for await (const chunk of process.stdin) said = (said + String(chunk)).slice(-64);
  if (said.endsWith('done\n')) return 0;
  isWatching = true;
  const isStopped = () => isLeaving;
  const order = /^watch (\d+)\n$/.exec(said);
  if (order === null) {
    await standIn(xen, guarded, isStopped);
    return 0;
  }
  const release = await claimWatch(runDirectory(process.env), guarded);
  if (release === null) return 0;
  process.stdout.write('watching\n');
  const watched = { ...guarded, domid: Number(order[1]) };
  await keepWatch(xen, watched, { isStopped, isOrphan: false }).finally(release);
  return 0;
}

export interface Guard {
  /** Resolves when the guard watches; rejects when it could not start. */
  readonly ready: Promise<void>;
  /** Protect ended in order and nobody need watch: the guard goes. */
  done(): void;
  /** Protect ended and the guest runs on as `domid`: false when the guard cannot watch it. */
  watch(domid: number): Promise<boolean>;
}

/** Starts the guard in a session of its own, so that what kills protect does not reach it. */
export function startGuard(guarded: Guarded): Guard {
  const main = process.argv[1] ?? fileURLToPath(import.meta.url);
  const { domid, uuid, name, session, wait } = guarded;
  const words = ['guard', String(domid), uuid, '--', name, session, wait ? 'wait' : 'leave'];
  const child: ChildProcess = spawn(process.execPath, [...process.execArgv, main, ...words], {
    detached: true,
    cwd: '/',
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const ready = new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the guard ended at once with code ${code}`)));
    child.stdout?.once('data', () => resolve());
  });
  // A guard that fails to start is reported through `ready`; nobody may wait for it later.
  ready.catch(() => {});
  child.stdin?.on('error', () => {});
  return {
    ready,
    done() {
      child.stdin?.end('done\n');
      child.stdout?.destroy();
      child.unref();
    },
    async watch(current) {
      if (child.exitCode !== null || child.signalCode !== null || child.stdout === null) {
        return false;
      }
      const timeout = AbortSignal.timeout(watchingMsMax);
      const said = once(child.stdout, 'data', { signal: timeout }).then(() => true);
      const gone = once(child, 'exit', { signal: timeout }).then(() => false);
      child.stdin?.end(`watch ${current}\n`);
      const watches = await Promise.race([said, gone]).catch(() => false);
      for (const one of [said, gone]) one.catch(() => {});
      child.stdout.destroy();
      child.unref();
      return watches;
    },
  };
}
