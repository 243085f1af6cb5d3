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
import type { GuestRef } from '../hypervisor/port.ts';
import { type KeepWatchPorts, keepWatch } from './keep-watch.ts';
import { awaitLateSuspend, soonMs } from './late-suspend.ts';

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
  /** Protect moves: to be said every `beatMs`. */
  beat(): void;
  /** Protect ended in order and nobody need watch: the guard goes. */
  done(): void;
  /** Protect ended and the guest runs on as `guest`: false when the guard cannot watch it. */
  watch(guest: GuestRef, duties: Duties): Promise<boolean>;
  /**
   * Protect died, and the guard with it: this one, started since, does what that one would have
   * done. False when it cannot.
   */
  standIn(): Promise<boolean>;
}

/** What a guard sees to once protect has ended in order; not nothing. */
export interface Duties {
  /** The guest's own end: what its configuration says is carried out. */
  readonly end: boolean;
  /** It may have been asked to suspend and not have answered: then it is resumed. */
  readonly lateSuspend: boolean;
}

/** Starts a guard that outlives whatever kills this process. */
export type StartGuard = (guarded: Guarded) => Guard;

/** What protect says to its guard, and what it says last. */
export type Farewell =
  /** Protect ended in order; nobody need watch. */
  | { readonly kind: 'done' }
  /** Protect ended in order; the guest runs on under this number. */
  | { readonly kind: 'watch'; readonly id: number; readonly duties: Duties }
  /** Protect died before this guard was started. */
  | { readonly kind: 'stand-in' }
  /** Protect died. */
  | { readonly kind: 'none' };

/** What says through the pipe that protect moves. */
export const beatText = '.\n';

const standInText = 'stand in\n';

/** The farewell in what came through the pipe until it ended. */
export function farewellIn(all: string): Farewell {
  const said = all.slice(all.lastIndexOf(beatText) + 1).replace(/^\n/, '');
  if (said.endsWith('done\n')) return { kind: 'done' };
  if (said === standInText) return { kind: 'stand-in' };
  const [, id, words = ''] = /^watch (\d+)((?: end| late)+)\n$/.exec(said) ?? [];
  if (id === undefined) return { kind: 'none' };
  const duties = { end: words.includes('end'), lateSuspend: words.includes('late') };
  return { kind: 'watch', id: Number(id), duties };
}

/** As text for the pipe. */
export function farewellText(farewell: Exclude<Farewell, { kind: 'none' }>): string {
  if (farewell.kind === 'done') return 'done\n';
  if (farewell.kind === 'stand-in') return standInText;
  const { id, duties } = farewell;
  return `watch ${id}${duties.end ? ' end' : ''}${duties.lateSuspend ? ' late' : ''}\n`;
}

export interface GuardPorts extends KeepWatchPorts {
  /** True once this process was asked to leave the watch to somebody else. */
  readonly isStopped: () => boolean;
}

/** Says what the guard does about a suspend, where `tsremus protect` logged. */
async function seeToSuspend(
  ports: GuardPorts,
  guarded: Guarded,
  isStopped: () => boolean,
): Promise<void> {
  const log = ports.openLog(`${guarded.name}.watch`);
  const order = { isStopped, say: (text: string) => log.info(text) };
  const end = await awaitLateSuspend(ports, guarded, order);
  if (end === 'unanswered') log.info('it has not suspended: if it was asked to, that is lost');
  log.close();
}

/** Protect died: nobody resumes the guest any more, and nobody sees to its end. */
async function standIn(ports: GuardPorts, guarded: Guarded, watching: () => void): Promise<void> {
  const { registry, isStopped } = ports;
  const { ref, name } = guarded;
  const release = await registry.claimWatch({ uuid: ref.uuid, name });
  if (release === null) return; // a later session has begun
  watching();
  try {
    // Both at once: what is resumed has not ended, and what has ended is not resumed. Not any
    // longer than the watch is ours: what a later session suspends is no leftover.
    const rescued = seeToSuspend(ports, guarded, isStopped);
    if (guarded.wait) await keepWatch(ports, guarded, { isStopped, isOrphan: true });
    await rescued;
  } finally {
    release();
  }
}

/**
 * Protect ended in order. Told to leave to a later session, the guard stays for a guest that has
 * not answered yet, as long as an answer may be due: that session could not tell its own suspend
 * from this one.
 */
async function watchOn(ports: GuardPorts, guarded: Guarded, duties: Duties): Promise<void> {
  const { isStopped, clock, hypervisor } = ports;
  const endMs = clock.nowMs() + soonMs;
  const { ref, name, wait } = guarded;
  let isEnding = duties.end;
  if (duties.lateSuspend) {
    const late = seeToSuspend(ports, guarded, () => isStopped() && clock.nowMs() >= endMs);
    if (!isEnding) await late;
    // xl's daemon may have taken that suspend for the guest's end, and have gone.
    isEnding ||= wait && hypervisor.otherWatcher(ref, name) === null;
    if (isEnding) await keepWatch(ports, guarded, { isStopped, isOrphan: false });
    await late;
  } else await keepWatch(ports, guarded, { isStopped, isOrphan: false });
}

/** What a guard does once protect is gone. `watching` is called when it has taken the watch. */
export async function guardAfter(
  ports: GuardPorts,
  guarded: Guarded,
  farewell: Farewell,
  watching: () => void,
): Promise<void> {
  if (farewell.kind === 'done') return;
  if (farewell.kind !== 'watch') return standIn(ports, guarded, watching);
  const { registry } = ports;
  const { ref, name } = guarded;
  const release = await registry.claimWatch({ uuid: ref.uuid, name });
  if (release === null) return;
  watching();
  const watched = { ...guarded, ref: { uuid: ref.uuid, id: farewell.id } };
  await watchOn(ports, watched, farewell.duties).finally(release);
}
