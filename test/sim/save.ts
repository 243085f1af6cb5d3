/**
 * libxl's checkpointed save and the native loop around it, on host A: the seed in pieces while the
 * guest runs, then one epoch per checkpoint. Its threads are the process's: they stop and die with
 * it. The suspend request is the guest's to obey, whatever becomes of the process; then the guest
 * stays suspended until somebody resumes it.
 */
import type { SaveEnd, SaveOperation, SaveOptions } from '../../src/hypervisor/port.ts';
import type { Domain } from './hypervisor.ts';
import type { SimProcess } from './process.ts';
import { encodeRecord, recordBytes } from './stream.ts';

/** libxl_dom_suspend.c: so long it waits for the guest to suspend. */
const xenWaitsMs = 60_000;

export class SimSave implements SaveOperation {
  readonly #process: SimProcess;
  readonly #domain: Domain;
  readonly #options: SaveOptions;
  #pending = Buffer.alloc(0);
  /** Bytes of the running epoch that were put into the stream. */
  #epochBytes = 0;
  /** Offsets in the whole stream where epochs end, those that were not read past. */
  readonly #ends: number[] = [];
  #written = 0;
  #read = 0;
  #isBusy = true;
  /** From the barrier on until the guest is resumed; by a process that lives. */
  isBarrierSet = false;
  /** The guest was asked to suspend, or is suspended. */
  #isSuspending = false;
  #isOver = false;
  #isAborted = false;
  /**
   * It ends so, as soon as a guest that was asked to suspend has done it: only then is it resumed.
   */
  #ending: SaveEnd | null = null;
  /** The epoch whose barrier comes next. */
  #epoch = 0;

  constructor(process: SimProcess, domain: Domain, options: SaveOptions) {
    this.#process = process;
    this.#domain = domain;
    this.#options = options;
    process.onExit(() => {
      this.#isOver = true;
      this.isBarrierSet = false;
    });
    this.#seed(0);
  }

  get #world() {
    return this.#process.world;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** The epoch that the guest is in: what it sends now belongs to it. */
  get epoch(): number {
    return this.#epoch;
  }

  #later(delayMs: number, what: () => void): void {
    this.#process.later(delayMs, () => {
      if (!this.#isOver && this.#domain.end === null) what();
    });
  }

  /** The seed streams while the guest runs; its last piece only comes after the barrier. */
  #seed(index: number): void {
    const { plan } = this.#world;
    this.#later(plan.chunkMs, () => {
      if (index === plan.seedChunks - 1) return this.#suspend();
      this.#write(index, plan.seedChunks, 0, 0);
      this.#seed(index + 1);
    });
  }

  #write(index: number, count: number, memory: number, disk: number): void {
    const record = encodeRecord({ epoch: this.#epoch, index, count, memory, disk });
    this.#pending = Buffer.concat([this.#pending, record]);
    this.#written += recordBytes;
    this.#epochBytes += recordBytes;
    this.#options.onEvent({ kind: 'data' });
  }

  checkpoint(): boolean {
    if (this.#isBusy || this.#isOver) return false;
    this.#process.call('checkpoint', () => {
      this.#world.checker.acted('checkpoint');
      if (this.#isOver) return;
      this.#isBusy = true;
      this.#suspend();
    });
    return true;
  }

  /** Asks the guest, and waits for it. */
  #suspend(): void {
    const { plan, random, faults } = this.#world;
    const { guest } = this.#domain;
    const epoch = this.#epoch;
    this.#isSuspending = true;
    const ask = (lateMs = 0): void => {
      this.#world.after(lateMs + plan.suspendMs * random.between(0.5, 1.5), () => {
        if (lateMs > 0) faults.latePending -= 1;
        if (guest === null || this.#domain.end !== null) return;
        // A paused guest cannot take part in its own suspend.
        if (guest.isPaused) return ask();
        guest.isSuspended = true;
        this.#process.run(() => {
          if (this.#isOver) return;
          if (this.#ending !== null) this.#end(this.#ending);
          else this.#suspended();
        });
      });
    };
    this.#process.call('suspend', () => ask(faults.takeLateSuspend()));
    this.#process.later(xenWaitsMs, () => {
      const isWaiting = this.#epoch === epoch && this.#isSuspending && !this.isBarrierSet;
      if (!isWaiting || this.#isOver) return;
      const reason = 'guest did not suspend, timed out';
      this.#end(this.#ending ?? { kind: 'failed', reason, left: 'runs' });
    });
  }

  #suspended(): void {
    const { plan, random, checker, machines } = this.#world;
    const { guest } = this.#domain;
    if (guest === null) return;
    const epoch = this.#epoch;
    const setBarriers = (): void => {
      for (const barrier of this.#options.barriers) this.#world.barrier(barrier, epoch, guest);
    };
    if (machines.barrierAt === 'suspended') setBarriers();
    this.isBarrierSet = true;
    checker.barrier(epoch, guest.memory, guest.disk);
    const { memory, disk } = guest;
    this.#options.onEvent({ kind: 'checkpoint', epoch });
    const count = epoch === 0 ? plan.seedChunks : plan.epochChunks;
    const first = epoch === 0 ? count - 1 : 0;
    for (let index = first; index < count; index += 1) this.#write(index, count, memory, disk);
    this.#later(plan.drainMs * random.between(0.5, 1.5), () => {
      guest.isSuspended = false;
      this.isBarrierSet = false;
      this.#isSuspending = false;
      this.#epoch = epoch + 1;
      if (machines.barrierAt === 'resumed') this.#world.after(plan.packetMs, setBarriers);
      this.#ends.push(this.#written);
      const bytes = this.#epochBytes;
      this.#epochBytes = 0;
      this.#isBusy = false;
      const figures = { pages: plan.epochPages, pauseMs: plan.drainMs, stalledMs: 0 };
      this.#options.onEvent({ kind: 'epoch-end', epoch, bytes, ...figures });
    });
  }

  read(out: Buffer): number {
    const end = this.#ends[0] ?? this.#written;
    const count = Math.min(out.length, end - this.#read, this.#pending.length);
    this.#pending.copy(out, 0, 0, count);
    this.#pending = this.#pending.subarray(count);
    this.#read += count;
    if (this.#read === this.#ends[0]) this.#ends.shift();
    return count;
  }

  abort(): void {
    if (this.#isAborted) return;
    this.#isAborted = true;
    const { plan, random } = this.#world;
    this.#process.call('abort', () => {
      this.#process.later(plan.abortMs * random.next(), () =>
        this.#endSoon({ kind: 'aborted', left: 'runs' }),
      );
    });
  }

  /** libxl gives up by itself. */
  fail(): void {
    this.#process.run(() =>
      this.#endSoon({ kind: 'failed', reason: 'libxl gave up', left: 'runs' }),
    );
  }

  #endSoon(end: SaveEnd): void {
    const isHere = !this.#isSuspending || this.#domain.guest?.isSuspended === true;
    // In the seed nobody waits for the guest: it may not have been asked yet.
    if (isHere || this.#epoch === 0) this.#end(end);
    else this.#ending = end;
  }

  /** The domain has ended by itself. */
  guestEnded(domain: Domain): void {
    if (domain !== this.#domain) return;
    const end = { kind: 'guest-ended', reason: 'poweroff' } as const;
    this.#process.later(this.#world.plan.delayMsMin, () => this.#end(end));
  }

  #end(end: SaveEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.isBarrierSet = false;
    const { guest } = this.#domain;
    const isAsked = this.#isSuspending && guest?.isSuspended === false;
    if (guest !== null) guest.isSuspended = false;
    const left = isAsked ? 'asked' : 'runs';
    const told = end.kind === 'guest-ended' ? end : { ...end, left: left as typeof end.left };
    this.#options.onEvent({ kind: 'ended', end: told });
  }
}
