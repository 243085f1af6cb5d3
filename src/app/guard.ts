/** The guard as a process: how protect starts it, and what runs in it (src/guest/guard.ts). */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Environment } from '../config/settings.ts';
import {
  beatText,
  type Farewell,
  farewellIn,
  farewellText,
  type Guarded,
  guardAfter,
  type StartGuard,
} from '../guest/guard.ts';
import type { Watched } from '../guest/keep-watch.ts';
import { noteCopyEnded } from '../guest/left-copy.ts';
import { watchProtect } from '../guest/stopped-protect.ts';
import { within } from '../host/clock.ts';
import { lowerOomScore, onReopenSignal } from '../host/process-settings.ts';
import { openRecord } from '../permission/record.ts';
import { noteDeath } from '../registry/noting.ts';
import { sessionsSinceBoot } from '../registry/port.ts';
import { loadDiskRepair } from './disks.ts';
import { notingParts, type ThisHost, thisHost, thisHypervisor, thisRegistry } from './host.ts';
import { loadLeftOutput } from './output.ts';
import { ownCommand } from './own-command.ts';
import { unitForGuard } from './own-unit.ts';
import { leftoversOf } from './stop.ts';

/** The guard has its library open: it claims the watch in far less. */
const watchingMsMax = 10_000;
/** Until a guard that is started has its library open, ms: a busy dom0 takes seconds. */
const readyMsMax = 60_000;
/** Of what protect says only the end counts. */
const saidCharactersMax = 64;

function guardedFrom(argv: readonly string[]): Guarded | null {
  const [number, uuid = '', name = '', session = '', after] = argv;
  const id = Number(number);
  if (!Number.isInteger(id) || id <= 0 || uuid === '' || name === '') return null;
  return { ref: { uuid, id }, name, session, wait: after === 'wait' };
}

/** Protect ended without a farewell: it says nothing more itself. */
function noteDeathOf(host: ThisHost, { session }: Guarded): void {
  try {
    const entry = sessionsSinceBoot(thisRegistry(host)).find(
      ({ status }) => status.session === session && status.role === 'primary',
    );
    if (entry !== undefined) noteDeath(entry, notingParts(host));
  } catch {
    // Nothing that is to be done for the guest waits for this.
  }
}

/** The hidden subcommand `tsremus guard ID UUID NAME SESSION wait|leave`; stdin is protect's. */
export async function runGuard(argv: readonly string[], env: Environment): Promise<number> {
  const guarded = guardedFrom(argv);
  if (guarded === null) return 64;
  let isWatching = false;
  let isLeaving = false;
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => {
    isLeaving ||= isWatching;
  });
  process.stdout.on('error', () => {}); // protect has gone, and hears nothing
  // Said by protect already, whose child it is.
  lowerOomScore(() => {});
  const host = thisHost(env);
  onReopenSignal(host.reopenLogs);
  // Opened now: when protect is gone there may be no time left to load anything.
  const hypervisor = await thisHypervisor(host);
  process.stdout.write('ready\n');
  // Where it cannot be loaded, it is tried again when it is needed.
  loadLeftOutput(host).catch(() => {});
  loadDiskRepair().catch(() => {});
  const open = async () => hypervisor;
  const registry = thisRegistry(host);
  const leftovers = leftoversOf(host, open);
  const noteEnded = ({ ref, session }: Watched) => {
    return noteCopyEnded(openRecord(host.settings.stateDirectory, ref.uuid, session, host));
  };
  const kept = { registry, hypervisor, leftovers, noteEnded };
  const ports = { ...host, ...kept, isStopped: () => isLeaving };
  let said = '';
  let beats = 0;
  let isOver = false;
  const watched = watchProtect(ports, guarded, { beats: () => beats, isOver: () => isOver });
  for await (const chunk of process.stdin) {
    beats += 1;
    said = (said + String(chunk)).slice(-saidCharactersMax);
  }
  isOver = true;
  // It may be at settling what it has just ended.
  await watched;
  isWatching = true;
  const farewell = farewellIn(said);
  if (farewell.kind === 'none') noteDeathOf(host, guarded);
  await guardAfter(ports, guarded, farewell, () => process.stdout.write('watching\n')).finally(() =>
    host.events.settled(),
  );
  return 0;
}

/** Starts guards in sessions of their own, so that what kills protect does not reach them. */
export function startGuard(host: Pick<ThisHost, 'timers' | 'refusals'>): StartGuard {
  const { timers } = host;
  return ({ ref, name, session, wait }) => {
    const words = ['guard', String(ref.id), ref.uuid, '--', name, session];
    const argv = ownCommand([...words, wait ? 'wait' : 'leave']);
    const child: ChildProcess = spawn(process.execPath, argv, {
      detached: true,
      cwd: '/',
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    if (child.pid !== undefined) void unitForGuard(host, child.pid, ref.uuid, name);
    const said = new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`the guard ended at once with code ${code}`)));
      child.stdout?.once('data', () => resolve());
    });
    const ready = within(timers, readyMsMax, said, () => {
      // It may be stopped: nobody waits for it, and it must not stand up later.
      child.kill('SIGKILL');
      throw new Error(
        `process ${child.pid} did not say within ${readyMsMax / 1000} s that it is up`,
      );
    });
    let isTold = false;
    const gone = new Promise<string>((resolve) => {
      child.once('exit', (code, signal) => {
        const died = ready.then(
          () => !isTold,
          () => false,
        );
        void died.then((isNews) => isNews && resolve(signal ?? `exit code ${code}`));
      });
    });
    // A guard that fails to start is reported through `ready`; nobody may wait for it later.
    ready.catch(() => {});
    child.stdin?.on('error', () => {});
    /** Says farewell; false: the guard did not say that it has the watch. */
    async function leaveTo(farewell: Exclude<Farewell, { kind: 'none' }>): Promise<boolean> {
      if (child.exitCode !== null || child.signalCode !== null || child.stdout === null) {
        return false;
      }
      isTold = true;
      const answered = once(child.stdout, 'data').then(() => true);
      const gone = once(child, 'exit').then(() => false);
      child.stdin?.end(farewellText(farewell));
      const first = Promise.race([answered, gone]);
      const watches = await within(timers, watchingMsMax, first, () => false).catch(() => false);
      for (const one of [answered, gone]) one.catch(() => {});
      child.stdout.destroy();
      child.unref();
      return watches;
    }
    return {
      ready,
      gone,
      beat() {
        // A guard that does not read is stopped: what is said to it must not pile up.
        if (child.stdin?.writableLength === 0) child.stdin.write(beatText);
      },
      done() {
        isTold = true;
        child.stdin?.end(farewellText({ kind: 'done' }));
        child.stdout?.destroy();
        child.unref();
      },
      watch: (guest, duties) => leaveTo({ kind: 'watch', id: guest.id, duties }),
      standIn: () => leaveTo({ kind: 'stand-in' }),
    };
  };
}
