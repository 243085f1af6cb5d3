/** Carries out the plan's faults, heals what heals, and knows what `-n` cannot help. */
import type { Direction } from './link.ts';
import type { Fault, FaultKind } from './plan.ts';
import type { World } from './world.ts';

export class FaultInjector {
  readonly #world: World;
  #onEffect: Fault[] = [];
  #isCalm = false;
  #isHungForGood = false;
  /** What struck whom, for the verdict at the end. */
  readonly struck = new Set<string>();
  /** The primary's guest could not be paused by anybody since then. */
  #helplessFromMs: number | null = null;
  #helplessUntilMs: number | null = null;
  isGuestEnded = false;

  constructor(world: World) {
    this.#world = world;
  }

  arm(): void {
    for (const fault of this.#world.plan.faults) {
      const { trigger } = fault;
      if (trigger.kind === 'effect') this.#onEffect.push(fault);
      else this.#world.after(trigger.atMs, () => this.#strike(fault.fault));
    }
    this.#forceWhenDead();
  }

  beforeEffect(host: 'a' | 'b', count: number): void {
    if (this.#onEffect.length === 0) return;
    const isDue = ({ trigger }: Fault): boolean =>
      trigger.kind === 'effect' && trigger.host === host && trigger.count === count;
    const due = this.#onEffect.filter(isDue);
    if (due.length === 0) return;
    this.#onEffect = this.#onEffect.filter((fault) => !isDue(fault));
    for (const fault of due) this.#strike(fault.fault);
  }

  /** Nothing new goes wrong; everything that can heal has healed. */
  calm(): void {
    const { a, b, network, plan } = this.#world;
    this.#isCalm = true;
    this.#onEffect = [];
    this.#world.trace('.', () => 'calm');
    if (plan.isCutForGood) {
      network.cut('ab');
      network.cut('ba');
    } else {
      network.healAll();
    }
    network.thaw('a');
    network.thaw('b');
    a.continue();
    b.continue();
    a.guest.isFrozen = false;
    if (b.copy.guest !== null) b.copy.guest.isFrozen = false;
    if (!this.#isHungForGood) b.heal();
    b.store.isFull = false;
    b.store.slowMs = 0;
    b.store.liesLeft = 0;
    this.#helplessUntilMs ??= this.#world.nowMs;
    b.noteProtecting();
  }

  /**
   * Without a buffer somebody has to pause the guest. While tsremus on the primary is dead or
   * stopped nobody does: such a violation is expected, and counted. The end of the link that a
   * killed process leaves behind must not lead to one, so the backup must have seen silence.
   */
  excuse(rule: string): string | null {
    const { plan, a, b, nowMs } = this.#world;
    if (plan.config.buffered || rule !== 'one-active') return null;
    if (!a.process.isAlive && a.isUp && a.outcome === null) {
      if (b.isFailoverOrdered) return 'protect killed, failover ordered';
      return b.isLinkEndKnown ? null : 'protect killed';
    }
    if (this.#helplessFromMs === null || nowMs < this.#helplessFromMs) return null;
    if (nowMs > (this.#helplessUntilMs ?? nowMs)) return null;
    return this.struck.has('stall a') ? 'primary host stalled' : 'protect stopped';
  }

  /** The administrator who looks after a guest that is held because the copy is truly dead. */
  #forceWhenDead(): void {
    const { plan } = this.#world;
    if (!plan.forces) return;
    this.#world.after(4 * plan.config.heartbeatTimeoutMs, () => {
      const { a, b, checker } = this.#world;
      // He looks first: the copy is gone, and never ran.
      const isDead = !b.process.isAlive && b.copy.isGone && checker.activated === null;
      if (isDead && a.process.isAlive && !a.process.isStopped) {
        this.#world.trace(
          'A',
          () => 'the administrator vouches that the copy never ran and never will',
        );
        checker.isVouched = true;
        a.dispatch({ kind: 'stop', force: true, by: 'command' });
      }
      this.#forceWhenDead();
    });
  }

  #heals(forMs: number, heal: () => void): void {
    this.#world.after(forMs, () => {
      if (!this.#isCalm) heal();
    });
  }

  #strike(fault: FaultKind): void {
    if (this.#isCalm) return;
    this.#world.trace('*', () => `fault ${JSON.stringify(fault)}`);
    this.struck.add('host' in fault ? `${fault.kind} ${fault.host}` : fault.kind);
    this.#carryOut(fault);
    this.#world.b.noteProtecting();
  }

  #carryOut(fault: FaultKind): void {
    const { a, b, connection } = this.#world;
    switch (fault.kind) {
      case 'cut':
        this.#cut(fault.directions, fault.forMs);
        return;
      case 'reset':
        connection.reset(fault.sides, 'connection reset');
        return;
      case 'kill-protect':
        a.kill();
        return;
      case 'kill-receive':
        b.kill();
        return;
      case 'stop-protect':
        this.#stopProtect(fault.forMs, false);
        return;
      case 'stop-receive':
        this.#stopReceive(fault.forMs, false);
        return;
      case 'stall':
        if (fault.host === 'a') this.#stopProtect(fault.forMs, true);
        else this.#stopReceive(fault.forMs, true);
        return;
      case 'crash':
        this.#crash(fault.host, fault.rebootMs);
        return;
      case 'save-failed':
        a.process.run(() => a.save.fail());
        return;
      case 'guest-ended':
        this.#endGuest();
        return;
      case 'damage':
        a.save.damages = true;
        return;
      case 'stop':
        a.dispatch({ kind: 'stop', force: false, by: 'command' });
        return;
      case 'failover':
        b.failover();
        return;
      case 'plug-in':
        a.buffer?.plugIn(fault.port);
        return;
      case 'unplug':
        this.#unplug();
        return;
      case 'hang':
        this.#hang(fault.isStream, fault.forMs);
        return;
      default:
        this.#carryOutOnBackup(fault);
        return;
    }
  }

  #carryOutOnBackup(fault: FaultKind): void {
    const { copy, store } = this.#world.b;
    switch (fault.kind) {
      case 'apply-fails':
        copy.appliesLeftToFail = 1;
        return;
      case 'build-fails':
        copy.buildsLeftToFail = 1;
        return;
      case 'unpause-fails':
        copy.unpausesLeftToFail = fault.times;
        return;
      case 'discard-fails':
        copy.discardsLeftToFail = fault.times;
        return;
      case 'disk-full':
        store.isFull = true;
        this.#heals(fault.forMs, () => {
          store.isFull = false;
        });
        return;
      case 'disk-slow':
        store.slowMs = fault.byMs;
        this.#heals(fault.forMs, () => {
          store.slowMs = 0;
        });
        return;
      case 'disk-lies':
        store.liesLeft = fault.times;
        return;
      default:
        throw new Error(`no such fault: ${fault.kind}`);
    }
  }

  #unplug(): void {
    const { a, random } = this.#world;
    const present = a.buffer?.present ?? [];
    if (present.length > 0) a.buffer?.unplug(random.pick(present));
  }

  #hang(isStream: boolean, forMs: number | null): void {
    const { b } = this.#world;
    b.hang(isStream);
    if (forMs === null) this.#isHungForGood = true;
    else this.#heals(forMs, () => b.heal());
  }

  #cut(directions: readonly Direction[], forMs: number): void {
    const { network } = this.#world;
    for (const direction of directions) {
      network.cut(direction);
      this.#heals(forMs, () => network.heal(direction));
    }
  }

  #stopProtect(forMs: number, isHost: boolean): void {
    const { a, network } = this.#world;
    a.process.stop();
    if (isHost) {
      a.guest.isFrozen = true;
      this.#mayFreeze('a');
    }
    this.#helplessFromMs ??= this.#world.nowMs;
    this.#helplessUntilMs = null;
    this.#heals(forMs, () => {
      this.#helplessUntilMs = this.#world.nowMs;
      a.guest.isFrozen = false;
      network.thaw('a');
      a.continue();
    });
  }

  /** What comes for a host that stands still is lost and sent again, or waits in its memory. */
  #mayFreeze(side: 'a' | 'b'): void {
    const { network, random } = this.#world;
    if (random.chance(0.5)) network.freeze(side);
  }

  #stopReceive(forMs: number, isHost: boolean): void {
    const { b, network } = this.#world;
    b.process.stop();
    if (isHost) {
      this.#mayFreeze('b');
      if (b.copy.guest !== null) b.copy.guest.isFrozen = true;
    }
    this.#heals(forMs, () => {
      network.thaw('b');
      if (b.copy.guest !== null) b.copy.guest.isFrozen = false;
      b.continue();
      b.noteProtecting();
    });
  }

  #crash(host: 'a' | 'b', rebootMs: number | null): void {
    const { a, b } = this.#world;
    const crashed = host === 'a' ? a : b;
    if (!crashed.isUp) return;
    crashed.crash();
    if (rebootMs === null) return;
    this.#heals(rebootMs, () => {
      crashed.isUp = true;
    });
  }

  #endGuest(): void {
    const { a } = this.#world;
    if (!a.guest.isAlive || !a.guest.isRunning) return;
    a.guest.isAlive = false;
    this.isGuestEnded = true;
    a.process.later(this.#world.plan.tickMs, () => {
      a.dispatch({ kind: 'guest-ended', reason: 'poweroff' });
    });
  }
}
