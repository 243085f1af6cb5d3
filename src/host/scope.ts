/**
 * A unit of its own for a process of ours, where systemd runs: what ends the login or the service
 * that it was started from then does not end it, and at a shutdown it is stopped while what it
 * needs is still there. systemd stops units in the reverse order of their start (systemd.unit(5),
 * Before=, After=), and waits for each.
 *
 * The process moves as it is (org.freedesktop.systemd1(5), StartTransientUnit, PIDs): nothing is
 * started anew, and where it fails the process stays where it was.
 */
import { existsSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { noUnitText } from '../core/texts/service.ts';
import { sleep, type Timers } from './clock.ts';
import { errorText } from './errors.ts';
import { run } from './runner.ts';

/** sd_booted(3) */
const bootedPath = '/run/systemd/system';
/** What an answer of systemd takes, at most, ms. */
const callMsMax = 10_000;
/** Until its job is done, ms; one that is ordered behind it may be under way. */
const movedMsMax = 10_000;
const pollMs = 100;

export interface Scope {
  /** Its name, with `.scope`. */
  readonly unit: string;
  readonly description: string;
  /** Stopped before these are. */
  readonly after: readonly string[];
  /** Stopped after these are. */
  readonly before: readonly string[];
  /** What its processes get first. */
  readonly killSignal: NodeJS.Signals;
  /** How long they have before they are killed, ms. */
  readonly stopMs: number;
}

/** Arguments of busctl(1) that make the scope and put process `pid` into it. */
export function scopeCall(pid: number, scope: Scope): string[] {
  const { unit, description, after, before, killSignal, stopMs } = scope;
  const properties = [
    ['PIDs', 'au', '1', `${pid}`],
    ['Description', 's', description],
    ['After', 'as', `${after.length}`, ...after],
    ['Before', 'as', `${before.length}`, ...before],
    ['KillSignal', 'i', `${constants.signals[killSignal]}`],
    ['TimeoutStopUSec', 't', `${1_000 * stopMs}`],
    // A child that is killed for want of memory is the session's affair, not the end of all.
    ['OOMPolicy', 's', 'continue'],
    ['CollectMode', 's', 'inactive-or-failed'],
    // What waits for a disk answers no heartbeat (src/host/swap.ts).
    ['MemorySwapMax', 't', '0'],
  ];
  const manager = ['org.freedesktop.systemd1', '/org/freedesktop/systemd1'];
  const method = ['org.freedesktop.systemd1.Manager', 'StartTransientUnit', 'ssa(sv)a(sa(sv))'];
  const words = [...properties.flat(), '0'];
  return [
    ...['busctl', '--quiet', `--timeout=${callMsMax / 1_000}`, 'call', ...manager, ...method],
    ...['--', unit, 'fail', `${properties.length}`, ...words],
  ];
}

/**
 * The unit in /proc/PID/cgroup's text; null where systemd made none (cgroups(7)). It has its units
 * in a tree of its own, or in the unified one; in a container the former may be another host's.
 */
export function unitIn(cgroups: string): string | null {
  const lines = cgroups.split('\n');
  const own = lines.filter((line) => /^\d+:name=systemd:/.test(line));
  const unified = lines.filter((line) => line.startsWith('0::'));
  const names = [...own, ...unified].map((line) => line.split('/').at(-1) ?? '');
  return names.find((name) => /\.(service|scope)$/.test(name)) ?? null;
}

/** The unit of a process of this host; null: none, or it has gone. */
export function unitOf(pid: number | 'self'): string | null {
  try {
    return unitIn(readFileSync(`/proc/${pid}/cgroup`, 'utf8'));
  } catch {
    return null;
  }
}

/**
 * Puts process `pid` into the scope, where systemd runs this host. `say` hears that it could not
 * be, a clause; `whose` is who stays without. Never rejects.
 */
export async function enterScope(
  pid: number,
  whose: string,
  scope: Scope,
  timers: Timers,
  say: (text: string) => void,
): Promise<void> {
  if (!existsSync(bootedPath)) return;
  try {
    await run(scopeCall(pid, scope), { timeoutMs: callMsMax });
    for (let waitedMs = 0; unitOf(pid) !== scope.unit; waitedMs += pollMs) {
      // One that has gone needs no unit.
      if (!existsSync(`/proc/${pid}`)) return;
      if (waitedMs >= movedMsMax) throw new Error(`it is not in ${scope.unit} yet`);
      await sleep(timers, pollMs);
    }
  } catch (error) {
    say(noUnitText(whose, errorText(error)));
  }
}
