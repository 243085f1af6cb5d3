/** What a session asks of the system for its own process. */
import { readdirSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import type { StopBy } from '../core/primary/types.ts';
import { errorText } from './errors.ts';

/** A heartbeat must not wait behind a busy dom0: tsremus runs before ordinary processes. */
const niceness = -10;

/**
 * Of -1000 (never) to 1000: whom the kernel kills when memory is short. Before a process of ours
 * anything else of dom0 goes: with protect the guest's output is held, with receive its copy is
 * lost, with the guard nobody resumes it. Not -1000: the host must get rid of a leak of ours.
 */
const oomScoreAdj = -900;

/** Signals closer together than this are one. */
const sameSignalMs = 100;

/**
 * Puts this process before ordinary ones; without the right to do so it says so and goes on. All of
 * its threads: Linux keeps a priority for each, and the main one waits for those that were started
 * before it came here (what encodes, writes records to disk, collects garbage). Later ones inherit.
 */
export function raisePriority(say: (text: string) => void): void {
  try {
    setPriority(niceness);
  } catch (error) {
    return say(`runs at ordinary priority: ${errorText(error)}`);
  }
  for (const thread of readdirSync('/proc/self/task')) {
    try {
      setPriority(Number(thread), niceness);
    } catch {
      // It has ended meanwhile.
    }
  }
}

/**
 * Puts this process, and what it starts (the transport, a copy's device model), last among those
 * that the kernel kills for want of memory; without the right to do so it says so and goes on.
 * `file`: where the kernel takes it.
 */
export function lowerOomScore(
  say: (text: string) => void,
  file = '/proc/self/oom_score_adj',
): void {
  try {
    writeFileSync(file, String(oomScoreAdj));
  } catch (error) {
    say(`may be killed when memory is short: ${errorText(error)}`);
  }
}

/** Calls `reopen` for SIGHUP, which ends nothing: it is what logrotate(8) sends. */
export function onReopenSignal(reopen: () => void): void {
  process.on('SIGHUP', reopen);
}

/** Calls `onSignal` for those that end a session, as long as this process lives. */
export function onEndSignals(onSignal: (by: StopBy) => void): void {
  let lastMs = Number.NEGATIVE_INFINITY;
  const handler = (by: StopBy) => () => {
    // timeout(1) and some shells send the same signal twice, to the process and to its group.
    if (performance.now() - lastMs < sameSignalMs) return;
    lastMs = performance.now();
    onSignal(by);
  };
  process.on('SIGINT', handler('sigint'));
  process.on('SIGTERM', handler('sigterm'));
  // How systemd stops the unit of a session (src/app/own-unit.ts).
  process.on('SIGURG', handler('sigterm'));
}
