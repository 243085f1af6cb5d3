/**
 * Two hosts, a network, a guest, its clients: all from one seed. The programs that run on the hosts
 * are the ones that ship; what they reach their hosts by is the simulator's. One thing happens at a
 * time: an event, then everything that the programs make of it until they wait again. Runs until a
 * rule is broken or the run has come to a good end; the same seed gives the same hash of it all.
 */
import { createHash, type Hash } from 'node:crypto';
import type { BackupEffect } from '../../src/core/backup/types.ts';
import { InvariantError } from '../../src/core/invariant.ts';
import type { Message } from '../../src/link/messages.ts';
import type { Protection } from '../../src/session/primary/protection.ts';
import { Checker, type CopyContent, type Violation } from './checker.ts';
import {
  type DiskContent,
  type DiskEpoch,
  diskBarrier,
  type SimBackupDisk,
  type SimPrimaryDisk,
} from './disk-part.ts';
import { endingOf, type Progress, progressOf } from './ending.ts';
import { EventQueue } from './event-queue.ts';
import { FaultInjector } from './faults.ts';
import { Guest } from './guest.ts';
import { SimHost } from './host.ts';
import { type Domain, guestName } from './hypervisor.ts';
import { Connection, Network, type Side, type Timeline } from './link.ts';
import type { Machines } from './machines.ts';
import type { OutputBuffer } from './output-buffer.ts';
import { outputBarrier } from './output-port.ts';
import { type Plan, planOf } from './plan.ts';
import type { SimProcess } from './process.ts';
import { protect, type Said, statusOn } from './programs.ts';
import type { SimPulse } from './pulse.ts';
import { Random } from './random.ts';
import { agreedOn, type RecordPermission, recordOn } from './record.ts';
import type { SimLink } from './wire.ts';

export interface RunResult {
  readonly seed: number;
  readonly violation: Violation | null;
  /** Set when the violation is one that `-n` cannot prevent: its kind. */
  readonly expected: string | null;
  /** How the run ended, one of a few words. */
  readonly ending: string;
  readonly transcript: readonly string[];
  readonly steps: number;
  /** Of all that happened. */
  readonly hash: string;
}

/** More events than this in one run is a loop somewhere. */
const stepsMax = 200_000;

/** What the programs made of the last event is done when nothing of it is left to run. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

export class World implements Timeline {
  readonly plan: Plan;
  readonly machines: Machines;
  readonly random: Random;
  readonly checker: Checker;
  readonly network: Network;
  readonly a: SimHost;
  readonly b: SimHost;
  readonly faults: FaultInjector;
  /** Host A's; null with -n. In the kernel, so it survives the process, not the host. */
  readonly buffer: OutputBuffer | null;
  /** The disk of host B. */
  readonly diskOfB: DiskContent = { epoch: -1, disk: -1 };
  readonly guest: Guest;
  readonly domain: Domain;
  readonly protectProcess: SimProcess;
  protection: Protection | null = null;
  receive: SimProcess | null = null;
  linkA: SimLink | null = null;
  linkB: SimLink | null = null;
  connection: Connection<Message> | null = null;
  diskConnection: Connection<DiskEpoch> | null = null;
  pulseOfB: SimPulse | null = null;
  /** How protect ended; null: it runs, or was killed. */
  outcome: string | null = null;
  outputEndsLeftToFail = 0;
  #diskA: SimPrimaryDisk | null = null;
  diskB: SimBackupDisk | null = null;
  #built: Omit<CopyContent, 'disk' | 'diskEpoch'> | null = null;
  /** An epoch of which a piece was damaged on its way: nothing from it on becomes whole. */
  #damagedFrom = Number.POSITIVE_INFINITY;
  readonly #queue = new EventQueue();
  readonly #transcript: string[] | null;
  readonly #hash: Hash = createHash('sha1');
  #isTouched = false;
  nowMs = 0;
  /** When the primary heard its backup last; while it stands still, no time passes. */
  #heardByAMs = 0;
  #echoedToA = 0;
  #steps = 0;
  ending: string | null = null;

  constructor(plan: Plan, machines: Machines, isVerbose: boolean) {
    this.plan = plan;
    this.machines = machines;
    this.random = new Random(plan.seed ^ 0x5bd1e995);
    this.#transcript = isVerbose ? [] : null;
    const { heartbeatTimeoutMs: timeoutMs, buffered, ...rules } = this.plan.config;
    this.checker = new Checker({ ...rules, isBuffered: buffered, timeoutMs }, () => this.nowMs);
    this.network = new Network(this, this.plan.delayMsMin, this.plan.delayMsMax);
    this.a = new SimHost(this, 'a');
    this.b = new SimHost(this, 'b');
    this.b.disk.onName = (path) => this.#recordChanged(path);
    this.buffer = buffered ? new machines.OutputBuffer(plan.buffer, this.checker) : null;
    this.guest = new Guest('a', 0, 0);
    this.domain = this.a.hypervisor.add(guestName, this.guest);
    this.protectProcess = this.a.start('tsremus protect');
    this.faults = new FaultInjector(this);
  }

  after(delayMs: number, run: () => void): void {
    this.#queue.push(this.nowMs + delayMs, this.random.next(), run);
  }

  trace(who: string, text: () => string): void {
    const line = `${this.nowMs.toFixed(1).padStart(9)} ms  ${who}  ${text()}`;
    this.#hash.update(line);
    this.#transcript?.push(line);
  }

  /** A program runs: the event is over when that has come to rest. */
  touched(): void {
    this.#isTouched = true;
  }

  beforeCall(process: SimProcess, what: string): void {
    if (process === this.receive && /^create .*\.decision\./.test(what)) {
      this.faults.isDecidingOnB = true;
    }
    this.faults.beforeCall(process, what);
  }

  /** A program found a bug of its own. */
  broke(error: unknown): void {
    if (error instanceof InvariantError) this.checker.fail('invariant', error.message);
    else throw error;
  }

  async run(): Promise<RunResult> {
    this.#guestWorks();
    this.#startProtect();
    this.faults.arm();
    this.#watch();
    await this.#loop();
    const { violation } = this.checker;
    if (violation !== null) this.trace('!', () => `${violation.rule}: ${violation.text}`);
    const expected = violation === null ? null : this.faults.excuse(violation.rule);
    // Nothing that still waits may run on behind the next run's back.
    for (const host of [this.a, this.b]) for (const process of [...host.processes]) process.exit();
    return {
      seed: this.plan.seed,
      violation,
      expected,
      ending: this.ending ?? 'broken',
      transcript: this.#transcript ?? [],
      steps: this.#steps,
      hash: this.#hash.digest('hex'),
    };
  }

  async #loop(): Promise<void> {
    let bug: unknown = null;
    const onBug = (error: unknown): void => {
      bug ??= error;
    };
    process.on('unhandledRejection', onBug);
    try {
      while (this.checker.violation === null && this.ending === null) {
        const next = this.#queue.pop();
        if (next === undefined) throw new Error('the simulator ran dry');
        this.#passTo(next.atMs);
        this.#steps += 1;
        if (this.#steps > stepsMax) this.checker.fail('endless', 'the run does not end');
        this.#isTouched = false;
        next.run();
        if (this.#isTouched) await settled();
        if (bug !== null) this.broke(bug);
        this.noteProtecting();
        this.#noteAlone();
      }
    } finally {
      process.off('unhandledRejection', onBug);
    }
  }

  #passTo(atMs: number): void {
    const toMs = Math.max(this.nowMs, atMs);
    if (this.protectProcess.isStopped) this.#heardByAMs += toMs - this.nowMs;
    this.nowMs = toMs;
  }

  /** Its backup is gone: how long has a buffered guest been held? */
  #noteAlone(): void {
    const { protectProcess, outcome, plan, checker } = this;
    const isHeld = protectProcess.isAlive && !protectProcess.isStopped && outcome === null;
    if (isHeld && plan.config.buffered) checker.waitsAlone(this.nowMs - this.#heardByAMs);
  }

  #startProtect(): void {
    const { protectProcess } = this;
    protectProcess.later(0, () => {
      protect(this, protectProcess).then(
        (kind) => this.#protectEnded(kind),
        (error) => {
          if (error instanceof InvariantError) this.broke(error);
          else this.#protectEnded(`not begun`);
        },
      );
    });
  }

  #protectEnded(kind: string): void {
    if (!this.protectProcess.isAlive) return;
    this.trace('A', () => `protect ended: ${kind}`);
    this.checker.ended();
    this.outcome = kind;
    this.protectProcess.exit();
  }

  received(kind: string, process: SimProcess): void {
    this.trace('B', () => `receive ended: ${kind}`);
    process.exit();
  }

  // --- the guest on host A and its packets ---

  #guestWorks(): void {
    const { plan, random, guest } = this;
    this.after(plan.packetMs * random.between(0.5, 1.5), () => {
      if (!guest.isAlive) return;
      if (guest.isRunning) this.#guestSends();
      this.#guestWorks();
    });
  }

  #guestSends(): void {
    const { checker, random, buffer, guest } = this;
    const present = buffer?.present ?? [0];
    const port = present.length === 0 ? null : random.pick(present);
    const epoch = this.a.hypervisor.save?.epoch ?? 0;
    const packet = guest.work(epoch, port ?? 0, random.int(60, 1_500));
    if (port === null) return; // it works on, and nobody hears of it
    if (buffer === null) checker.emitted(packet);
    else buffer.accept(packet);
  }

  /** The save sets a barrier: the guest is suspended. */
  barrier(handle: number, epoch: number, guest: Guest): void {
    if (handle === outputBarrier) this.buffer?.barrier(epoch);
    if (handle === diskBarrier) this.#diskA?.mark(epoch, guest.disk);
  }

  openBuffer(): void {
    this.checker.opened(this.#aloneMs());
    this.buffer?.open();
    this.checker.tornDown();
  }

  /** A process notices a stall when it wakes, and takes two beats of it for silence. */
  #stallSlackMs(): number {
    const isStalled = ['stop-protect', 'stall a'].some((kind) => this.faults.struck.has(kind));
    return isStalled ? 0.5 * this.plan.config.heartbeatTimeoutMs : 0;
  }

  /** A backup that takes or decides nothing is none, though it answers heartbeats. */
  #aloneMs(): number {
    const useless = [
      'hang',
      'save-failed',
      'disk-full',
      'disk-read-only',
      'disk-lies',
      'disk-slow',
    ];
    const isUseless = useless.some((kind) => this.faults.struck.has(kind));
    return isUseless
      ? Number.POSITIVE_INFINITY
      : this.nowMs - this.#heardByAMs + this.#stallSlackMs();
  }

  // --- what the programs do, as the ledger has it ---

  sending(side: Side, message: Message): void {
    const { checker, a } = this;
    if (side === 'a') {
      if (message.kind === 'heartbeat') checker.heartbeatSent(message.seq, a.nowMs());
      return;
    }
    if (message.kind === 'ack') checker.ackSent(message.epoch);
    if (message.kind === 'answer') checker.answered(message.answer.kind);
    if (message.kind === 'copy-lost') checker.answered('promised');
  }

  arrived(side: Side, message: Message): void {
    if (side === 'a') {
      this.#heardByA(message);
      if (message.kind === 'echo') this.checker.echoArrived(message.seq);
    } else if (message.kind === 'epoch-end' && message.epoch < this.#damagedFrom) {
      this.checker.wholeArrived(message.epoch);
    }
  }

  #heardByA(message: Message): void {
    if (message.kind === 'echo') {
      // An older one than was heard already proves nothing new.
      if (message.seq <= this.#echoedToA) return;
      this.#echoedToA = message.seq;
    } else if (message.kind !== 'ack') return;
    this.#heardByAMs = this.nowMs;
  }

  /** What the backup's machine wants: an activation for silence needs one. */
  decidingOnB(effects: readonly BackupEffect[]): void {
    const { checker, network, nowMs, plan } = this;
    for (const effect of effects) {
      if (effect.kind !== 'write-record' || effect.to !== 'activating') continue;
      if (!effect.why.startsWith('silence')) continue;
      // Nothing is read from a stuck stream, and there may be no datagrams beside it.
      if (this.linkB?.isHung && plan.datagramLoss === 1) continue;
      // It finds its own stall when it next wakes: three beats later at most (backupWakeAtMs).
      const slackMs = 0.32 * plan.config.heartbeatTimeoutMs;
      checker.foundSilence(nowMs - network.reachedAtMs.b, slackMs);
    }
  }

  /** The link has ended for the process of that side, by the peer's doing or its own. */
  linkEnds(side: Side): void {
    if (side === 'b') this.faults.isLinkEndKnown ||= !this.faults.isDecidingOnB;
  }

  damaged(epoch: number): void {
    this.#damagedFrom = Math.min(this.#damagedFrom, epoch);
  }

  linked(connection: Connection<Message>, linkA: SimLink, linkB: SimLink): void {
    this.connection = connection;
    this.linkA = linkA;
    this.linkB = linkB;
    this.#heardByAMs = this.nowMs;
  }

  openDiskOfA(disk: SimPrimaryDisk): void {
    this.#diskA = disk;
    this.#openDisks();
  }

  openDiskOfB(disk: SimBackupDisk): void {
    this.diskB = disk;
    this.#openDisks();
  }

  /** The connection of the disks is there when both ends are. */
  #openDisks(): void {
    if (this.#diskA === null || this.diskB === null) return;
    const ends = { a: this.#diskA, b: this.diskB };
    this.diskConnection = new Connection<DiskEpoch>(this.network, ends, (side) =>
      side === 'a' ? this.a.isUp : this.b.isUp,
    );
    this.#diskA.open(this.diskConnection);
  }

  /** What the record says changed, by somebody's deed or in a power cut. */
  #recordChanged(path: string): void {
    if (!/\.(standby|decision|outcome)$/.test(path)) return;
    const permission: RecordPermission = recordOn(this.b.disk);
    const agreed = permission === 'none' ? null : agreedOn(this.b.disk);
    if (agreed !== null && agreed !== this.plan.config.withoutWitness) {
      this.checker.fail('tie', `the record has ${agreed} for what was agreed`);
    }
    this.checker.recordSays(permission, this.b.isUp);
  }

  built(domain: Domain, content: Omit<CopyContent, 'disk' | 'diskEpoch'>): void {
    this.trace('B', () => `domain ${domain.ref.id} is built from epoch ${content.epoch}`);
    this.#built = content;
  }

  unpaused(side: Side, domain: Domain): void {
    const { guest } = domain;
    if (side === 'a' || guest === null || domain.pauses > 0 || this.checker.isCopyRunning) return;
    const { epoch, memory, isTorn } = this.#built ?? { epoch: -1, memory: -1, isTorn: true };
    const { disk, epoch: diskEpoch } = this.diskOfB;
    guest.disk = disk;
    this.trace('B', () => `the copy runs from epoch ${epoch}`);
    this.checker.copyRuns({ epoch, memory, isTorn, disk, diskEpoch });
    this.#copyWorks(guest);
  }

  #copyWorks(guest: Guest): void {
    const { plan, random, checker } = this;
    this.after(plan.packetMs * random.between(0.5, 1.5), () => {
      if (!guest.isAlive) return;
      if (guest.isRunning) checker.emitted(guest.work(0));
      this.#copyWorks(guest);
    });
  }

  /** The copy, once it runs. */
  get copy(): Guest | null {
    const copy = this.b.hypervisor.named(guestName)?.guest ?? null;
    return this.checker.isCopyRunning ? copy : null;
  }

  destroying(side: Side, domain: Domain): void {
    if (side === 'a') {
      if (domain.end === null) this.checker.destroyed();
    } else if (domain.guest !== null && domain.pauses === 0 && domain.end === null) {
      this.checker.fail('record', 'a running copy was destroyed');
    }
  }

  crashed(side: Side): void {
    if (side === 'a') this.buffer?.drop();
    else this.checker.copyEnded();
    for (const connection of [this.connection, this.diskConnection]) connection?.crash(side);
  }

  /** What whoever asks on that host is told now. */
  statusOn(side: Side): Said {
    return statusOn(this, side);
  }

  /** A session on `side` said how it is. */
  published(side: Side): void {
    if (side === 'b') return;
    const { level, state } = this.statusOn('a');
    // That nobody protects because an administrator ended it is no news.
    if (state !== 'ended') this.checker.primaryStatus(level);
  }

  /** The backup is at work: it holds a whole epoch and may activate it. */
  noteProtecting(): void {
    const { b, receive, checker } = this;
    const isAtWork = b.isUp && receive?.isAlive === true && !receive.isStopped;
    const [restore] = [...b.hypervisor.restores].slice(-1);
    const holds = checker.acked >= 0 && restore?.isWhole === true;
    checker.protecting(isAtWork && holds && checker.permission === 'standby');
  }

  /** From the calm on: has the run come to an end that is allowed? */
  #watch(): void {
    const { plan } = this;
    const { heartbeatTimeoutMs, holdMs } = plan.config;
    // Silence, hold, a few asks that time out, a slow disk, a CONFIG that never comes.
    const restMs = 150_000;
    const patienceMs = 20 * heartbeatTimeoutMs + 4 * holdMs + 4 * plan.askTimeoutMs + restMs;
    this.after(plan.calmAtMs, () => this.faults.calm());
    const look = (before: Progress): void => {
      this.ending = endingOf(this, before);
      if (this.ending !== null) return;
      if (this.nowMs > plan.calmAtMs + patienceMs) {
        const phases = [this.a, this.b].map(({ side }) => `${side} ${this.statusOn(side).state}`);
        this.checker.fail('liveness', `stuck: ${phases}, record ${this.checker.permission}`);
        return;
      }
      const now = progressOf(this);
      this.after(2 * heartbeatTimeoutMs, () => look(now));
    };
    this.after(plan.calmAtMs, () => look(progressOf(this)));
  }
}

/** One run of a plan. */
export function runPlan(plan: Plan, machines: Machines, isVerbose = false): Promise<RunResult> {
  return new World(plan, machines, isVerbose).run();
}

/** One run of the plan that a seed stands for. */
export function runWorld(seed: number, machines: Machines, isVerbose = false): Promise<RunResult> {
  return runPlan(planOf(seed), machines, isVerbose);
}
