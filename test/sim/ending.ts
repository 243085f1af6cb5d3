/**
 * When a run has calmed down: is this an end that is allowed? Somebody runs, or is held for a
 * reason that is said. null: not (yet), ask again; a run for which that stays so is stuck.
 */
import { isNotedRunning } from './record.ts';
import type { World } from './world.ts';

/** How far things had come at some moment. */
export interface Progress {
  readonly acked: number;
  /** The primary's guest's count. */
  readonly count: number;
}

export function progressOf(world: World): Progress {
  return { acked: world.checker.acked, count: world.guest.memory };
}

/** The end's name, or null. `before`: the progress two timeouts ago. */
export function endingOf(world: World, before: Progress): string | null {
  const { checker, outcome, protectProcess } = world;
  if (checker.activated !== null) return copyEnding(world);
  if (outcome !== null) return ownEnding(world, outcome);
  if (protectProcess.isAlive) return liveEnding(world, before);
  return deadEnding(world);
}

/** The copy ran. The primary's guest must be gone, or nobody there can know. */
function copyEnding(world: World): string | null {
  const { b, checker, guest, network, outcome, protectProcess } = world;
  if (outcome === 'taken-over') return 'taken over';
  if (!protectProcess.isAlive) {
    // Whoever cleans up learns that the copy runs.
    if (checker.isCopyRunning && guest.isAlive && mustCleanUp(world)) return null;
    return checker.isCopyRunning ? 'activated' : 'activated, then lost';
  }
  if (world.statusOn('a').level !== 'critical') return null;
  if (!network.isWhole || !b.isUp) return 'activated, cannot be told';
  // It died before anybody could note that it had run: nobody knows how far it came.
  return checker.isCopyRunning || isNotedRunning(b.disk) ? null : 'held, the active copy died';
}

/** The machine on the primary ended; what it said must be true. */
function ownEnding(world: World, outcome: string): string | null {
  const { faults, guest, buffer } = world;
  // A second signal while it asked: the guest is left as it was, for `tsremus stop`.
  if (outcome === 'held') return faults.struck.has('terminate') ? 'left held' : null;
  if (outcome === 'guest-ended') return faults.isGuestEnded ? 'guest ended' : null;
  if (faults.struck.has('crash a') && !guest.isAlive) return `${outcome}, then host A crashed`;
  if (faults.isGuestEnded) return `${outcome}, then guest ended`;
  const isOpen = buffer === null || !buffer.isHolding;
  return guest.isRunning && isOpen ? outcome : null;
}

/** `protect` lives and has not decided: it protects, or it is held for a reason. */
function liveEnding(world: World, before: Progress): string | null {
  const { b, checker, network, receive } = world;
  const { level } = world.statusOn('a');
  const canAsk = network.isWhole && b.isUp;
  // What an interface that came later sends is held, and that is said.
  const isOk = level === 'ok' || (level === 'warning' && world.faults.struck.has('plug-in'));
  if (canAsk && receive?.isAlive && isOk) {
    const now = progressOf(world);
    return now.acked > before.acked && now.count > before.count ? 'protected' : null;
  }
  if (level !== 'critical') return null;
  const { withoutWitness, buffered } = world.plan.config;
  const isDeciding = ['activating', 'active'].includes(checker.permission);
  const mustGoOn = withoutWitness === 'primary' && buffered && !isDeciding;
  if (!canAsk && !mustGoOn) return 'held, the backup is out of reach';
  if (checker.permission === 'active' && b.hypervisor.domains.length === 0) {
    return 'held, the active copy died';
  }
  // An owner that does not answer, whose host does: nobody may decide in its place yet.
  return receive?.isAlive && world.linkB?.isHung ? 'held, the backup is deaf' : null;
}

/** `protect` died without a decision: the backup has to do something, if it can. */
function deadEnding(world: World): string | null {
  const { a, b, buffer, checker, faults, guest, plan, receive } = world;
  if (faults.cleanedUp === 'stopped') {
    if (!guest.isAlive) return 'cleaned up, no guest';
    return guest.isRunning && !buffer?.isHolding ? 'cleaned up, the guest goes on' : null;
  }
  // It died before the backup had noted the session: that is no promise, and a person has to say
  // so.
  if (checker.permission === 'none' && faults.isLeftHeld) return 'held, nobody knows the session';
  if (guest.isAlive && checker.permission !== 'active' && mustCleanUp(world)) return null;
  if (checker.permission === 'promised') return 'promised, then protect died';
  if (!receive?.isAlive) {
    if (checker.acked < 0) return 'both died in the seed';
    return isStruck(world, ['kill-receive', 'crash b']) ? 'both died' : null;
  }
  if (checker.permission === 'active' && b.hypervisor.domains.length === 0) return 'both died';
  if (checker.acked < 0) return null;
  const { withoutWitness, buffered } = plan.config;
  // With -n the end of the link activates nothing: the guest may be running over there.
  const isLeft = withoutWitness !== 'backup' || (!buffered && faults.isLinkEndKnown);
  if (!isLeft || checker.permission !== 'standby') return null;
  if (world.statusOn('b').level !== 'critical') return null;
  if (a.isUp && guest.isRunning) {
    return buffered ? 'held, protect died' : 'runs unprotected, protect died';
  }
  return faults.isGuestEnded ? 'guest ended, protect died' : 'waits for failover';
}

/** The administrator cleans up, and can ask. */
function mustCleanUp({ a, b, plan, network, faults }: World): boolean {
  return plan.cleansUp && faults.cleanedUp === null && a.isUp && b.isUp && network.isWhole;
}

function isStruck(world: World, kinds: readonly string[]): boolean {
  return kinds.some((kind) => world.faults.struck.has(kind));
}
