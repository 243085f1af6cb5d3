/** Carries out the plan's faults, heals what heals, and knows what `-n` cannot help. */
import type { ControlRequest } from '../../src/registry/control.ts';
import type { SessionEntry } from '../../src/registry/port.ts';
import type { SimHost } from './host.ts';
import type { Direction, Side } from './link.ts';
import type { Fault, FaultKind } from './plan.ts';
import type { SimProcess } from './process.ts';
import { declareLost, runLeft, stopLeft } from './programs.ts';
import type { World } from './world.ts';

export class FaultInjector {
  readonly #world: World;
  #onCall: Fault[] = [];
  readonly #calls = new Map<Fault, number>();
  #isHungForGood = false;
  #isFullForGood = false;
  /** What struck whom, for the verdict at the end. */
  readonly struck = new Set<string>();
  /** The primary's guest could not be paused by anybody since then. */
  #helplessFromMs: number | null = null;
  #helplessUntilMs: number | null = null;
  isGuestEnded = false;
  /** Its guard was killed, and protect has not had the time to start another one, or is dead. */
  isUnguarded = false;
  #guardsKilled = 0;
  isFailoverOrdered = false;
  /** The backup has decided to activate. */
  isDecidedOnB = false;
  /** The end of the link was known on host B before that. */
  isLinkEndKnown = false;
  /** What the administrator who cleans up achieved; null: nothing yet. */
  cleanedUp: string | null = null;
  /** Stopped processes that will be continued late, requests that will be obeyed late. */
  latePending = 0;
  /** How much later the next request to suspend is obeyed, ms. */
  #lateSuspendMs = 0;
  /** Somebody cleans up after protect when it is killed. */
  #isAwaited = false;
  /** He was told last that it stays held. */
  isLeftHeld = false;

  constructor(world: World) {
    this.#world = world;
  }

  arm(): void {
    for (const fault of this.#world.plan.faults) {
      const { trigger } = fault;
      if (trigger.kind === 'call') this.#onCall.push(fault);
      else this.#world.after(trigger.atMs, () => this.strike(fault.fault));
    }
    this.#forceWhenDead();
    this.#loseWhenAbsent();
  }

  beforeCall(process: SimProcess, what: string): void {
    if (this.#onCall.length === 0) return;
    for (const fault of [...this.#onCall]) {
      const { trigger } = fault;
      if (trigger.kind !== 'call' || trigger.host !== this.#world.sideOf(process.host)) continue;
      if (!what.startsWith(trigger.what)) continue;
      const count = (this.#calls.get(fault) ?? 0) + 1;
      this.#calls.set(fault, count);
      if (count < trigger.count) continue;
      this.#onCall = this.#onCall.filter((other) => other !== fault);
      this.#world.trace('*', () => `before "${what}"`);
      this.strike(fault.fault);
    }
  }

  get #isCalm(): boolean {
    return this.#world.first.isCalm;
  }

  /** Nothing new goes wrong; everything that can heal has healed. */
  calm(): void {
    const { a, b, network, plan, sessions } = this.#world;
    this.#world.isCalm = true;
    this.#world.trace('.', () => 'calm');
    network.healAll();
    for (const direction of plan.cutForGood) network.cut(direction);
    network.thaw('a');
    network.thaw('b');
    for (const host of [a, b]) {
      host.hypervisor.setFrozen(false);
      host.wake();
      for (const process of host.processes) if (!process.isStoppedForGood) process.continue();
      host.disk.isFull = sessions.some((one) => one.b === host && one.faults.#isFullForGood);
      host.disk.isReadOnly = false;
      host.disk.failsLeft = 0;
      host.disk.shortWritesLeft = 0;
      host.diskSlowMs = 0;
    }
    for (const session of sessions) session.faults.#calmSession();
  }

  #calmSession(): void {
    const { linkB, plan, protectProcess, nowMs } = this.#world;
    const leaseMs = this.struck.has('sleep a') ? plan.config.heartbeatTimeoutMs : 0;
    this.#onCall = [];
    if (!this.#isHungForGood) linkB?.heal();
    if (!protectProcess.isStoppedForGood) this.#helplessUntilMs ??= nowMs + leaseMs;
  }

  /**
   * Without a buffer somebody has to pause the guest. While tsremus on the primary is dead or
   * stopped nobody does: such a violation is expected, and counted. The end of the link that a
   * killed process leaves behind must not lead to one, so the backup must have seen silence.
   */
  excuse(rule: string): string | null {
    const { plan, a, protectProcess, outcome, nowMs } = this.#world;
    if (plan.config.buffered || rule !== 'one-active') return null;
    if (!protectProcess.isAlive && a.isUp && outcome === null) {
      if (this.isFailoverOrdered) return 'protect killed, failover ordered';
      return this.isLinkEndKnown ? null : 'protect killed';
    }
    if (this.#helplessFromMs === null || nowMs < this.#helplessFromMs) return null;
    if (nowMs > (this.#helplessUntilMs ?? nowMs)) return null;
    // By its clock, which stood still, the guest has a lease for a while yet.
    if (this.struck.has('sleep a')) return 'primary host suspended';
    return this.struck.has('stall a') ? 'primary host stalled' : 'protect stopped';
  }

  /** The administrator who looks after a guest that is held because the copy is truly dead. */
  #forceWhenDead(): void {
    const { plan } = this.#world;
    if (!plan.forces) return;
    // He waits for an answer before he types again.
    const patienceMs = 4 * plan.config.heartbeatTimeoutMs + 2 * plan.askTimeoutMs;
    this.#world.after(patienceMs, () => {
      const { checker, isGoneFromB, protectProcess, receive } = this.#world;
      // He looks first: the copy is gone, and never ran.
      const isDead = receive?.isAlive === false && isGoneFromB && checker.activated === null;
      if (isDead && protectProcess.isAlive && !protectProcess.isStopped) {
        const what = 'the administrator vouches that the copy never ran and never will';
        this.#world.trace('A', () => what);
        checker.isVouched = true;
        this.#order(this.#world.a, { verb: 'stop', force: true });
      }
      this.#forceWhenDead();
    });
  }

  /** The administrator of host B, where a guest took over and is no more. */
  #loseWhenAbsent(): void {
    const { plan } = this.#world;
    if (!plan.forces) return;
    this.#world.after(4 * plan.config.heartbeatTimeoutMs, () => {
      const { a, b, checker, guest, isGoneFromB } = this.#world;
      const again = (): void => this.#loseWhenAbsent();
      const isGone = b.isUp && isGoneFromB && !checker.isCopyRunning;
      if (!isGone || checker.permission !== 'active' || !a.isUp || !guest.isAlive) return again();
      checker.isLostTyped = true;
      this.#world.touched();
      declareLost(this.#world).then((what) => {
        this.#world.trace('B', () => `tsremus stop --lost: ${what}`);
        if (what !== 'lost') again();
      }, again);
    });
  }

  /**
   * `tsremus stop` and `tsremus failover`: a request to the session of the host, if it is there.
   */
  #order(host: SimHost, request: ControlRequest): void {
    const entry = this.#entryOf(host);
    if (entry === undefined || entry.liveness !== 'alive') return;
    const process = host.start(`tsremus ${request.verb}`, this.#world);
    const registry = host.registry.portFor(process);
    const end = (): void => process.exit();
    process.later(0, () => {
      registry.request(entry.socketPath, request, { silenceMsMax: 25_000 }).then(end, end);
    });
  }

  /**
   * The administrator who finds what a killed protect left, and tries again until it is settled.
   */
  #cleanUp(): void {
    const { plan, random } = this.#world;
    if (!plan.cleansUp) return;
    this.#world.after(plan.config.heartbeatTimeoutMs * random.between(0.1, 4), () => {
      const { a, protectProcess } = this.#world;
      if (!a.isUp || protectProcess.isAlive || this.cleanedUp !== null) return;
      this.#world.touched();
      const again = (): void => this.#cleanUp();
      stopLeft(this.#world, false).then((kind) => {
        this.#world.trace('A', () => `tsremus stop: ${kind}`);
        // Its guard may have settled it meanwhile, at the guest's own end; that is seen, too.
        if (this.isLeftHeld && kind === 'nothing left' && this.#entryOf(a) === undefined) {
          this.#world.checker.fail('nothing-silent', 'a held session is not to be seen any more');
        }
        this.isLeftHeld = kind === 'held';
        if (this.isLeftHeld) return again();
        this.cleanedUp = kind;
        this.#world.protectAgain();
      }, again);
    });
  }

  #heals(forMs: number, heal: () => void): void {
    this.#world.after(forMs, () => {
      if (!this.#isCalm) heal();
    });
  }

  strike(fault: FaultKind): void {
    if (this.#isCalm) return;
    // Whoever protects the guest now is struck.
    const { holder } = this.#world;
    if (holder !== this.#world) return holder.faults.strike(fault);
    this.#world.trace('*', () => `fault ${JSON.stringify(fault)}`);
    this.#note(fault);
    this.#carryOut(fault);
  }

  /** What strikes a host strikes every session. */
  #note(fault: FaultKind): void {
    if (!('host' in fault)) {
      this.struck.add(fault.kind);
      return;
    }
    const host = this.#world[fault.host];
    for (const session of this.#world.first.sessions) {
      session.faults.struck.add(`${fault.kind} ${session.sideOf(host)}`);
    }
  }

  #carryOut(fault: FaultKind): void {
    const { a, b, connection, linkA, linkB } = this.#world;
    switch (fault.kind) {
      case 'cut':
        return this.#cut(fault.directions, fault.forMs);
      case 'reset':
        connection?.reset(fault.sides, 'connection reset');
        return;
      case 'kill-protect':
        return this.#killProtect(fault.isAfter === true);
      case 'kill-receive':
        this.#kill(this.#world.receive, fault.isAfter === true);
        return;
      case 'kill-guard':
        return this.#killGuard();
      case 'stop-protect':
        return this.#stopProtect(fault.forMs);
      case 'stop-receive':
        return this.#stopReceive(fault.forMs);
      case 'stall':
        return this.#stall(this.#world[fault.host], fault.forMs, false);
      case 'sleep':
        return this.#stall(this.#world[fault.host], fault.forMs, true);
      case 'stop-for-good':
        return this.#stopForGood(fault.who, fault.lateMs);
      case 'crash':
        return this.#crash(fault.host, fault.rebootMs);
      case 'wall-step':
        (fault.host === 'a' ? a : b).stepWall(fault.byMs);
        return;
      case 'save-failed':
        this.#world.save?.fail();
        return;
      case 'late-suspend':
        this.#lateSuspendMs = fault.byMs;
        return;
      case 'guest-ended':
        return this.#endGuest(fault.isReboot === true ? 'reboot' : 'poweroff');
      case 'config-lies':
        this.#world.configLies = true;
        return;
      case 'damage':
        if (linkA !== null) linkA.damages = true;
        return;
      case 'stop':
        return this.#order(a, { verb: 'stop', force: false });
      case 'terminate-receive':
        this.#world.receive?.terminate();
        return;
      case 'terminate':
        return this.#terminateProtect();
      case 'failover':
        return this.#orderFailover();
      case 'plug-in':
        this.#world.buffer?.plugIn(fault.port);
        return;
      case 'unplug':
        return this.#unplug();
      case 'lose-output':
        return this.#world.loseOutput(fault.leaks, fault.forMs);
      case 'hang':
        linkB?.hang(fault.isStream);
        if (fault.forMs === null) this.#isHungForGood = true;
        else this.#heals(fault.forMs, () => linkB?.heal());
        return;
      case 'mirror-gone':
        if (this.#world.diskA !== null) this.#world.diskA.isCaptured = false;
        return;
      default:
        this.#carryOutOnBackup(fault);
        return;
    }
  }

  #carryOutOnBackup(fault: FaultKind): void {
    const { hypervisor, disk } = this.#world.b;
    switch (fault.kind) {
      case 'apply-fails':
        hypervisor.appliesLeftToFail = 1;
        return;
      case 'build-fails':
        hypervisor.buildsLeftToFail = 1;
        return;
      case 'unpause-fails':
        hypervisor.unpausesLeftToFail = fault.times;
        return;
      case 'discard-fails':
        hypervisor.destroysLeftToFail = fault.times;
        return;
      case 'disk-part-fails':
        if (this.#world.diskB !== null) this.#world.diskB.failsLeft = 1;
        return;
      case 'disk-full':
        disk.isFull = true;
        if (fault.forMs === null) {
          this.#isFullForGood = true;
          return;
        }
        return this.#heals(fault.forMs, () => {
          disk.isFull = false;
        });
      case 'disk-read-only':
        disk.isReadOnly = true;
        return this.#heals(fault.forMs, () => {
          disk.isReadOnly = false;
        });
      case 'short-writes':
        disk.shortWritesLeft = fault.times;
        return;
      case 'disk-slow':
        this.#world.b.diskSlowMs = fault.byMs;
        return this.#heals(fault.forMs, () => {
          this.#world.b.diskSlowMs = 0;
        });
      case 'disk-lies':
        disk.failMode = 'after';
        disk.failsLeft = fault.times;
        return;
      default:
        throw new Error(`no such fault: ${fault.kind}`);
    }
  }

  /** He gives his word where he saw that host A is off, with its guest. */
  #orderFailover(): void {
    const { b, checker, guest } = this.#world;
    const vouched = this.struck.has('crash a') && !guest.isAlive;
    this.isFailoverOrdered = true;
    const said = vouched ? 'word' : 'order';
    checker.ordered(said);
    const isLeft = this.#entryOf(b)?.liveness === 'dead' && b.isUp;
    if (!isLeft) return this.#order(b, { verb: 'failover', vouched });
    this.#world.touched();
    void runLeft(this.#world, said).then((what) => {
      this.#world.trace('B', () => `tsremus failover: ${what}`);
    });
  }

  /** The session of that host, as its status has it. */
  #entryOf(host: SimHost): SessionEntry | undefined {
    const { guestUuid } = this.#world;
    const role = this.#world.sideOf(host) === 'a' ? 'primary' : 'backup';
    return host.registry
      .entries()
      .find(({ status }) => status.role === role && status.uuid === guestUuid);
  }

  #kill(process: SimProcess | null, isAfter: boolean): void {
    if (process !== null && isAfter) process.isDoomed = true;
    else process?.exit();
  }

  #killProtect(isAfter: boolean): void {
    const { protectProcess } = this.#world;
    if (!protectProcess.isAlive) return;
    this.#cleanUpAfter(protectProcess);
    this.#kill(protectProcess, isAfter);
  }

  /** Once; its guard may end one that is stopped. */
  #cleanUpAfter(protectProcess: SimProcess): void {
    if (!this.#isAwaited)
      protectProcess.onExit(() => this.#world.outcome !== null || this.#cleanUp());
    this.#isAwaited = true;
  }

  #killGuard(): void {
    const { protectProcess, plan } = this.#world;
    const guard = this.#guard;
    if (guard === undefined) return;
    guard.exit();
    this.isUnguarded = true;
    // The first is started again at once, the next ones after a second and more (KeptGuard).
    const restartMs = 1_000 * this.#guardsKilled + plan.delayMsMin;
    this.#guardsKilled += 1;
    protectProcess.later(restartMs, () => {
      this.isUnguarded = false;
    });
  }

  #terminateProtect(): void {
    const { protectProcess } = this.#world;
    if (!protectProcess.isAlive) return;
    protectProcess.terminate();
    // Before it listens for signals it dies of one.
    if (!protectProcess.isAlive) this.#cleanUp();
  }

  #unplug(): void {
    const { buffer, random } = this.#world;
    const present = buffer?.present ?? [];
    if (present.length > 0) buffer?.unplug(random.pick(present));
  }

  #cut(directions: readonly Direction[], forMs: number): void {
    const { network } = this.#world;
    for (const direction of directions) {
      network.cut(direction);
      this.#heals(forMs, () => network.heal(direction));
    }
  }

  /** A request to suspend is being made: how much later than usual it is obeyed, ms. */
  takeLateSuspend(): number {
    const lateMs = this.#lateSuspendMs;
    this.#lateSuspendMs = 0;
    if (lateMs > 0) this.latePending += 1;
    return lateMs;
  }

  /** Its guard was there, as far as faults are concerned. */
  get isGuarded(): boolean {
    const { struck, isUnguarded } = this;
    return !isUnguarded && !struck.has('stop-for-good') && !struck.has('crash a');
  }

  /** One that could act now. */
  get hasGuard(): boolean {
    const guard = this.#guard;
    return guard?.isAlive === true && !guard.isStopped;
  }

  /** By a fault that nothing heals. */
  get isGuardStopped(): boolean {
    return this.#guard?.isStoppedForGood === true;
  }

  get #guard(): SimProcess | undefined {
    return this.#world.a.processes.find(
      ({ name, world }) => name === 'tsremus guard' && world === this.#world,
    );
  }

  /** Nobody can pause the primary's guest; returns what says that somebody can, `moreMs` later. */
  #helpless(): (moreMs?: number) => void {
    this.#helplessFromMs ??= this.#world.nowMs;
    this.#helplessUntilMs = null;
    return (moreMs = 0) => {
      const { protectProcess, nowMs } = this.#world;
      if (!protectProcess.isStoppedForGood) this.#helplessUntilMs = nowMs + moreMs;
    };
  }

  #stopProtect(forMs: number): void {
    const { protectProcess } = this.#world;
    this.#cleanUpAfter(protectProcess);
    protectProcess.stop();
    const isOver = this.#helpless();
    this.#heals(forMs, () => {
      isOver();
      protectProcess.continue();
    });
  }

  #stopReceive(forMs: number): void {
    const { receive } = this.#world;
    receive?.stop();
    this.#heals(forMs, () => receive?.continue());
  }

  /** SIGSTOP, and no SIGCONT that healing brings; null: none at all. */
  #stopForGood(who: 'protect' | 'receive' | 'guard', lateMs: number | null): void {
    const { protectProcess, receive } = this.#world;
    const process = { protect: protectProcess, receive, guard: this.#guard }[who];
    if (!process?.isAlive) return;
    if (process === protectProcess) this.#cleanUpAfter(process);
    process.stopForGood();
    const isOver = who === 'protect' ? this.#helpless() : () => {};
    if (lateMs === null) return;
    this.latePending += 1;
    this.#world.after(lateMs, () => {
      this.latePending -= 1;
      process.continue();
      isOver();
    });
  }

  /** What comes for a host that stands still is lost and sent again, or waits in its memory. */
  #stall(host: SimHost, forMs: number, isAsleep: boolean): void {
    const { network, random, first } = this.#world;
    const stopped = [...host.processes];
    for (const process of stopped) process.stop();
    host.hypervisor.setFrozen(true);
    if (isAsleep) host.sleep();
    if (isAsleep || random.chance(0.5)) network.freeze(host.side);
    const ends = first.sessions
      .filter(({ a }) => a === host)
      .map(({ faults, plan }) => ({
        isOver: faults.#helpless(),
        leaseMs: isAsleep ? plan.config.heartbeatTimeoutMs : 0,
      }));
    this.#heals(forMs, () => {
      host.wake();
      for (const { isOver, leaseMs } of ends) isOver(leaseMs);
      host.hypervisor.setFrozen(false);
      network.thaw(host.side);
      for (const process of stopped) if (!process.isStoppedForGood) process.continue();
    });
  }

  #crash(side: Side, rebootMs: number | null): void {
    const { a, b } = this.#world;
    const host = side === 'a' ? a : b;
    if (!host.isUp) return;
    host.crash();
    for (const session of this.#world.first.sessions) session.crashed(host);
    if (rebootMs === null) return;
    this.#heals(rebootMs, () => {
      host.isUp = true;
    });
  }

  #endGuest(end: 'poweroff' | 'reboot'): void {
    const { a, domain, guest } = this.#world;
    if (!guest.isAlive || !guest.isRunning) return;
    this.isGuestEnded = true;
    a.hypervisor.endGuest(domain, end);
  }
}
