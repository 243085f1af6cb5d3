/**
 * libxl's checkpointed save on host A, and the pump that sends its stream: the seed in chunks,
 * then one epoch per checkpoint. Driven by the process: when that is stopped, so is this.
 */
import type { PrimaryHost } from './primary-host.ts';
import type { World } from './world.ts';

/** Chunks in flight before the sender waits for the link (credit). */
const windowChunks = 4;

export class SaveOperation {
  readonly #world: World;
  readonly #host: PrimaryHost;
  #isOver = false;
  #isEndReported = false;
  #chunks: (() => void)[] = [];
  #isPumping = false;
  /** Chunks that the backup did not say to have used up. */
  #inFlight = 0;
  #isMuted = false;
  #isSeedAnnounced = false;
  /** The next chunk arrives damaged. */
  damages = false;
  /** The epoch that the guest is in: what it sends now belongs to it. */
  epoch = 0;

  constructor(world: World, host: PrimaryHost) {
    this.#world = world;
    this.#host = host;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  start(): void {
    const { plan } = this.#world;
    // The seed streams while the guest runs; its last chunk only leaves after the barrier.
    for (let index = 0; index < plan.seedChunks - 1; index += 1) {
      this.#chunks.push(() => this.#sendChunk(0, index, plan.seedChunks, 0, 0));
    }
    this.#pump();
    const seedMs = plan.seedChunks * plan.chunkMs;
    this.#later(seedMs, () => this.#suspend(0));
  }

  takeCheckpoint(epoch: number): void {
    if (!this.#isOver) this.#suspend(epoch);
  }

  abort(): void {
    const { plan, random } = this.#world;
    // The pump stops: a seed whose end was not announced stays torn; of what was announced, some
    // may still leave.
    if (!this.#isSeedAnnounced || random.chance(0.5)) {
      this.#isMuted = true;
      this.#chunks = [];
    }
    this.#host.process.later(plan.abortMs * random.next(), () => {
      this.#end();
      if (this.#isEndReported) return;
      this.#isEndReported = true;
      this.#host.dispatch({ kind: 'save-ended' });
    });
  }

  /** libxl gives up by itself. */
  fail(): void {
    if (this.#isOver) return;
    this.#end();
    this.#isEndReported = true;
    this.#host.dispatch({ kind: 'save-failed', reason: 'libxl gave up' });
  }

  /** However the process dies, the guest is not left suspended. */
  processDied(): void {
    this.#end();
    this.#chunks = [];
  }

  #end(): void {
    this.#isOver = true;
    this.#host.guest.isSuspended = false;
  }

  #later(delayMs: number, what: () => void): void {
    this.#host.process.later(delayMs, () => {
      if (!this.#isOver && this.#host.guest.isAlive) what();
    });
  }

  #suspend(epoch: number): void {
    const { plan, random, checker, machines } = this.#world;
    this.#later(plan.suspendMs * random.between(0.5, 1.5), () => {
      const { guest, buffer } = this.#host;
      // A paused guest cannot take part in its own suspend.
      if (guest.isPaused) return this.#suspend(epoch);
      guest.isSuspended = true;
      this.epoch = epoch + 1;
      if (machines.barrierAt === 'suspended') buffer?.barrier(epoch);
      checker.barrier(epoch, guest.memory, guest.disk);
      const { memory, disk } = guest;
      this.#host.dispatch({ kind: 'checkpoint', epoch });
      this.#later(plan.drainMs * random.between(0.5, 1.5), () => {
        guest.isSuspended = false;
        if (machines.barrierAt === 'resumed')
          this.#world.after(plan.packetMs, () => buffer?.barrier(epoch));
        this.#host.dispatch({
          kind: 'drained',
          epoch,
          pauseMs: plan.drainMs,
          pages: plan.epochPages,
        });
        this.#queueEpoch(epoch, memory, disk);
      });
    });
  }

  #queueEpoch(epoch: number, memory: number, disk: number): void {
    if (this.#isMuted) return;
    const { plan } = this.#world;
    const count = epoch === 0 ? plan.seedChunks : plan.epochChunks;
    for (let index = epoch === 0 ? count - 1 : 0; index < count; index += 1) {
      this.#chunks.push(() => this.#sendChunk(epoch, index, count, memory, disk));
    }
    this.#pump();
  }

  #pump(): void {
    if (this.#isPumping || this.#chunks.length === 0) return;
    this.#isPumping = true;
    this.#host.process.later(this.#world.plan.chunkMs, () => {
      this.#isPumping = false;
      if (this.#inFlight < windowChunks) this.#chunks.shift()?.();
      this.#pump();
    });
  }

  /** The backup has used up a chunk: another may be sent. */
  credited(): void {
    this.#inFlight -= 1;
  }

  #sendChunk(epoch: number, index: number, count: number, memory: number, disk: number): void {
    const { connection } = this.#world;
    this.#inFlight += 1;
    const isDamaged = this.damages;
    this.damages = false;
    // Said before: once the last chunk is handed over, the backup may have the epoch whole.
    if (index === count - 1) {
      this.#host.dispatch({ kind: 'sent', epoch });
      if (this.#isMuted) return;
      this.#isSeedAnnounced = true;
    }
    connection.send('a', { kind: 'chunk', epoch, index, count, memory, disk, isDamaged });
  }
}
