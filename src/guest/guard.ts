/**
 * The guard: a small process beside `tsremus protect`, in a session of its own.
 *
 * It sees that the guest is never left suspended for good. The save asks the guest to suspend and
 * resumes it; if protect is killed in between, nobody would. The guard hears protect through a
 * pipe: when that ends without a word, protect died, and the guard resumes the guest if it is, or
 * becomes, suspended. It never unpauses and never opens an output buffer, so the guest of a protect
 * that was killed stays as mute as it was.
 *
 * And it watches the guest's own end where protect no longer does (keep-watch.ts): on the word
 * `watch ID` at once, after protect died with the permission that a guest's end needs.
 */
import { sleep } from '../host/clock.ts';
import type { GuestRef, Hypervisor } from '../hypervisor/port.ts';
import { type KeepWatchPorts, keepWatch } from './keep-watch.ts';

/**
 * How long the guard resumes: a suspend that was requested before protect died is obeyed when the
 * guest gets to it. The hypervisor itself waits 60 s for a guest to suspend.
 */
const rescueMs = 65_000;
const pollMs = 50;

/** Whom a guard stands by, and for which session. */
export interface Guarded {
  readonly ref: GuestRef;
  readonly name: string;
  readonly session: string;
  /** False with -e: nobody watches the guest once protect is gone. */
  readonly wait: boolean;
}

/** The guard as protect holds it. */
export interface Guard {
  /** Resolves when the guard watches; rejects when it could not start. */
  readonly ready: Promise<void>;
  /** Resolves when it has died since, with how; not once it was told `done` or `watch`. */
  readonly gone: Promise<string>;
  /** Protect ended in order and nobody need watch: the guard goes. */
  done(): void;
  /** Protect ended and the guest runs on as `guest`: false when the guard cannot watch it. */
  watch(guest: GuestRef): Promise<boolean>;
}

/** Starts a guard that outlives whatever kills this process. */
export type StartGuard = (guarded: Guarded) => Guard;

/** What protect says to its guard, and what it says last. */
export type Farewell =
  /** Protect ended in order; nobody need watch. */
  | { readonly kind: 'done' }
  /** Protect ended in order; the guest runs on under this number. */
  | { readonly kind: 'watch'; readonly id: number }
  /** Protect died. */
  | { readonly kind: 'none' };

/** The farewell in what came through the pipe until it ended. */
export function farewellIn(said: string): Farewell {
  if (said.endsWith('done\n')) return { kind: 'done' };
  const order = /^watch (\d+)\n$/.exec(said);
  return order === null ? { kind: 'none' } : { kind: 'watch', id: Number(order[1]) };
}

/** As text for the pipe. */
export function farewellText(farewell: Exclude<Farewell, { kind: 'none' }>): string {
  return farewell.kind === 'done' ? 'done\n' : `watch ${farewell.id}\n`;
}

export interface GuardPorts extends KeepWatchPorts {
  /** True once this process was asked to leave the watch to somebody else. */
  readonly isStopped: () => boolean;
}

/** Resumes the guest when it is suspended; true as soon as it ended, or is gone. */
async function rescueOnce(hypervisor: Hypervisor, guest: GuestRef): Promise<boolean> {
  const info = await hypervisor.info(guest);
  if (info === null || info.state === 'dying' || info.state === 'ended') return true;
  if (info.state === 'suspended') await hypervisor.resume(guest);
  return false;
}

/**
 * Watches the guest for a while and resumes it whenever it is found suspended. Not any longer than
 * the watch is ours: what a later session suspends is no leftover.
 */
async function rescue(ports: GuardPorts, guest: GuestRef): Promise<void> {
  const { clock, timers, hypervisor, isStopped } = ports;
  const endMs = clock.nowMs() + rescueMs;
  while (clock.nowMs() < endMs && !isStopped()) {
    if (await rescueOnce(hypervisor, guest).catch(() => false)) return;
    await sleep(timers, pollMs);
  }
}

/** Protect died: nobody resumes the guest any more, and nobody sees to its end. */
async function standIn(ports: GuardPorts, guarded: Guarded): Promise<void> {
  const { registry, isStopped } = ports;
  const { ref, name } = guarded;
  const release = await registry.claimWatch({ uuid: ref.uuid, name });
  if (release === null) return; // a later session has begun
  try {
    // Both at once: what is resumed has not ended, and what has ended is not resumed.
    const rescued = rescue(ports, ref);
    if (guarded.wait) await keepWatch(ports, guarded, { isStopped, isOrphan: true });
    await rescued;
  } finally {
    release();
  }
}

/** What a guard does once protect is gone. `watching` is called when it has taken the watch. */
export async function guardAfter(
  ports: GuardPorts,
  guarded: Guarded,
  farewell: Farewell,
  watching: () => void,
): Promise<void> {
  if (farewell.kind === 'done') return;
  if (farewell.kind === 'none') return standIn(ports, guarded);
  const { registry, isStopped } = ports;
  const { ref, name } = guarded;
  const release = await registry.claimWatch({ uuid: ref.uuid, name });
  if (release === null) return;
  watching();
  const watched = { ...guarded, ref: { uuid: ref.uuid, id: farewell.id } };
  await keepWatch(ports, watched, { isStopped, isOrphan: false }).finally(release);
}
