/** Heartbeats by datagram: late, lost, out of order, and never across a cut. */
import type { OfferedPulse, Pulse } from '../../src/link/pulse.ts';
import { otherSide, type Side } from './link.ts';
import type { SimProcess } from './process.ts';

const noCounters = { sent: 0, received: 0, foreign: 0, stale: 0, sendErrors: 0 };

/** One end; `peer` is set once the other one is there. */
export class SimPulse implements Pulse {
  readonly #process: SimProcess;
  readonly #side: Side;
  readonly #onHeard: (seq: number, heldMs: number) => void;
  peer: SimPulse | null = null;
  newest = -1;
  readonly counters = noCounters;
  #isClosed = false;

  constructor(process: SimProcess, side: Side, onHeard: (seq: number, heldMs: number) => void) {
    this.#process = process;
    this.#side = side;
    this.#onHeard = onHeard;
  }

  send(seq: number, heldMs = 0): void {
    const { world } = this.#process;
    const { network, paths, plan, random } = world;
    this.#process.call('datagram', () => {
      if (this.#side === 'a') world.sending('a', { kind: 'heartbeat', seq, heldMs });
      if (this.#isClosed || random.chance(plan.datagramLoss)) return;
      const direction = this.#side === 'a' ? 'ab' : 'ba';
      world.after(network.delayMs(), () => {
        if (paths.isBlocked(direction)) return;
        paths.reached(otherSide(this.#side));
        this.peer?.heard(seq, heldMs);
      });
    });
  }

  heard(seq: number, heldMs: number): void {
    this.#process.run(() => {
      if (this.#isClosed || seq <= this.newest) return;
      this.newest = seq;
      const { world } = this.#process;
      if (this.#side === 'a') world.arrived('a', { kind: 'echo', seq });
      else world.arrived('b', { kind: 'heartbeat', seq, heldMs });
      this.#onHeard(seq, heldMs);
    });
  }

  close(): void {
    this.#isClosed = true;
  }
}

export function offered(pulse: SimPulse): OfferedPulse {
  return { pulse, offer: { address: '192.0.2.2', port: 7, key: '0'.repeat(64) } };
}
