/**
 * When a run has calmed down: is this an end that is allowed? Somebody runs, or is held for a
 * reason that is said. null: not (yet), ask again; a run for which that stays so is stuck.
 */
import type { Level } from '../../src/core/health/health.ts';
import { backupVerdict, primaryVerdict } from './verdict.ts';
import type { World } from './world.ts';

/** How far things had come at some moment. */
export interface Progress {
  readonly acked: number;
  /** The primary's guest's count. */
  readonly count: number;
}

export function progressOf(world: World): Progress {
  return { acked: world.checker.acked, count: world.a.guest.memory };
}

/** The end's name, or null. `before`: the progress two timeouts ago. */
export function endingOf(world: World, before: Progress): string | null {
  const { a, b, checker } = world;
  if (checker.activated !== null) return copyEnding(world);
  if (a.outcome !== null) return ownEnding(world);
  if (a.process.isAlive) return liveEnding(world, before);
  return deadEnding(world, b.process.isAlive);
}

/** The copy ran. The primary's guest must be gone, or nobody there can know. */
function copyEnding(world: World): string | null {
  const { a, b, checker, network } = world;
  if (a.outcome === 'taken-over') return 'taken over';
  if (!a.process.isAlive) {
    // Whoever cleans up learns that the copy runs.
    if (checker.isCopyRunning && a.guest.isAlive && mustCleanUp(world)) return null;
    return checker.isCopyRunning ? 'activated' : 'activated, then lost';
  }
  if (levelOf(world) !== 'critical') return null;
  if (!network.isWhole || !b.isUp) return 'activated, cannot be told';
  // It died before anybody could note that it had run: nobody knows how far it came.
  return checker.isCopyRunning || b.store.isRunning ? null : 'held, the active copy died';
}

/** The machine on the primary ended; what it said must be true. */
function ownEnding(world: World): string | null {
  const { a, faults } = world;
  const outcome = a.outcome ?? '';
  if (outcome === 'guest-ended') return faults.isGuestEnded ? 'guest ended' : null;
  if (faults.struck.has('crash a') && !a.guest.isAlive) return `${outcome}, then host A crashed`;
  if (faults.isGuestEnded) return `${outcome}, then guest ended`;
  const isOpen = a.buffer === null || !a.buffer.isHolding;
  return a.guest.isRunning && isOpen ? outcome : null;
}

/** `protect` lives and has not decided: it protects, or it is held for a reason. */
function liveEnding(world: World, before: Progress): string | null {
  const { b, checker, network } = world;
  const level = levelOf(world);
  const canAsk = network.isWhole && b.isUp;
  if (canAsk && b.process.isAlive && level === 'ok') {
    const now = progressOf(world);
    return now.acked > before.acked && now.count > before.count ? 'protected' : null;
  }
  if (level !== 'critical') return null;
  if (!canAsk) return 'held, the backup is out of reach';
  if (checker.permission === 'active' && b.copy.isGone) return 'held, the active copy died';
  return null;
}

/** `protect` died without a decision: the backup has to do something, if it can. */
function deadEnding(world: World, isBackupAlive: boolean): string | null {
  const { a, b, checker, plan, faults } = world;
  if (a.cleanUp.done === 'open') {
    if (!a.guest.isAlive) return 'cleaned up, no guest';
    const isOpen = a.guest.isRunning && !a.buffer?.isHolding;
    return isOpen ? 'cleaned up, the guest goes on' : null;
  }
  if (a.guest.isAlive && checker.permission !== 'active' && mustCleanUp(world)) return null;
  if (checker.permission === 'promised') return 'promised, then protect died';
  if (!isBackupAlive) {
    if (checker.acked < 0) return 'both died in the seed';
    return isStruck(world, ['kill-receive', 'crash b']) ? 'both died' : null;
  }
  if (checker.permission === 'active' && b.copy.isGone) return 'both died';
  if (checker.acked < 0) return null;
  const waits = !plan.config.buffered && b.isLinkEndKnown && checker.permission === 'standby';
  if (!waits) return null;
  // With -n the end of the link activates nothing: the guest may be running over there.
  if (backupVerdict(b.process.state, b.nowMs()).level !== 'critical') return null;
  if (a.isUp && a.guest.isRunning) return 'runs unprotected, protect died';
  return faults.isGuestEnded ? 'guest ended, protect died' : 'waits for failover';
}

/** The administrator cleans up, and can ask. */
function mustCleanUp({ a, b, plan, network }: World): boolean {
  return plan.cleansUp && a.isUp && b.isUp && network.isWhole;
}

function isStruck(world: World, faults: readonly string[]): boolean {
  return faults.some((fault) => world.faults.struck.has(fault));
}

function levelOf(world: World): Level {
  const { a } = world;
  return primaryVerdict(a.process.state, a.nowMs(), a.process.isAlive).level;
}
