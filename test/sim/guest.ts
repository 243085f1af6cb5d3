/**
 * A guest and its packets. A guest's memory and disk are counters:
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
  /** The interface it was sent on. */
  readonly port: number;
  readonly bytes: number;
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
  work(epoch: number, port = 0, bytes = 60): Packet {
    this.memory += 1;
    this.disk += 1;
    return { from: this.side, count: this.memory, epoch, port, bytes };
  }
}
