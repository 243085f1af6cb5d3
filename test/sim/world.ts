/**
 * Two hosts, a network, a guest, its clients: all from one seed. The programs that run on the hosts
 * are the ones that ship; what they reach their hosts by is the simulator's. One thing happens at a
 * time: an event, then everything that the programs make of it until they wait again. Runs until a
 * rule is broken or the run has come to a good end; the same seed gives the same hash of it all.
 */
import { createHash, type Hash } from 'node:crypto';
import type { BackupStep } from '../../src/core/backup/backup.ts';
import { InvariantError } from '../../src/core/invariant.ts';
import type { PrimaryEffect, PrimaryEvent } from '../../src/core/primary/types.ts';
import type { Message } from '../../src/link/messages.ts';
import type { Protection } from '../../src/session/primary/protection.ts';
import { Checker, type CopyContent, type Violation } from './checker.ts';
import {
  type DiskContent,
  diskBarrier,
  olderBlocks,
  type SimBackupDisk,
  type SimPrimaryDisk,
  writesOf,
} from './disk-part.ts';
import { endingOf, type Progress, progressOf } from './ending.ts';
import { EventQueue } from './event-queue.ts';
import { FaultInjector } from './faults.ts';
import { Guest } from './guest.ts';
import { SimHost } from './host.ts';
import { type Domain, guestUuids } from './hypervisor.ts';
import { type Connection, Network, Paths, type Side, type Timeline } from './link.ts';
import type { Machines } from './machines.ts';
import type { OutputBuffer } from './output-buffer.ts';
import { outputBarrier } from './output-port.ts';
import { type Plan, planOf } from './plan.ts';
import type { SimProcess } from './process.ts';
import { protect, type Said, statusOn } from './programs.ts';
import type { SimPulse } from './pulse.ts';
import { Random } from './random.ts';
import { agreedOn, type RecordPermission, recordOn } from './record.ts';
import type { SimRestore } from './restore.ts';
import type { SimSave } from './save.ts';
import type { SimLink } from './wire.ts';

export interface RunResult {
  readonly seed: number;
  readonly violation: Violation | null;
  /** Set when the violation is one that `-n` cannot prevent: its kind. */
  readonly expected: string | null;
  /** How the run ended, one of a few words. */
  readonly ending: string;
  /** The same of the sessions beside the first one. */
  readonly beside: readonly string[];
  readonly transcript: readonly string[];
  readonly steps: number;
  /** Of all that happened. */
  readonly hash: string;
}

/** A loser that obeys late is destroyed all the same by then: 10 s, and another question. */
const lateEndMs = 20_000;

/** More events than this in one run is a loop somewhere. */
const stepsMax = 200_000;

/** What the programs made of the last event is done when nothing of it is left to run. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A session that is not the first one of its run. */
interface Beside {
  readonly first: World;
  /**
   * `again`: the same guest is protected once more; `other way`: another guest, from host B to host
   * A, at the same time.
   */
  readonly kind: 'again' | 'other way';
  /** With `again`: the session before. */
  readonly before: World | null;
}

/**
 * The hosts, the network and the time as one session has them: `a` is where its primary is. Its
 * ledger is its own; of several sessions the first one runs the world for all.
 */
export class World implements Timeline {
  readonly plan: Plan;
  readonly machines: Machines;
  readonly random: Random;
  readonly checker: Checker;
  readonly network: Network;
  readonly paths: Paths;
  readonly first: World;
  readonly kind: 'first' | Beside['kind'];
  /** Of the first one: all of them. */
  readonly sessions: World[] = [];
  readonly #before: World | null;
  readonly a: SimHost;
  readonly b: SimHost;
  readonly faults: FaultInjector;
  readonly guestName: string;
  readonly guestUuid: string;
  /** The session's id, once protect has chosen one. */
  session = 'none yet';
  save: SimSave | null = null;
  restore: SimRestore | null = null;
  /** What the guest sends goes into this session's buffer, where it has one. */
  #isOutputOpen: boolean;
  /** Somebody is about to protect the guest once more. */
  #isAgainDue = false;
  /** Host A's; null with -n. In the kernel, so it survives the process, not the host. */
  readonly buffer: OutputBuffer | null;
  /** The disk of host B. */
  readonly diskOfB: DiskContent;
  readonly guest: Guest;
  readonly domain: Domain;
  readonly protectProcess: SimProcess;
  protection: Protection | null = null;
  receive: SimProcess | null = null;
  linkA: SimLink | null = null;
  linkB: SimLink | null = null;
  connection: Connection<Message> | null = null;
  pulseOfB: SimPulse | null = null;
  /** How protect ended; null: it runs, or was killed. */
  outcome: string | null = null;
  outputEndsLeftToFail = 0;
  /** CONFIG describes another guest. */
  configLies = false;
  diskA: SimPrimaryDisk | null = null;
  diskB: SimBackupDisk | null = null;
  #built: Omit<CopyContent, 'disk' | 'diskEpoch'> | null = null;
  /** An epoch of which a piece was damaged on its way: nothing from it on becomes whole. */
  #damagedFrom = Number.POSITIVE_INFINITY;
  readonly #queue = new EventQueue();
  readonly #transcript: string[] | null;
  readonly #hash: Hash = createHash('sha1');
  #isTouched = false;
  #nowMs = 0;
  /** Of the first one: nothing new goes wrong. */
  isCalm = false;
  /** When the primary heard its backup last; while it stands still, no time passes. */
  #heardByAMs = 0;
  #echoedToA = 0;
  #isLinkOverOnA = false;
  /** How long the primary had run without its backup when its machine opened the buffer. */
  #openedAloneMs = 0;
  #steps = 0;
  ending: string | null = null;

  constructor(plan: Plan, machines: Machines, isVerbose: boolean, beside: Beside | null = null) {
    this.plan = plan;
    this.machines = machines;
    this.first = beside?.first ?? this;
    this.kind = beside?.kind ?? 'first';
    this.#before = beside?.before ?? null;
    this.random = beside?.first.random ?? new Random(plan.seed ^ 0x5bd1e995);
    this.#transcript = isVerbose ? [] : null;
    const { heartbeatTimeoutMs: timeoutMs, buffered, ...rules } = this.plan.config;
    this.checker = new Checker({ ...rules, isBuffered: buffered, timeoutMs }, () => this.nowMs);
    const { delayMsMin, delayMsMax } = plan;
    this.network = beside?.first.network ?? new Network(this, delayMsMin, delayMsMax);
    const isTurned = this.kind === 'other way';
    this.paths = new Paths(this.network, isTurned);
    this.a = beside === null ? new SimHost(this, 'a') : beside.first[isTurned ? 'b' : 'a'];
    this.b = beside === null ? new SimHost(this, 'b') : beside.first[isTurned ? 'a' : 'b'];
    this.buffer = buffered ? new machines.OutputBuffer(plan.buffer, this.checker) : null;
    this.guestName = isTurned ? 'h1' : 'g1';
    this.guestUuid = guestUuids[this.guestName] ?? '';
    this.#isOutputOpen = this.#before === null;
    this.guest = this.#before?.guest ?? new Guest('a', 0, 0);
    this.diskOfB = { epoch: -1, blocks: this.#blocksThere() };
    this.domain = this.#before?.domain ?? this.a.hypervisor.add(this, this.guestName, this.guest);
    this.protectProcess = this.a.start('tsremus protect', this);
    this.faults = new FaultInjector(this);
    this.first.sessions.push(this);
  }

  /** What host B's disk holds when the session begins: what the one before left, if it is one. */
  #blocksThere(): number[] | null {
    const { diskThere, seed } = this.plan;
    if (diskThere === 'unasked') return null;
    if (this.#before !== null) return this.#before.diskOfB.blocks?.slice() ?? null;
    return diskThere === 'older' ? olderBlocks(new Random(seed ^ 0x85ebca6b)) : null;
  }

  get nowMs(): number {
    return this.first.#nowMs;
  }

  /** Which side of this session the host is. */
  sideOf(host: SimHost): Side {
    return host === this.a ? 'a' : 'b';
  }

  after(delayMs: number, run: () => void): void {
    this.first.#queue.push(this.nowMs + delayMs, this.random.next(), run);
  }

  trace(who: string, text: () => string): void {
    const { first, kind } = this;
    const of = kind === 'first' ? '' : `(${kind}) `;
    const where = kind !== 'other way' ? who : who === 'A' ? 'B' : who === 'B' ? 'A' : who;
    const line = `${this.nowMs.toFixed(1).padStart(9)} ms  ${where}  ${of}${text()}`;
    first.#hash.update(line);
    first.#transcript?.push(line);
  }

  /** A program runs: the event is over when that has come to rest. */
  touched(): void {
    this.first.#isTouched = true;
  }

  beforeCall(process: SimProcess, what: string): void {
    this.first.faults.beforeCall(process, what);
    if (this.kind === 'other way') this.faults.beforeCall(process, what);
  }

  /** A program found a bug of its own. */
  broke(error: unknown): void {
    if (error instanceof InvariantError) this.checker.fail('invariant', error.message);
    else throw error;
  }

  /** Of the first session: runs the world with all of them. */
  async run(): Promise<RunResult> {
    const { plan, machines, sessions } = this;
    if (plan.otherWay !== null) {
      new World(plan.otherWay, machines, false, { first: this, kind: 'other way', before: null });
    }
    for (const session of [...sessions]) session.#begin();
    await this.#loop(() => sessions.every((session) => session.#isOver));
    const broken = sessions.find(({ checker }) => checker.violation !== null);
    const violation = broken?.checker.violation ?? null;
    if (violation !== null) broken?.trace('!', () => `${violation.rule}: ${violation.text}`);
    const expected = violation === null ? null : (broken?.faults.excuse(violation.rule) ?? null);
    // Nothing that still waits may run on behind the next run's back.
    for (const host of [this.a, this.b]) for (const process of [...host.processes]) process.exit();
    const others = sessions.slice(1);
    return {
      seed: plan.seed,
      violation,
      expected,
      ending: this.ending ?? 'broken',
      beside: others.map(({ kind, ending }) => `${kind}: ${ending ?? 'broken'}`),
      transcript: this.#transcript ?? [],
      steps: this.#steps,
      hash: this.#hash.digest('hex'),
    };
  }

  /** For a suite of a port's: the host goes on until `isDone`, and no session's rules count. */
  until(isDone: () => boolean): Promise<void> {
    return this.#loop(isDone, false);
  }

  #begin(): void {
    if (this.#before === null) this.#guestWorks();
    this.#startProtect();
    if (this.kind !== 'again') this.faults.arm();
    this.#watch();
  }

  get #isOver(): boolean {
    return this.ending !== null && !this.#isAgainDue;
  }

  async #loop(isDone: () => boolean, isJudged = true): Promise<void> {
    let bug: unknown = null;
    const onBug = (error: unknown): void => {
      bug ??= error;
    };
    process.on('unhandledRejection', onBug);
    try {
      while (!isDone()) {
        const next = this.#queue.pop();
        if (next === undefined) throw new Error('the simulator ran dry');
        this.#passTo(next.atMs);
        this.#steps += 1;
        if (this.#steps > stepsMax) this.checker.fail('endless', 'the run does not end');
        this.#isTouched = false;
        next.run();
        if (this.#isTouched) await settled();
        if (bug !== null) this.broke(bug);
        for (const session of this.sessions) {
          session.noteProtecting();
          session.#noteAlone();
        }
        if (isJudged && this.sessions.some(({ checker }) => checker.violation !== null)) return;
      }
    } finally {
      process.off('unhandledRejection', onBug);
    }
  }

  #passTo(atMs: number): void {
    const toMs = Math.max(this.nowMs, atMs);
    for (const session of this.sessions) {
      if (session.protectProcess.isStopped) session.#heardByAMs += toMs - this.nowMs;
    }
    this.#nowMs = toMs;
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
    this.protectAgain();
  }

  /** The guest is protected once more, where the plan has it so: nobody protects it any more. */
  protectAgain(): void {
    const { plan, first } = this;
    const { again } = plan;
    if (again === null || this.kind === 'other way' || this.#isAgainDue) return;
    if (first.sessions.length > again.times || !this.guest.isAlive) return;
    this.#isAgainDue = true;
    this.after(again.afterMs, () => {
      this.#isAgainDue = false;
      this.ending ??= endingOf(this, progressOf(this));
      const isSettled = this.outcome !== null || this.faults.cleanedUp !== null;
      if (!isSettled || this.ending === null || !this.guest.isAlive || !this.a.isUp) return;
      this.trace('A', () => 'protect, again');
      const { machines } = this;
      const beside = { first, kind: 'again', before: this } as const;
      new World({ ...plan, calmAtMs: this.nowMs }, machines, false, beside).#begin();
    });
  }

  /** From now on what the guest sends waits in this session's buffer. */
  openedOutput(): void {
    this.#isOutputOpen = true;
    this.domain.world = this;
  }

  /** The guest ended by itself; where it is protected once more, it is the same one. */
  get isGuestEnded(): boolean {
    const its = this.first.sessions.filter(({ guestUuid }) => guestUuid === this.guestUuid);
    return its.some(({ faults }) => faults.isGuestEnded);
  }

  /** The session of this guest whose buffer has what the guest sends. */
  get holder(): World {
    const { sessions } = this.first;
    const its = sessions.filter(({ guestUuid }) => guestUuid === this.guestUuid);
    return its.findLast((session) => session.#isOutputOpen) ?? this;
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
      if (guest.isRunning) this.holder.#guestSends();
      this.#guestWorks();
    });
  }

  #guestSends(): void {
    const { checker, random, buffer, guest, plan, protectProcess } = this;
    // Between the order of a checkpoint and the suspend: nobody pauses it then.
    const canPause = protectProcess.isAlive && !protectProcess.isStopped;
    // One that obeys late is waited for, as long as the end of its save is.
    const suspendMs = 1.5 * plan.suspendMs + (this.faults.latePending > 0 ? lateEndMs : 0) + 1;
    checker.works(canPause ? suspendMs : null);
    const present = buffer?.present ?? [0];
    const port = present.length === 0 ? null : random.pick(present);
    const epoch = this.save?.epoch ?? 0;
    const packet = guest.work(epoch, port ?? 0, random.int(60, 1_500));
    if (port === null) return; // it works on, and nobody hears of it
    if (buffer === null) checker.emitted(packet);
    else buffer.accept(packet);
  }

  /** The save sets a barrier: the guest is suspended. */
  barrier(handle: number, epoch: number, guest: Guest): void {
    if (handle === outputBarrier) this.buffer?.barrier(epoch);
    if (handle === diskBarrier) this.diskA?.mark(epoch, guest.disk);
  }

  /**
   * The watch is a thread of protect's: where that stands or is gone, what drops without it is all
   * there is. Nothing comes between what gets out and the block: that is a matter of microseconds.
   */
  loseOutput(leaks: number, forMs: number): void {
    const { buffer, guest, checker, protectProcess, save } = this;
    const present = buffer?.protectedOnes ?? [];
    // No chance of the world's: what else a seed stands for is to come as without it.
    const at = present[leaks % Math.max(1, present.length)];
    if (buffer === null || at === undefined || this.holder !== this) return;
    // Nothing was made yet that could be taken apart.
    if (buffer.onLoss === null) return;
    const isWatched = protectProcess.isAlive && !protectProcess.isStopped && guest.isRunning;
    const escaped = Array.from({ length: isWatched ? leaks : 0 }, () =>
      guest.work(save?.epoch ?? 0, at),
    );
    buffer.lose(at);
    for (const packet of escaped) checker.escaped(packet);
    buffer.onLoss({ at, escaped: escaped.length > 0, forMs });
  }

  openBuffer(): void {
    this.checker.opened(this.#openedAloneMs);
    this.buffer?.open();
    this.checker.tornDown();
  }

  /** A process notices a stall when it wakes, and takes two beats of it for silence. */
  #stallSlackMs(): number {
    const stalls = ['stop-protect', 'stop-for-good', 'stall a', 'sleep a'];
    const isStalled = stalls.some((kind) => this.faults.struck.has(kind));
    return isStalled ? 0.5 * this.plan.config.heartbeatTimeoutMs : 0;
  }

  /** A backup that takes or decides nothing is none, though it answers heartbeats. */
  #aloneMs(): number {
    const useless = [
      'hang',
      'save-failed',
      'mirror-gone',
      'disk-full',
      'disk-read-only',
      'disk-lies',
      'disk-slow',
    ];
    const { b, first } = this;
    const onB = first.sessions.filter((session) => session.b === b);
    const isUseless = onB.some(({ faults }) => useless.some((kind) => faults.struck.has(kind)));
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
    if (message.kind === 'answer') {
      checker.questionOver(`question ${message.id}`);
      checker.answered(message.answer.kind);
    }
    if (message.kind === 'copy-lost') checker.answered('promised');
  }

  arrived(side: Side, message: Message): void {
    if (side === 'a') {
      // By these words it ends for its machine, whatever comes before the end of the stream.
      if (message.kind === 'error' || message.kind === 'goodbye') this.#isLinkOverOnA = true;
      this.#heardByA(message);
      if (message.kind === 'echo') this.checker.echoArrived(message.seq);
    } else if (message.kind === 'heartbeat') {
      this.checker.heartbeatArrived(message.seq);
    } else if (message.kind === 'ask') {
      this.checker.asked();
      this.checker.questionHeard(`question ${message.id}`, 'link');
    } else if (message.kind === 'epoch-end' && message.epoch < this.#damagedFrom) {
      this.checker.wholeArrived(message.epoch);
    }
  }

  /** What the primary's machine hears: from now on its guest may be the loser. */
  heardOnA(event: PrimaryEvent): void {
    const news = event.kind === 'answer' ? event.answer.kind : event.kind;
    if (['activated', 'running', 'ended', 'absent'].includes(news)) this.checker.heardActive();
    if (news === 'activating') this.checker.heardDeciding();
  }

  /** What the primary's machine wants: what it hears from then on comes too late for that. */
  decidingOnA(effects: readonly PrimaryEffect[]): void {
    if (effects.some(({ kind }) => kind === 'open-buffer')) this.#openedAloneMs = this.#aloneMs();
  }

  #heardByA(message: Message): void {
    // A datagram that comes beside a link that has ended says nothing of a session.
    if (this.#isLinkOverOnA) return;
    if (message.kind === 'echo') {
      // An older one than was heard already proves nothing new.
      if (message.seq <= this.#echoedToA) return;
      this.#echoedToA = message.seq;
    } else if (message.kind !== 'ack') return;
    this.#heardByAMs = this.nowMs;
  }

  /** What the backup's machine wants: an activation for silence needs one. */
  decidingOnB({ state, effects }: BackupStep): void {
    const { checker, paths, nowMs, plan } = this;
    // It forgets it where the record cannot be written.
    this.faults.isDecidedOnB = state.goal?.kind === 'activate';
    for (const effect of effects) {
      if (effect.kind !== 'write-record' || effect.to !== 'activating') continue;
      checker.decidesToActivate(this.faults.struck.has('crash a'));
      if (effect.why.startsWith('the primary has heard nothing')) checker.foundHeld();
      if (!effect.why.startsWith('silence')) continue;
      // Nothing is read from a stuck stream, and there may be no datagrams beside it.
      if (this.linkB?.isHung && plan.datagramLoss === 1) continue;
      // It finds its own stall when it next wakes: three beats later at most (backupWakeAtMs).
      const slackMs = 0.32 * plan.config.heartbeatTimeoutMs;
      checker.foundSilence(nowMs - paths.reachedAtMs('b'), slackMs);
    }
  }

  /** The link has ended for the process of that side, by the peer's doing or its own. */
  linkEnds(side: Side): void {
    if (side === 'a') {
      this.#isLinkOverOnA = true;
      return;
    }
    this.checker.linkOverOnB();
    this.faults.isLinkEndKnown ||= !this.faults.isDecidedOnB;
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
    this.diskA = disk;
  }

  openDiskOfB(disk: SimBackupDisk): void {
    this.diskB = disk;
  }

  /** Host B has no domain of this guest. */
  get isGoneFromB(): boolean {
    return !this.b.hypervisor.domains.some(({ ref }) => ref.uuid === this.guestUuid);
  }

  /** What the record says changed, by somebody's deed or in a power cut. */
  recordChanged(host: SimHost, path: string): void {
    if (host !== this.b || !path.includes(this.session)) return;
    const permission: RecordPermission = recordOn(this.b.disk, this.session);
    const agreed = permission === 'none' ? null : agreedOn(this.b.disk, this.session);
    if (agreed !== null && agreed !== this.plan.config.withoutWitness) {
      this.checker.fail('tie', `the record has ${agreed} for what was agreed`);
    }
    const isCopyWhole = this.restore?.isWhole === true && this.diskB?.hasFailed !== true;
    this.checker.recordSays(permission, this.b.isUp, isCopyWhole);
  }

  built(domain: Domain, content: Omit<CopyContent, 'disk' | 'diskEpoch'>): void {
    this.trace('B', () => `domain ${domain.ref.id} is built from epoch ${content.epoch}`);
    this.#built = content;
  }

  /** A copy of this is begun. */
  restoring({ name, uuid }: { readonly name: string; readonly uuid: string }): void {
    const isMeant = name === this.guestName && uuid === this.guestUuid;
    if (!isMeant) this.checker.fail('config', `a copy of ${name} is made for ${this.guestName}`);
  }

  unpaused(host: SimHost, domain: Domain): void {
    const { guest } = domain;
    if (host === this.a && guest !== null && guest !== this.guest && domain.pauses === 0) {
      this.checker.bootedAnew();
    }
    if (host === this.a || domain.pauses > 0 || this.checker.isCopyRunning) return;
    if (guest === null) return this.checker.fail('whole-epochs', 'what was not built is let run');
    const { epoch, memory, isTorn } = this.#built ?? { epoch: -1, memory: -1, isTorn: true };
    const { blocks, epoch: diskEpoch } = this.diskOfB;
    const disk = writesOf(blocks ?? []);
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
    const copy = this.b.hypervisor.named(this.guestName)?.guest ?? null;
    return this.checker.isCopyRunning ? copy : null;
  }

  /** A program orders a guest that has not ended to be destroyed. */
  ordersDestroy(host: SimHost): void {
    if (host === this.a) this.checker.ordersDestroy();
  }

  destroying(host: SimHost, domain: Domain): void {
    if (host === this.a) {
      if (domain.end === null) this.checker.destroyed(this.buffer?.look().packets ?? 0);
    } else if (domain.guest !== null && domain.pauses === 0 && domain.end === null) {
      this.checker.fail('record', 'a running copy was destroyed');
    }
  }

  /** The primary's host was suspended for so long: whoever runs there could not say anything. */
  primarySlept(sleptMs: number): void {
    this.checker.primarySlept(sleptMs);
  }

  crashed(host: SimHost): void {
    const side = this.sideOf(host);
    if (side === 'a') this.buffer?.drop();
    else this.checker.copyEnded();
    this.connection?.crash(side);
  }

  /** What whoever asks on that host is told now. */
  statusOn(side: Side): Said {
    return statusOn(this, side);
  }

  /** A program of this session on that host said how it is. */
  published(host: SimHost): void {
    if (host === this.b) return;
    const { level, state } = this.statusOn('a');
    // That nobody protects because an administrator ended it is no news.
    if (state !== 'ended') this.checker.primaryStatus(level);
  }

  /** The backup is at work: it holds a whole epoch and may activate it. */
  noteProtecting(): void {
    const { b, receive, restore, checker } = this;
    const isAtWork = b.isUp && receive?.isAlive === true && !receive.isStopped;
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
    if (this.kind === 'first') this.after(plan.calmAtMs, () => this.faults.calm());
    const look = (before: Progress): void => {
      this.ending ??= endingOf(this, before);
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
