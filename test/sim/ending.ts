/**
 * When a run has calmed down: is this an end that is allowed? Somebody runs, or is held for a
 * reason that is said. null: not (yet), ask again; a run for which that stays so is stuck.
 */
import type { World } from './world.ts';

/** How far things had come at some moment. */
export interface Progress {
  readonly acked: number;
  /** The primary's guest's count. */
  readonly count: number;
  /** Somebody had yet to continue, or to obey. */
  readonly isLate: boolean;
}

export function progressOf(world: World): Progress {
  const { checker, guest, faults } = world;
  return { acked: checker.acked, count: guest.memory, isLate: faults.latePending > 0 };
}

/** The end's name, or null. `before`: the progress two timeouts ago. */
export function endingOf(world: World, before: Progress): string | null {
  const ending = namedEnding(world, before);
  return ending !== null && standsStill(world, before) ? null : ending;
}

/**
 * Nobody runs the guest, and nothing that is known excuses it: it ended by itself, a host went
 * down, it was left held on somebody's word, or it has no buffer and nobody has decided where it
 * may run, or could tell. Nor does it run where protect was stopped for ever in a checkpoint and
 * its guard cannot take its place, or died in one together with its guard, or was stopped for ever
 * or died when it had paused a guest without a buffer: until a person types what status says.
 */
function standsStill(world: World, before: Progress): boolean {
  const { b, checker, copy, faults, guest, network, outcome, plan, protectProcess } = world;
  if (copy?.isRunning === true || world.isGuestEnded || outcome === 'held') return false;
  if (!guest.isAlive) return !isStruck(world, ['crash a', 'crash b']);
  if (guest.isRunning || guest.memory > before.count) return false;
  const isStopped = guest.isSuspended && protectProcess.isAlive && protectProcess.isStopped;
  if (isStopped && !canBeReplaced(world)) return false;
  // Who would resume it is stopped for ever, too, or died with it.
  const isLeftAlone = faults.isGuardStopped || faults.isUnguarded;
  if (guest.isSuspended && !protectProcess.isAlive && isLeftAlone) return false;
  const isLeft = protectProcess.isAlive ? protectProcess.isStopped : !plan.cleansUp;
  const isLeftPaused = outcome === null && isLeft && !guest.isSuspended;
  if (isLeftPaused && !plan.config.buffered) return false;
  // It went on there and is there no more: a person has to say what is to become of it.
  if (checker.permission === 'active' && world.isGoneFromB) return !isStruck(world, ['crash b']);
  // Of a host that is down for good nobody hears what it promised.
  return plan.config.buffered || (checker.permission === 'promised' && network.isWhole && b.isUp);
}

/** The guard of a protect that does not move can ask, and will be promised that no copy runs. */
function canBeReplaced(world: World): boolean {
  const { a, b, checker, faults, network } = world;
  const isOpen = checker.permission === 'standby' || checker.permission === 'promised';
  return isOpen && a.isUp && b.isUp && network.isWhole && !isDeaf(world) && faults.hasGuard;
}

function namedEnding(world: World, before: Progress): string | null {
  const { checker, faults, outcome, protectProcess } = world;
  // Somebody continues what is stopped, and it must do no harm then.
  if (faults.latePending > 0 || before.isLate) return null;
  if (outcome === null && protectProcess.isAlive && protectProcess.isStopped) {
    return stoppedEnding(world);
  }
  if (checker.permission === 'lost') return lostEnding(world);
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
    if (checker.isCopyRunning && guest.isAlive && mustCleanUp(world)) {
      return isDeaf(world) && world.faults.isLeftHeld ? 'activated, the backup is deaf' : null;
    }
    return checker.isCopyRunning ? 'activated' : 'activated, then lost';
  }
  if (world.statusOn('a').level !== 'critical') return null;
  if (!network.isWhole || !b.isUp) return 'activated, cannot be told';
  if (isDeaf(world)) return 'activated, the backup is deaf';
  // Its host was rebooted: nobody there runs it, and a person has to say what is to become of it.
  if (checker.isCopyRunning || mustSayLost(world)) return null;
  return 'held, the active copy died';
}

/** A person said that the copy is lost: the primary's guest goes on, if it is there. */
function lostEnding(world: World): string | null {
  const { a, guest, network, outcome, protectProcess } = world;
  if (!a.isUp || !guest.isAlive) return 'lost, and no guest';
  if (outcome !== null) return ownEnding(world, outcome) === null ? null : `lost, ${outcome}`;
  if (!network.isWhole) return 'lost, cannot be told';
  if (protectProcess.isAlive) return null;
  const ending = deadEnding(world);
  return ending === null ? null : `lost, ${ending}`;
}

/** The administrator on host B says that the guest is lost there. */
function mustSayLost({ a, b, plan, network, guest }: World): boolean {
  return plan.forces && a.isUp && b.isUp && network.isWhole && guest.isAlive;
}

/** The machine on the primary ended; what it said must be true. */
function ownEnding(world: World, outcome: string): string | null {
  const { faults, guest, buffer } = world;
  // A second signal while it asked: the guest is left as it was, for `tsremus stop`.
  if (outcome === 'held') return faults.struck.has('terminate') ? 'left held' : null;
  if (outcome === 'guest-ended') return world.isGuestEnded ? 'guest ended' : null;
  if (faults.struck.has('crash a') && !guest.isAlive) return `${outcome}, then host A crashed`;
  if (world.isGuestEnded) return isSaidToRun(world) ? null : `${outcome}, then guest ended`;
  const isOpen = buffer === null || !buffer.isHolding;
  return guest.isRunning && isOpen ? outcome : null;
}

/** Its guest is gone, and status on its host still says that it runs there. */
function isSaidToRun(world: World): boolean {
  return world.a.isUp && !world.guest.isAlive && world.statusOn('a').state === 'unprotected';
}

/** Nobody continues `protect`: what it said last must not look well, and the backup must act. */
function stoppedEnding(world: World): string | null {
  const { b, checker, guest, plan, receive } = world;
  const said = world.statusOn('a');
  // It was stopped when all that was left to it was to exit.
  if (said.state === 'ended' && guest.isRunning) return 'over, protect is stopped';
  if (said.level === 'ok') return null;
  // Its guard has to see to that.
  if (guest.isAlive && guest.isSuspended && canBeReplaced(world)) return null;
  if (checker.activated !== null) {
    return checker.isCopyRunning ? 'activated, protect is stopped' : 'activated, then lost';
  }
  if (world.isGuestEnded || !guest.isAlive) return 'guest ended, protect is stopped';
  if (checker.permission === 'promised' || checker.acked < 0) return 'protect is stopped';
  if (!b.isUp || !receive?.isAlive || isDeaf(world)) return 'both are stopped';
  if (checker.permission === 'active' && world.isGoneFromB) return 'both died';
  if (!isLeftToPerson(world) || world.statusOn('b').level !== 'critical') return null;
  const how = plan.config.buffered ? 'held' : 'runs unprotected';
  return `${how}, protect is stopped`;
}

/** The backup's process is there and takes nothing in, for good. */
function isDeaf({ receive, linkB }: World): boolean {
  return receive?.isAlive === true && (receive.isStopped || linkB?.isHung === true);
}

/** `protect` lives and has not decided: it protects, or it is held for a reason. */
function liveEnding(world: World, before: Progress): string | null {
  const { b, checker, network, receive } = world;
  const { level } = world.statusOn('a');
  const canAsk = network.isWhole && b.isUp;
  // What an interface that came later sends is held, and that is said.
  const isOk = level === 'ok' || (level === 'warning' && world.faults.struck.has('plug-in'));
  if (canAsk && receive?.isAlive && isOk) {
    // The primary hears of it, asks, and goes on without it: its host waits for it to end.
    if (receive.isToldToEnd) return null;
    const now = progressOf(world);
    return now.acked > before.acked && now.count > before.count ? 'protected' : null;
  }
  if (level !== 'critical') return null;
  if (isHeardOnly(world)) return null;
  if (!canAsk && !mustGoOn(world)) return 'held, the backup is out of reach';
  if (checker.permission === 'active' && world.isGoneFromB) {
    return 'held, the active copy died';
  }
  // What is active is not given up, and nobody but its owner lets it run.
  if (checker.permission === 'active' && receive?.isAlive && receive.isStopped) {
    return 'held, the owner of the active copy is stopped';
  }
  // An owner that does not answer, whose host does: nobody may decide in its place yet.
  return isDeaf(world) ? 'held, the backup is deaf' : null;
}

/** It was agreed that the primary goes on by itself, and nobody decides otherwise. */
function mustGoOn({ checker, plan }: World): boolean {
  const { withoutWitness, buffered } = plan.config;
  const isDecided = ['activating', 'active', 'lost'].includes(checker.permission);
  return withoutWitness === 'primary' && buffered && !isDecided;
}

/** The backup has a whole copy, and waits for a person. */
function isLeftToPerson({ checker, faults, plan }: World): boolean {
  const { withoutWitness, buffered } = plan.config;
  // With -n the end of the link activates nothing: the guest may be running over there.
  const isLeft = withoutWitness !== 'backup' || (!buffered && faults.isLinkEndKnown);
  return isLeft && checker.permission === 'standby';
}

/** What the primary says arrives, and no answer does: the backup can know that it is held. */
function isHeardOnly(world: World): boolean {
  const { b, checker, network, plan, receive } = world;
  const isOneWay = network.isBlocked('ba') && !network.isBlocked('ab') && b.isUp;
  const isOwned = receive?.isAlive === true && !isDeaf(world);
  const isOpen = checker.permission === 'standby' || checker.permission === 'activating';
  const { buffered, withoutWitness } = plan.config;
  // Where neither goes on by itself both wait for a person.
  const isAgreed = buffered && withoutWitness !== 'manual';
  return isOneWay && isOwned && isOpen && checker.acked >= 0 && isAgreed;
}

/** `protect` died without a decision: the backup has to do something, if it can. */
function deadEnding(world: World): string | null {
  const { a, buffer, checker, faults, guest, plan, receive } = world;
  // That it stays suspended is what its guard is for.
  if (a.isUp && guest.isAlive && guest.isSuspended && faults.isGuarded) return null;
  if (faults.cleanedUp === 'stopped') {
    if (!guest.isAlive) return 'cleaned up, no guest';
    return guest.isRunning && !buffer?.isHolding ? 'cleaned up, the guest goes on' : null;
  }
  // It died before the backup had noted the session: that is no promise, and a person has to say
  // so.
  if (checker.permission === 'none' && faults.isLeftHeld) return 'held, nobody knows the session';
  if (guest.isAlive && checker.permission !== 'active' && mustCleanUp(world)) {
    return isDeaf(world) && faults.isLeftHeld ? 'left held, the backup is deaf' : null;
  }
  if (checker.permission === 'promised') return 'promised, then protect died';
  if (isDeaf(world)) return 'protect died, the backup is deaf';
  if (!receive?.isAlive) {
    if (checker.acked < 0) return 'both died in the seed';
    return isStruck(world, ['kill-receive', 'crash b']) ? 'both died' : null;
  }
  if (checker.permission === 'active' && world.isGoneFromB) return 'both died';
  if (checker.acked < 0) return null;
  if (!isLeftToPerson(world) || world.statusOn('b').level !== 'critical') return null;
  if (a.isUp && guest.isRunning) {
    return plan.config.buffered ? 'held, protect died' : 'runs unprotected, protect died';
  }
  return world.isGuestEnded ? 'guest ended, protect died' : 'waits for failover';
}

/** The administrator cleans up, and can ask. */
function mustCleanUp({ a, b, plan, network, faults }: World): boolean {
  return plan.cleansUp && faults.cleanedUp === null && a.isUp && b.isUp && network.isWhole;
}

function isStruck(world: World, kinds: readonly string[]): boolean {
  return kinds.some((kind) => world.faults.struck.has(kind));
}
