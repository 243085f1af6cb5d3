/**
 * The guard: a small process beside `tsremus protect` whose only work is to see that the guest is
 * never left suspended for good. libxl's save asks the guest to suspend and resumes it; if protect
 * is killed in between, nobody would. The guard holds one end of a pipe: when it closes without
 * the word `done`, protect died, and the guard resumes the guest if it is, or becomes, suspended.
 *
 * It resumes and nothing else: it never unpauses and never opens an output buffer, so the guest
 * of a protect that was killed stays as mute as it was.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Hypervisor } from '../xen/hypervisor.ts';

/**
 * How long the guard watches: a suspend that was requested before protect died is obeyed when the
 * guest gets to it. libxl itself waits 60 s for a guest to suspend.
 */
const watchMs = 65_000;
const pollMs = 50;

/** Resumes the guest when it is suspended; true as soon as it did, or the guest is gone. */
async function rescueOnce(xen: Hypervisor, domid: number, uuid: string): Promise<boolean> {
  const info = await xen.info(domid);
  // A domain number is not used again soon, but the UUID makes it certain.
  if (info === null || info.uuid !== uuid || info.dying) return true;
  if (!info.shutdown) return false;
  if (info.shutdownReason !== 'suspend') return true;
  await xen.resume(domid);
  return false;
}

/** Watches the guest for a while and resumes it whenever it is found suspended. */
export async function rescue(xen: Hypervisor, domid: number, uuid: string): Promise<void> {
  const end = performance.now() + watchMs;
  while (performance.now() < end) {
    if (await rescueOnce(xen, domid, uuid)) return;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** The hidden subcommand `tsremus guard DOMID UUID`; stdin is protect's pipe. */
export async function runGuard(argv: readonly string[]): Promise<number> {
  const domid = Number(argv[0]);
  const uuid = argv[1] ?? '';
  if (!Number.isInteger(domid) || domid <= 0 || uuid === '') return 64;
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});
  // Opened now: when protect is gone there may be no time left to load anything.
  const { openXen } = await import('../xen/xen.ts');
  const xen = await openXen();
  process.stdout.write('ready\n');
  let said = '';
  for await (const chunk of process.stdin) said = (said + String(chunk)).slice(-16);
  if (said.endsWith('done\n')) return 0;
  await rescue(xen, domid, uuid);
  return 0;
}

export interface Guard {
  /** Resolves when the guard watches; rejects when it could not start. */
  readonly ready: Promise<void>;
  /** Protect ended in order: the guard goes. */
  done(): void;
}

/** Starts the guard in a session of its own, so that what kills protect does not reach it. */
export function startGuard(domid: number, uuid: string): Guard {
  const main = process.argv[1] ?? fileURLToPath(import.meta.url);
  const argv = [...process.execArgv, main, 'guard', String(domid), uuid];
  const child: ChildProcess = spawn(process.execPath, argv, {
    detached: true,
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
      child.removeAllListeners('exit');
      child.stdin?.end('done\n');
      child.unref();
    },
  };
}
