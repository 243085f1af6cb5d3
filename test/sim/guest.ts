/**
 * A guest, its packets, and the buffer that holds them. A guest's memory and disk are counters:
 * with every packet it counts on, and the packet carries the count. So a client that has seen
 * packet 41 has proof that state 41 existed.
 */
import type { Side } from './link.ts';

export interface Packet {
  readonly from: Side;
  /** The guest's count when it was sent. */
  readonly count: number;
  /** Primary: the epoch it was sent in. */
  readonly epoch: number;
}

export class Guest {
  readonly side: Side;
  isAlive = true;
  isSuspended = false;
  isPaused = false;
  isFrozen = false;
  memory: number;
  disk: number;

  constructor(side: Side, memory: number, disk: number) {
    this.side = side;
    this.memory = memory;
    this.disk = disk;
  }

  get isRunning(): boolean {
    return this.isAlive && !this.isSuspended && !this.isPaused && !this.isFrozen;
  }

  /** One step of work: changes memory and disk, and sends a packet about it. */
  work(epoch: number): Packet {
    this.memory += 1;
    this.disk += 1;
    return { from: this.side, count: this.memory, epoch };
  }
}

/** The plug: lives in the kernel, so it survives the process, not the host. */
export class OutputBuffer {
  readonly #emit: (packet: Packet) => void;
  #isHolding = false;
  #isRemoved = false;
  #held: Packet[] = [];

  constructor(emit: (packet: Packet) => void) {
    this.#emit = emit;
  }

  get isHolding(): boolean {
    return this.#isHolding;
  }

  accept(packet: Packet): void {
    if (this.#isHolding) this.#held.push(packet);
    else this.#emit(packet);
  }

  /** From the first barrier on, what is sent is held; once removed, the buffer stays away. */
  barrier(): void {
    if (!this.#isRemoved) this.#isHolding = true;
  }

  release(epoch: number): void {
    const out = this.#held.filter((packet) => packet.epoch <= epoch);
    this.#held = this.#held.filter((packet) => packet.epoch > epoch);
    for (const packet of out) this.#emit(packet);
  }

  open(): void {
    this.#isRemoved = true;
    this.#isHolding = false;
    const out = this.#held;
    this.#held = [];
    for (const packet of out) this.#emit(packet);
  }

  drop(): void {
    this.#held = [];
  }
}
