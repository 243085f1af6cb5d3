/**
 * The watch over a guest's own end: after a takeover, and on the primary, where xl's daemon is
 * gone. There is one watcher per guest. A session watches the guest that it protects; whoever
 * watched before (the guard of an earlier session, or `tsremus receive` after a takeover) leaves
 * when it is asked to.
 */
import { adviceLine } from '../core/texts/advice.ts';
import { sleep, type Time } from '../host/clock.ts';
import { errorText, OperationError } from '../host/errors.ts';
import type { Log } from '../host/log.ts';
import type { Processes } from '../host/process-id.ts';
import type { GuestRef, GuestSpec, Hypervisor } from '../hypervisor/port.ts';
import type { Registry } from '../registry/port.ts';
import { carryOut, type Say } from './life.ts';

const pollMs = 500;
/** A guest that reboots faster than this is in a loop; xl waits as long before every boot. */
const rebootPauseMsMin = 2_000;

export interface WatchHooks {
  readonly say: Say;
  /** Asked at each look; true ends the watch and leaves the guest alone. */
  readonly stopped: () => boolean;
  /** The guest was booted anew under another number. */
  readonly restarted: (guest: GuestRef) => void;
  /** Resolves when what the end asks for may be done; with false: it never may. */
  readonly permitted: () => Promise<boolean>;
  /** It will not be booted again: to be noted before its domain is removed. May reject. */
  readonly ending?: () => Promise<void>;
}

export interface WatchPorts extends Time {
  readonly hypervisor: Hypervisor;
}

/**
 * Watches a guest until it is gone or preserved. Returns the last word on it; null when the watch
 * was ended and the guest was left alone.
 */
export async function watchGuest(
  { hypervisor, clock, timers }: WatchPorts,
  guest: GuestRef,
  spec: GuestSpec,
  hooks: WatchHooks,
): Promise<string | null> {
  let current = guest;
  let startedMs = clock.nowMs();
  while (!hooks.stopped()) {
    await sleep(timers, pollMs);
    const info = await hypervisor.info(current);
    if (info === null) return 'the domain was destroyed';
    if (info.end === null) continue;
    const event = info.end;
    if (!(await hooks.permitted())) return null;
    if (clock.nowMs() - startedMs < rebootPauseMsMin) await sleep(timers, rebootPauseMsMin);
    const done = await carryOut(hypervisor, current, event, spec, hooks);
    if (done.kind === 'destroyed') return `the guest ended by ${event}`;
    if (done.kind === 'kept') {
      return `the guest ended by ${event} and is kept as it is (action ${done.action})`;
    }
    current = done.guest;
    startedMs = clock.nowMs();
    hooks.restarted(current);
  }
  return null;
}

export interface CopyWatchPorts extends WatchPorts {
  readonly registry: Registry;
  readonly log: Log;
  /** True once this process was asked to leave the watch to somebody else. */
  readonly isStopped: () => boolean;
}

/**
 * The watch over a guest that took over, by the `tsremus receive` that activated it: until it is
 * gone, or a session that protects it from here takes the watch over. Returns what became of the
 * guest; null while it runs on. Never rejects.
 */
export async function watchCopy(
  ports: CopyWatchPorts,
  guest: GuestRef,
  spec: GuestSpec,
  hooks: Pick<WatchHooks, 'restarted' | 'ending'>,
): Promise<string | null> {
  const { registry, log, isStopped } = ports;
  let release: (() => void) | null = null;
  try {
    release = await registry.claimWatch({ uuid: guest.uuid, name: spec.name });
    if (release === null) return null;
    const end = await watchGuest(ports, guest, spec, {
      say: (text) => log.info(text),
      stopped: isStopped,
      ...hooks,
      permitted: async () => true,
    });
    log.info(end ?? 'the watch was ended');
    return end;
  } catch (error) {
    // A guest that cannot be booted again, say: nobody runs it, and nobody may believe so.
    const end = `nobody watches it: ${errorText(error)}`;
    log.error(end);
    return end;
  } finally {
    release?.();
  }
}

/**
 * A watcher that is just booting the guest anew finishes that first; and one that waits for the
 * guest to obey a request to suspend stays for as long as Xen itself would wait (guard.ts).
 */
const leaveMsMax = 75_000;
const leavePollMs = 100;

export interface Watch {
  /** Another process watched until now. */
  readonly wasTaken: boolean;
  release(): void;
}

export interface ClaimPorts extends Time {
  readonly registry: Registry;
  readonly processes: Processes;
}

/** Takes the watch over the guest from whoever has it. Rejects with `locked` if that one stays. */
export async function takeWatch(
  { registry, processes, clock, timers }: ClaimPorts,
  guest: { readonly uuid: string; readonly name: string },
): Promise<Watch> {
  const endMs = clock.nowMs() + leaveMsMax;
  let asked = 0;
  for (;;) {
    const release = await registry.claimWatch(guest);
    if (release !== null) return { wasTaken: asked !== 0, release };
    const owner = registry.watcherOf(guest.uuid);
    if (owner !== null && owner.pid !== asked) {
      processes.signal(owner, 'SIGTERM');
      asked = owner.pid;
    }
    if (clock.nowMs() > endMs) {
      throw new OperationError(
        'locked',
        `process ${asked} watches ${guest.name} and stays (see ${guest.name}.watch.log)`,
        {
          op: 'take-watch',
          subject: guest.name,
          hint: adviceLine({ kind: 'see-process', pid: asked }),
        },
      );
    }
    await sleep(timers, leavePollMs);
  }
}
