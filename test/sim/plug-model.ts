/**
 * The kernel's plug qdisc, as net/sched/sch_plug.c has it: the same counters, the same commands,
 * the same order of steps, and what the device does around it. For the simulator, and for whoever
 * wants to know what a sequence of commands lets out. Nothing of ours is in it: what to say to a
 * plug, and when, is the driver's part (src/output/plug).
 *
 * What it does not do is as important:
 *  - It remembers ONE finished epoch. A second BUFFER before the RELEASE_ONE overwrites
 *    `pkts_last_epoch`; the overwritten packets stay at the head, and RELEASE_ONE then lets
 *    out as many from the head as the NEWER epoch had: the wrong ones.
 *  - It counts packets and knows none of them.
 *  - A reset (its device is taken down) frees the packets and KEEPS the counters: releasing then
 *    lets out as many of what came later. A plug whose device was down must be made anew.
 *  - A new one is closed; RELEASE_INDEFINITE makes it pass everything through.
 */

/** TCQ_PLUG_* of linux/pkt_sched.h, without LIMIT. */
export type PlugCommand = 'buffer' | 'release-one' | 'release-indefinite';

export interface Frame {
  readonly bytes: number;
}

export class PlugModel<F extends Frame> {
  /** u32 limit, bytes. */
  readonly #limitBytes: number;
  /** The device sends it: whatever the qdisc lets go leaves at once. */
  readonly #send: (frame: F) => void;
  #isUnpluggedIndefinitely = false;
  #isThrottled = true;
  #packetsCurrentEpoch = 0;
  #packetsLastEpoch = 0;
  #packetsToRelease = 0;
  #queue: F[] = [];
  #backlogBytes = 0;
  #drops = 0;

  constructor(limitBytes: number, send: (frame: F) => void) {
    this.#limitBytes = limitBytes;
    this.#send = send;
  }

  /** What waits, head first. */
  get queue(): readonly F[] {
    return this.#queue;
  }

  /** qstats.backlog. */
  get backlogBytes(): number {
    return this.#backlogBytes;
  }

  /** qstats.drops: frames refused at the limit. */
  get drops(): number {
    return this.#drops;
  }

  get isPassingThrough(): boolean {
    return this.#isUnpluggedIndefinitely;
  }

  /** plug_enqueue(), and then the device looks whether there is something to send. */
  enqueue(frame: F): boolean {
    if (this.#backlogBytes + frame.bytes > this.#limitBytes) {
      this.#drops += 1;
      return false;
    }
    if (!this.#isUnpluggedIndefinitely) this.#packetsCurrentEpoch += 1;
    this.#queue.push(frame);
    this.#backlogBytes += frame.bytes;
    this.#run();
    return true;
  }

  /** plug_change(); a release schedules the device. */
  change(command: PlugCommand): void {
    switch (command) {
      case 'buffer':
        this.#packetsLastEpoch = this.#packetsCurrentEpoch;
        this.#packetsCurrentEpoch = 0;
        if (this.#isUnpluggedIndefinitely) this.#isThrottled = true;
        this.#isUnpluggedIndefinitely = false;
        return;
      case 'release-one':
        this.#packetsToRelease += this.#packetsLastEpoch;
        this.#packetsLastEpoch = 0;
        break;
      case 'release-indefinite':
        this.#isUnpluggedIndefinitely = true;
        this.#packetsToRelease = 0;
        this.#packetsLastEpoch = 0;
        this.#packetsCurrentEpoch = 0;
        break;
    }
    this.#isThrottled = false;
    this.#run();
  }

  /** qdisc_reset_queue(): its device is taken down, what waits is freed. Returns it. */
  reset(): readonly F[] {
    const lost = this.#queue;
    this.#queue = [];
    this.#backlogBytes = 0;
    return lost;
  }

  #run(): void {
    for (let frame = this.#dequeue(); frame !== null; frame = this.#dequeue()) this.#send(frame);
  }

  /** plug_dequeue(). */
  #dequeue(): F | null {
    if (this.#isThrottled) return null;
    if (!this.#isUnpluggedIndefinitely) {
      if (this.#packetsToRelease === 0) {
        this.#isThrottled = true;
        return null;
      }
      this.#packetsToRelease -= 1;
    }
    const frame = this.#queue.shift();
    if (frame === undefined) return null;
    this.#backlogBytes -= frame.bytes;
    return frame;
  }
}
