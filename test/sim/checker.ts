/**
 * The invariants of DESIGN.md, checked against a ledger of what truly happened in the world.
 * Shares no code with src/core: a mistake there cannot hide here.
 *
 *   output-commit   no packet of epoch N >= 1 leaves the primary before all of N is acknowledged,
 *                   and none of an interface that was plugged in later
 *   whole-epochs    a copy runs from a whole, acknowledged epoch, the newest one
 *   one-commit      memory and disk of the running copy are of the same epoch
 *   one-active      only one side emits anything beyond the epoch a copy was activated from
 *   last-guest      the primary's guest is destroyed only while the copy runs, or did so less than
 *                   a timeout (or 5 s) ago: nobody can know better
 *   loser-runs      once its host has heard that the copy took over, the primary's guest does not
 *                   work on for longer than a suspend in flight takes
 *   nothing-silent  the primary's status is not OK for longer than a lease once nobody protects
 *
 *   tie             what nobody could be asked about was decided as agreed: activated by itself, on
 *                   a person's order or on his word; opened unanswered by the primary alone, after
 *                   timeout and hold without its backup, and then soon
 *
 *   asked-first     the copy does not go on while a question of the primary waits; one that came
 *                   over the link may wait while the primary hears nothing of the other side (B9)
 *
 * and the protocol's own promises: permission, record, order, lease, no activation without cause.
 * Of the output, packet by packet: what leaves, leaves in the order in which the guest sent it;
 * what was acknowledged does not wait on and on; an opened buffer loses nothing; of a guest that
 * was destroyed nothing leaves.
 */
import type { Packet } from './guest.ts';
import type { RecordPermission } from './record.ts';

export interface Violation {
  readonly rule: string;
  readonly text: string;
  readonly atMs: number;
}

export interface CopyContent {
  readonly epoch: number;
  readonly memory: number;
  readonly diskEpoch: number;
  readonly disk: number;
  readonly isTorn: boolean;
}

export interface CheckerRules {
  readonly isBuffered: boolean;
  readonly timeoutMs: number;
  readonly pendingMax: number;
  readonly holdMs: number;
  readonly withoutWitness: 'backup' | 'primary' | 'manual';
}

type Said = 'nothing' | 'order' | 'word';
const weight = { nothing: 0, order: 1, word: 2 } as const;
/** What a person has to say before the copy may run. */
const toActivate = { backup: 'nothing', primary: 'word', manual: 'order' } as const;

/** A question that could not be answered for so long is forgotten; the primary asks again. */
const questionWaitsMs = 10_000;
/** From a question to the promise on a slow disk: the former, and its writing. */
const askedMsMax = 40_000;
/** So old may be what a primary was told of the other host, ms; a timeout where that is longer. */
const newsMsMin = 5_000;

/** So old may a status be, ms: it is written every second, and somewhat after a change. */
const statusMsMax = 1_100;

interface Snapshot {
  readonly memory: number;
  readonly disk: number;
}

export class Checker {
  readonly #rules: CheckerRules;
  readonly #nowMs: () => number;
  violation: Violation | null = null;

  readonly #snapshots = new Map<number, Snapshot>();
  readonly #beatsMs = new Map<number, number>();
  /** For how long the primary had no lease when it sent that heartbeat; 0: it had one. */
  readonly #heldMs = new Map<number, number>();
  /** The first lease is HELLO's. */
  #firstBeatMs: number | null = null;
  /** The newest heartbeat that reached whoever holds the copy, over the link or beside it. */
  #beatHeard = -1;
  #isLinkOverOnB = false;
  #leaseMs = Number.NEGATIVE_INFINITY;
  /** Newest epoch of which all bytes arrived at the backup; nothing is missing below it. */
  whole = -1;
  /** The same of its disk. */
  diskWhole = -1;
  acked = -1;
  fed = 0;
  /** Newest epoch of which the primary let a packet out, while its buffer was in force. */
  #emittedEpoch = 0;
  permission: RecordPermission = 'none';
  /** The last final answer that left the backup's host. */
  #told: string | null = null;
  /** The epoch that the running copy was activated from. */
  activated: number | null = null;
  isCopyRunning = false;
  /** When it was lost with its host. */
  #heardActiveAtMs: number | null = null;
  #copyLostAtMs = Number.NEGATIVE_INFINITY;
  /** A person on host B has said that it is lost. */
  isLostTyped = false;
  isOpened = false;
  isVouched = false;
  /** The most that a person said for the copy. */
  #said: Said = 'nothing';
  #hasHeardDeciding = false;
  /** Opened because the promise was given in advance. */
  #isInAdvance = false;
  #isNeverWhole = false;
  #isDestroyed = false;
  /** What waits in the output buffer, and whether its interface is a protected one. */
  readonly #held = new Map<Packet, boolean>();
  /** The count of the last packet that left by each interface. */
  readonly #leftCount = new Map<number, number>();
  #isDecided = false;
  /** Questions of the primary that whoever holds the copy knows and has not answered. */
  readonly #questions = new Map<string, { way: 'link' | 'fresh'; atMs: number }>();
  #askedAtMs: number | null = null;
  #protectedUntilMs: number | null = Number.NEGATIVE_INFINITY;
  /** Newest epoch of which a packet got past the buffer; since when the session knows of it. */
  #escapedEpoch = 0;
  #toldOfEscapeMs: number | null = null;

  constructor(rules: CheckerRules, nowMs: () => number) {
    this.#rules = rules;
    this.#nowMs = nowMs;
  }

  #require(condition: boolean, rule: string, text: string): void {
    if (condition || this.violation !== null) return;
    this.violation = { rule, text, atMs: this.#nowMs() };
  }

  fail(rule: string, text: string): void {
    this.#require(false, rule, text);
  }

  // --- what the primary's host does ---

  barrier(epoch: number, memory: number, disk: number): void {
    this.#snapshots.set(epoch, { memory, disk });
  }

  heartbeatSent(seq: number, hostMs: number): void {
    this.#beatsMs.set(seq, hostMs);
    this.#firstBeatMs ??= hostMs;
    const leaseMs = Math.max(this.#firstBeatMs, this.#leaseMs) + 0.6 * this.#rules.timeoutMs;
    this.#heldMs.set(seq, Math.max(0, hostMs - leaseMs));
  }

  echoArrived(seq: number): void {
    this.#leaseMs = Math.max(this.#leaseMs, this.#beatsMs.get(seq) ?? Number.NEGATIVE_INFINITY);
  }

  /** Something that only a session without a decision may do. */
  acted(what: string): void {
    this.#require(!this.#isDecided, 'acts-after-the-end', `${what} after the decision`);
  }

  /** The machine decides to release. */
  releases(epoch: number, hostMs: number): void {
    const ageMs = hostMs - this.#leaseMs;
    const limitMs = 0.6 * this.#rules.timeoutMs;
    this.#require(ageMs <= limitMs, 'lease', `release ..${epoch}, last echo's age ${ageMs} ms`);
  }

  /** `aloneMs`: how long the primary has run without its backup. */
  opened(aloneMs: number): void {
    this.#isDecided = true;
    this.isOpened = true;
    const isPromised = this.permission === 'promised' || this.permission === 'lost';
    if (isPromised || this.isVouched) return;
    if (this.#isLong(aloneMs)) {
      this.#isInAdvance = true;
      this.#require(!this.isCopyRunning, 'one-active', 'opened while the copy runs');
      const hasHeard = this.#hasHeardDeciding || this.#heardActiveAtMs !== null;
      this.#require(!hasHeard, 'tie', 'opened unanswered, and had heard that the copy goes on');
      return;
    }
    this.#isNeverWhole = this.acked < 0;
    const text = `opened while the record says ${this.permission}, acked ${this.acked}`;
    this.#require(this.#isNeverWhole, 'permission', text);
    this.#require(!this.isCopyRunning, 'one-active', 'opened while the copy runs');
  }

  /** The promise was given in advance, and timeout and hold are over. */
  #isLong(aloneMs: number): boolean {
    const { withoutWitness, timeoutMs, holdMs } = this.#rules;
    return withoutWitness === 'primary' && aloneMs >= 0.99 * (timeoutMs + holdMs);
  }

  /** The primary has run without its backup for so long, and holds its guest. */
  waitsAlone(aloneMs: number): void {
    const { withoutWitness, timeoutMs, holdMs } = this.#rules;
    const isAgreed = withoutWitness === 'primary' && this.acked >= 0 && !this.isOpened;
    const isDecided = ['activating', 'active', 'lost'].includes(this.permission);
    if (!isAgreed || isDecided || this.#hasHeardDeciding) return;
    const limitMs = 1.01 * (timeoutMs + holdMs) + timeoutMs + 200;
    this.#require(aloneMs <= limitMs, 'tie', `held, without its backup for ${aloneMs} ms`);
  }

  /** A person types `tsremus failover`. */
  ordered(said: Said): void {
    if (weight[said] > weight[this.#said]) this.#said = said;
  }

  /** A living session on the primary's host has heard that somebody decides over the copy. */
  heardDeciding(): void {
    this.#hasHeardDeciding = true;
  }

  /** A living session on the primary's host has heard that the copy took over. */
  heardActive(): void {
    this.#heardActiveAtMs ??= this.#nowMs();
  }

  /** The primary's guest works; `suspendMs`: how long a suspend can take. Null: nobody is there. */
  works(suspendMs: number | null): void {
    if (this.#heardActiveAtMs === null || this.permission === 'lost') return;
    if (suspendMs === null) {
      this.#heardActiveAtMs = this.#nowMs();
      return;
    }
    const ageMs = this.#nowMs() - this.#heardActiveAtMs;
    this.#require(ageMs <= suspendMs, 'loser-runs', `works on, ${ageMs} ms after it had lost`);
  }

  /** By a program: whatever it was told may be true no more by the time at which that is done. */
  ordersDestroy(): void {
    // Two clocks, one in a hundred.
    const isNews =
      this.#nowMs() - this.#copyLostAtMs <= 1.01 * Math.max(this.#rules.timeoutMs, newsMsMin);
    const isElsewhere = this.isCopyRunning || isNews;
    this.#require(isElsewhere, 'last-guest', 'the only guest that there is was destroyed');
  }

  /** The guest ended by itself, and its domain was made anew on the primary. */
  bootedAnew(): void {
    const isPermitted = this.permission === 'promised' || this.isVouched || this.#isInAdvance;
    const isAllowed = isPermitted || this.acked < 0;
    this.#require(isAllowed, 'permission', `booted anew, the record says ${this.permission}`);
  }

  /** `heldPackets`: what waits in its buffer then. */
  destroyed(heldPackets: number): void {
    this.#isDecided = true;
    this.#require(heldPackets === 0, 'teardown', `destroyed, ${heldPackets} packets wait`);
    this.#require(this.activated !== null, 'destroyed-early', 'destroyed before the copy ran');
    this.#isDestroyed = true;
  }

  ended(): void {
    this.#isDecided = true;
  }

  // --- the output buffer ---

  held(packet: Packet, isProtected: boolean): void {
    this.#held.set(packet, isProtected);
  }

  /** Dropped at the limit, as a real network would. */
  refused(packet: Packet): void {
    this.#held.delete(packet);
  }

  /** Gone with their interface, or thrown away with their guest. */
  lost(packets: readonly Packet[]): void {
    for (const packet of packets) this.#held.delete(packet);
  }

  /**
   * The driver has released: an interface has one seal, so an epoch may have to leave with one of
   * the next, but not with one that could not even be in flight together with it.
   */
  released(acked: number): void {
    const latest = acked - (this.#rules.pendingMax - 1);
    for (const [{ epoch }, isProtected] of this.#held) {
      const isDue = isProtected && epoch <= latest;
      this.#require(!isDue, 'held-too-long', `a packet of epoch ${epoch} waits after ack ${acked}`);
    }
  }

  /** The buffer was opened and removed. */
  tornDown(): void {
    const { size } = this.#held;
    this.#require(size === 0, 'teardown', `${size} packets were lost`);
  }

  // --- what clients see ---

  /**
   * Past the buffer, because somebody took it apart: no shell can hold it. It can say so, until a
   * copy knows of it.
   */
  escaped({ epoch, port, count }: Packet): void {
    this.#leftCount.set(port, count);
    if (epoch >= 1 && !this.isOpened) this.#escapedEpoch = Math.max(this.#escapedEpoch, epoch);
  }

  toldOfEscape(): void {
    this.#toldOfEscapeMs ??= this.#nowMs();
  }

  emitted(packet: Packet): void {
    const { epoch, from, port, count } = packet;
    if (from === 'b') return;
    this.#require(!this.#isDestroyed, 'one-active', 'a packet left after its guest was destroyed');
    const last = this.#leftCount.get(port) ?? -1;
    this.#require(count > last, 'output-order', `packet ${count} left after ${last}`);
    this.#leftCount.set(port, count);
    const isBlocked = this.#held.get(packet) === false && !this.isOpened;
    this.#require(!isBlocked, 'output-commit', 'a packet of a blocked interface left');
    this.#held.delete(packet);
    if (!this.#rules.isBuffered) {
      this.#require(!this.isCopyRunning, 'one-active', 'both guests send');
      return;
    }
    if (!this.isOpened && epoch >= 1) {
      const text = `a packet of epoch ${epoch} left, acknowledged is ${this.acked}`;
      this.#require(epoch <= this.acked, 'output-commit', text);
      this.#emittedEpoch = Math.max(this.#emittedEpoch, epoch);
    }
    if (this.activated === null || this.permission === 'lost') return;
    const text = `a packet of epoch ${epoch} left, the copy went on from ${this.activated}`;
    this.#require(epoch <= this.activated, 'one-active', text);
  }

  // --- what the backup's host does ---

  wholeArrived(epoch: number): void {
    this.#require(epoch === this.whole + 1, 'simulator', `epoch ${epoch} after ${this.whole}`);
    this.whole = epoch;
  }

  diskArrived(epoch: number): void {
    this.#require(epoch === this.diskWhole + 1, 'simulator', `disk ${epoch} out of order`);
    this.diskWhole = epoch;
  }

  ackSent(epoch: number): void {
    this.#require(epoch <= this.whole, 'whole-epochs', `acknowledged a torn epoch ${epoch}`);
    const text = `acknowledged epoch ${epoch}, the disk has ${this.diskWhole}`;
    this.#require(epoch <= this.diskWhole, 'one-commit', text);
    this.#require(epoch === this.acked + 1, 'order', `ack ${epoch} after ${this.acked}`);
    // Where that was agreed in advance, the copy waits for a person, whole or not.
    const isAgreed = this.#rules.withoutWitness === 'primary';
    const isLate = this.#isNeverWhole && !isAgreed;
    this.#require(!isLate, 'permission', 'a whole seed after the primary had gone on');
    const isStandby = this.permission === 'standby';
    this.#require(isStandby, 'order', `ack while the record says ${this.permission}`);
    this.acked = epoch;
  }

  feeds(epoch: number): void {
    this.#require(epoch <= this.whole, 'whole-epochs', `fed a torn epoch ${epoch}`);
    this.#require(epoch === this.fed + 1, 'order', `fed ${epoch} after ${this.fed}`);
    this.#require(epoch <= this.acked, 'order', `fed ${epoch} before its acknowledgement`);
    this.fed = epoch;
  }

  /**
   * What the record says changed. A power cut (`isUp` false) may take a step back that nobody had
   * heard of yet; one that was told, or acted upon, stays.
   */
  recordSays(permission: RecordPermission, isUp: boolean, isCopyWhole: boolean): void {
    const before = this.permission;
    if (permission === before) return;
    this.permission = permission;
    if (permission === 'activating' || permission === 'active') {
      const { withoutWitness } = this.#rules;
      const isSaid = weight[this.#said] >= weight[toActivate[withoutWitness]];
      this.#require(isSaid, 'tie', `${permission}, agreed ${withoutWitness}, said ${this.#said}`);
    }
    if (!isUp) {
      const isKnown = this.#told === before || (before === 'active' && this.activated !== null);
      this.#require(!isKnown, 'durable', `${before} was lost in a power cut: ${permission}`);
      return;
    }
    const isFinal = before === 'active' || before === 'promised' || before === 'lost';
    const isWord = before === 'active' && permission === 'lost' && this.isLostTyped;
    this.#require(!isFinal || isWord, 'record', `${before} became ${permission}`);
    if (permission !== 'promised' && permission !== 'lost') return;
    this.#require(!this.isCopyRunning, 'record', `${permission} while the copy runs`);
    if (permission === 'lost') return;
    // A whole copy is given up for somebody who goes on, not for nobody.
    const ageMs = this.#nowMs() - (this.#askedAtMs ?? Number.NEGATIVE_INFINITY);
    const isFor = ageMs <= askedMsMax || this.acked < 0 || !isCopyWhole;
    this.#require(isFor, 'promise-unasked', `promised, asked ${ageMs} ms ago`);
  }

  /** The primary's question came to the backup's host; there it may wait for a while. */
  asked(): void {
    this.#askedAtMs = this.#nowMs();
  }

  /** Whoever holds the copy knows of the question; it came over the session's link, or anew. */
  questionHeard(question: string, way: 'link' | 'fresh'): void {
    this.#questions.set(question, { way, atMs: this.#nowMs() });
  }

  questionOver(question: string): void {
    this.#questions.delete(question);
  }

  heartbeatArrived(seq: number): void {
    this.#beatHeard = Math.max(this.#beatHeard, seq);
  }

  linkOverOnB(): void {
    this.#isLinkOverOnB = true;
  }

  /** For how long the primary has heard nothing of the other side, as far as that can know, ms. */
  get #unheardMs(): number {
    if (!this.#rules.isBuffered || this.#isLinkOverOnB) return 0;
    return this.#heldMs.get(this.#beatHeard) ?? 0;
  }

  /**
   * The backup decides to activate: whoever asks is alive, and its promise comes first. A link
   * outlives neither of its hosts: of one that went down since, its questions may still arrive. And
   * over a link on which it hears nothing the primary would not hear the promise either.
   */
  decidesToActivate(isLinkOfDeadHost: boolean): void {
    const isLinkVain = isLinkOfDeadHost || this.#unheardMs > 0;
    for (const [question, { way, atMs }] of this.#questions) {
      if (way === 'link' && isLinkVain) continue;
      const ageMs = this.#nowMs() - atMs;
      const isForgotten = ageMs > 0.99 * questionWaitsMs;
      this.#require(isForgotten, 'asked-first', `activates, ${question} waits for ${ageMs} ms`);
    }
  }

  answered(kind: string): void {
    const isOfActive = kind === 'running' || kind === 'ended' || kind === 'absent';
    if (kind !== 'promised' && !isOfActive) return;
    const isTrue = isOfActive
      ? this.permission === 'active' || this.permission === 'lost'
      : this.permission === kind || this.permission === 'lost';
    this.#require(isTrue, 'record', `said ${kind}, it says ${this.permission}`);
    this.#told = isOfActive ? 'active' : this.permission;
  }

  /** Nothing reached the backup's host for so long, its own stalls not counted. */
  foundSilence(silentMs: number, slackMs: number): void {
    const isLong = silentMs + slackMs >= 0.99 * this.#rules.timeoutMs;
    this.#require(isLong, 'false-activation', `activates on a silence of ${silentMs} ms`);
  }

  /** The primary is heard, and said that it has heard nothing for so long. */
  foundHeld(): void {
    const { timeoutMs, holdMs } = this.#rules;
    const heldMs = this.#unheardMs;
    const isLong = heldMs >= 0.99 * (timeoutMs + holdMs);
    this.#require(isLong, 'false-activation', `activates, the primary is held for ${heldMs} ms`);
  }

  copyRuns(content: CopyContent): void {
    const { epoch, memory, disk, diskEpoch, isTorn } = content;
    this.#require(this.permission === 'active', 'record', `runs, record ${this.permission}`);
    this.#require(this.activated === null, 'one-active', 'a second copy runs');
    this.#require(!isTorn && epoch <= this.whole, 'whole-epochs', `runs from torn ${epoch}`);
    this.#require(epoch === this.acked, 'whole-epochs', `runs from ${epoch}, acked ${this.acked}`);
    const snapshot = this.#snapshots.get(epoch);
    this.#require(snapshot?.memory === memory, 'one-commit', `memory is not that of ${epoch}`);
    this.#require(diskEpoch === epoch, 'one-commit', `memory of ${epoch}, disk of ${diskEpoch}`);
    this.#require(snapshot?.disk === disk, 'one-commit', `disk is not that of ${epoch}`);
    const text = `runs from ${epoch}, clients have seen ${this.#emittedEpoch}`;
    this.#require(this.#emittedEpoch <= epoch, 'one-active', text);
    this.#require(!this.isOpened, 'one-active', 'runs after the primary has opened its buffer');
    this.activated = epoch;
    this.isCopyRunning = true;
  }

  copyEnded(): void {
    if (this.isCopyRunning) this.#copyLostAtMs = this.#nowMs();
    this.isCopyRunning = false;
  }

  // --- status ---

  /** The backup has a whole epoch, may activate, and is at work. */
  protecting(isProtecting: boolean): void {
    if (isProtecting) this.#protectedUntilMs = null;
    else this.#protectedUntilMs ??= this.#nowMs();
  }

  /** The primary's host stood still, and its clock. */
  primarySlept(sleptMs: number): void {
    if (this.#protectedUntilMs !== null) this.#protectedUntilMs += sleptMs;
  }

  primaryStatus(level: string): void {
    if (this.acked >= this.#escapedEpoch) this.#toldOfEscapeMs = null;
    if (level === 'ok' && this.#toldOfEscapeMs !== null) {
      const ageMs = this.#nowMs() - this.#toldOfEscapeMs;
      const text = `OK, and no copy knows of what got out ${ageMs} ms ago`;
      this.#require(ageMs <= statusMsMax, 'nothing-silent', text);
    }
    if (level !== 'ok' || this.#protectedUntilMs === null) return;
    const ageMs = this.#nowMs() - this.#protectedUntilMs;
    // A lease, one in a hundred for two clocks, and what a status may be old.
    const limitMs = 0.606 * this.#rules.timeoutMs + statusMsMax;
    this.#require(ageMs <= limitMs, 'nothing-silent', `OK, protected until ${ageMs} ms ago`);
  }
}
