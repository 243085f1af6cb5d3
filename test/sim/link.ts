/**
 * The replication network and TCP connections across it. A cut swallows packets silently, one way
 * or both; TCP keeps what was sent and delivers it, in order, after the network has healed. So a
 * message is late, or the connection ends and a tail of the stream is lost; nothing else.
 */
import type { Random } from './random.ts';

export type Side = 'a' | 'b';
export type Direction = 'ab' | 'ba';

export interface Timeline {
  readonly nowMs: number;
  readonly random: Random;
  after(delayMs: number, run: () => void): void;
}

export const otherSide = (side: Side): Side => (side === 'a' ? 'b' : 'a');
const directionFrom = (side: Side): Direction => (side === 'a' ? 'ab' : 'ba');

export class Network {
  readonly timeline: Timeline;
  readonly delayMsMin: number;
  readonly delayMsMax: number;
  readonly #cuts = { ab: 0, ba: 0 };
  readonly #resumeAtMs = { ab: 0, ba: 0 };
  readonly #frozen = { a: false, b: false };
  readonly #frozenFromMs = { a: 0, b: 0 };
  readonly #onThaw: ((side: Side, stoodMs: number) => void)[] = [];
  readonly #healed: (() => void)[] = [];

  constructor(timeline: Timeline, delayMsMin: number, delayMsMax: number) {
    this.timeline = timeline;
    this.delayMsMin = delayMsMin;
    this.delayMsMax = delayMsMax;
  }

  delayMs(): number {
    return this.timeline.random.between(this.delayMsMin, this.delayMsMax);
  }

  isCut(direction: Direction): boolean {
    return this.#cuts[direction] > 0;
  }

  /** Nothing is delivered: the network is cut, or the receiving host stands still. */
  isBlocked(direction: Direction): boolean {
    return this.isCut(direction) || this.#frozen[direction === 'ab' ? 'b' : 'a'];
  }

  get isWhole(): boolean {
    return !this.isBlocked('ab') && !this.isBlocked('ba');
  }

  /** A host stands still, its kernel too. */
  freeze(side: Side): void {
    if (this.#frozen[side]) return;
    this.#frozen[side] = true;
    this.#frozenFromMs[side] = this.timeline.nowMs;
  }

  thaw(side: Side): void {
    if (!this.#frozen[side]) return;
    this.#frozen[side] = false;
    const stoodMs = this.timeline.nowMs - this.#frozenFromMs[side];
    for (const tell of this.#onThaw) tell(side, stoodMs);
    this.#resume(directionFrom(otherSide(side)));
  }

  /** Cuts may overlap; the direction is open again when all of them have healed. */
  cut(direction: Direction): void {
    this.#cuts[direction] += 1;
  }

  heal(direction: Direction): void {
    if (this.#cuts[direction] === 0) return;
    this.#cuts[direction] -= 1;
    if (this.isCut(direction)) return;
    this.#resume(direction);
  }

  /** The sender finds out at its next retransmission. */
  #resume(direction: Direction): void {
    const waitMs = this.timeline.random.between(0, 5 * this.delayMsMax);
    this.#resumeAtMs[direction] = this.timeline.nowMs + waitMs;
    for (const wake of this.#healed) wake();
  }

  healAll(): void {
    for (const direction of ['ab', 'ba'] as const) {
      while (this.isCut(direction)) this.heal(direction);
    }
  }

  resumeAtMs(direction: Direction): number {
    return this.#resumeAtMs[direction];
  }

  onHeal(wake: () => void): void {
    this.#healed.push(wake);
  }

  onThaw(tell: (side: Side, stoodMs: number) => void): void {
    this.#onThaw.push(tell);
  }
}

/** The network as one session has it: `a` is where its primary is. */
export class Paths {
  readonly #network: Network;
  readonly #isTurned: boolean;
  /**
   * When something of the session reached this side last; while its host stands still, no time
   * passes.
   */
  readonly #reachedAtMs = { a: 0, b: 0 };

  constructor(network: Network, isTurned: boolean) {
    this.#network = network;
    this.#isTurned = isTurned;
    network.onThaw((host, stoodMs) => {
      this.#reachedAtMs[isTurned ? otherSide(host) : host] += stoodMs;
    });
  }

  #way(direction: Direction): Direction {
    if (!this.#isTurned) return direction;
    return direction === 'ab' ? 'ba' : 'ab';
  }

  get timeline(): Timeline {
    return this.#network.timeline;
  }

  get isWhole(): boolean {
    return this.#network.isWhole;
  }

  delayMs(): number {
    return this.#network.delayMs();
  }

  isCut(direction: Direction): boolean {
    return this.#network.isCut(this.#way(direction));
  }

  isBlocked(direction: Direction): boolean {
    return this.#network.isBlocked(this.#way(direction));
  }

  resumeAtMs(direction: Direction): number {
    return this.#network.resumeAtMs(this.#way(direction));
  }

  onHeal(wake: () => void): void {
    this.#network.onHeal(wake);
  }

  reached(side: Side): void {
    this.#reachedAtMs[side] = this.#network.timeline.nowMs;
  }

  reachedAtMs(side: Side): number {
    return this.#reachedAtMs[side];
  }
}

interface Item<M> {
  readonly atMs: number;
  /** null: the end of the stream. */
  readonly message: M | null;
}

export interface Endpoint<M> {
  onMessage(message: M): void;
  onClosed(reason: string): void;
}

export class Connection<M> {
  readonly #network: Paths;
  readonly #ends: Readonly<Record<Side, Endpoint<M>>>;
  readonly #queues: Record<Direction, Item<M>[]> = { ab: [], ba: [] };
  readonly #isOpen: Record<Side, boolean> = { a: true, b: true };
  /** The host crashed; after its reboot the connection is unknown there. */
  readonly #crashed: Record<Side, boolean> = { a: false, b: false };
  readonly #isUp: (side: Side) => boolean;

  constructor(
    network: Paths,
    ends: Readonly<Record<Side, Endpoint<M>>>,
    isUp: (side: Side) => boolean,
  ) {
    this.#network = network;
    this.#ends = ends;
    this.#isUp = isUp;
    network.onHeal(() => {
      this.#wake('ab');
      this.#wake('ba');
    });
  }

  isOpen(side: Side): boolean {
    return this.#isOpen[side];
  }

  /** Messages of one side that were not delivered yet. */
  backlog(from: Side): number {
    return this.#queues[directionFrom(from)].length;
  }

  send(from: Side, message: M): void {
    if (!this.#isOpen[from]) return;
    const to = otherSide(from);
    if (this.#crashed[to] && this.#isUp(to)) {
      this.#resetFromReboot(from);
      return;
    }
    this.#enqueue(directionFrom(from), message);
  }

  /** FIN: what was sent before still arrives. The closing side hears nothing more. */
  close(from: Side): void {
    if (!this.#isOpen[from]) return;
    this.#isOpen[from] = false;
    this.#enqueue(directionFrom(from), null);
  }

  /** RST from this side (a killed process with unread input): a tail of the stream is lost. */
  abort(from: Side): void {
    const queue = this.#queues[directionFrom(from)];
    queue.length = this.#network.timeline.random.int(0, queue.length);
    this.close(from);
  }

  /** Something in between resets the connection; each side hears of it, or not. */
  reset(sides: readonly Side[], reason: string): void {
    for (const side of sides) {
      this.#network.timeline.after(this.#network.delayMs(), () => this.#closed(side, reason));
    }
  }

  /** The process of this side is gone: its kernel says so, with what was sent before or not. */
  processDied(side: Side): void {
    if (this.#network.timeline.random.chance(0.5)) this.close(side);
    else this.abort(side);
  }

  /** The host of this side crashed: no FIN, nothing. */
  crash(side: Side): void {
    this.#isOpen[side] = false;
    this.#crashed[side] = true;
    this.#queues[directionFrom(side)].length = 0;
  }

  #resetFromReboot(to: Side): void {
    const network = this.#network;
    network.timeline.after(2 * network.delayMs(), () => {
      if (network.isWhole) this.#closed(to, 'connection reset by a rebooted peer');
    });
  }

  #enqueue(direction: Direction, message: M | null): void {
    const queue = this.#queues[direction];
    const sentMs = this.#network.timeline.nowMs + this.#network.delayMs();
    const atMs = Math.max(sentMs, queue.at(-1)?.atMs ?? 0);
    queue.push({ atMs, message });
    if (queue.length === 1) this.#wake(direction);
  }

  #wake(direction: Direction): void {
    const head = this.#queues[direction][0];
    if (head === undefined || this.#network.isBlocked(direction)) return;
    const { timeline } = this.#network;
    const dueMs = Math.max(head.atMs, this.#network.resumeAtMs(direction));
    timeline.after(Math.max(0, dueMs - timeline.nowMs), () => this.#deliver(direction, head));
  }

  #deliver(direction: Direction, item: Item<M>): void {
    const queue = this.#queues[direction];
    // Another wake-up was first, or the network was cut again: then healing wakes it.
    if (queue[0] !== item || this.#network.isBlocked(direction)) return;
    if (this.#network.timeline.nowMs < this.#network.resumeAtMs(direction)) {
      this.#wake(direction);
      return;
    }
    queue.shift();
    const to: Side = direction === 'ab' ? 'b' : 'a';
    // The end of a stream is no sign of life.
    if (item.message !== null) this.#network.reached(to);
    if (this.#isOpen[to]) {
      if (item.message === null) this.#closed(to, 'end of stream');
      else this.#ends[to].onMessage(item.message);
    }
    this.#wake(direction);
  }

  #closed(side: Side, reason: string): void {
    if (!this.#isOpen[side]) return;
    this.#isOpen[side] = false;
    this.#queues[directionFrom(side)].length = 0;
    this.#ends[side].onClosed(reason);
    this.#enqueue(directionFrom(side), null);
  }
}
