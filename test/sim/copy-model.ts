/**
 * The copy on host B: libxl's restore operation, which applies what it is fed, builds a paused
 * domain at end-of-file; the disk, whose writes of an epoch commit when it is fed; the domain.
 */
import type { BackupHost } from './backup-host.ts';
import type { CopyContent } from './checker.ts';
import { Guest } from './guest.ts';
import type { Chunk } from './messages.ts';
import type { World } from './world.ts';

interface Received {
  readonly chunk: Chunk;
  readonly chunks: number;
}

export class CopyModel {
  readonly #world: World;
  readonly #host: BackupHost;
  readonly #received = new Map<number, Received>();
  #applying: number[] = [];
  #memoryEpoch = -1;
  #diskEpoch = -1;
  #isTorn = false;
  #hasFailed = false;
  #domain: 'none' | 'receiving' | 'built' | 'running' = 'receiving';
  guest: Guest | null = null;
  appliesLeftToFail = 0;
  buildsLeftToFail = 0;
  unpausesLeftToFail = 0;
  discardsLeftToFail = 0;

  constructor(world: World, host: BackupHost) {
    this.#world = world;
    this.#host = host;
  }

  get isWhole(): boolean {
    return this.#domain === 'receiving' && !this.#hasFailed;
  }

  get isRunning(): boolean {
    return this.#domain === 'running';
  }

  get isGone(): boolean {
    return this.#domain === 'none';
  }

  /** Takes a chunk; true when its epoch is whole. Epoch 0 is applied as it comes. */
  receive(chunk: Chunk): boolean {
    const before = this.#received.get(chunk.epoch)?.chunks ?? 0;
    if (before !== chunk.index) throw new Error('the simulator lost a chunk of a stream');
    this.#received.set(chunk.epoch, { chunk, chunks: before + 1 });
    const isWhole = before + 1 === chunk.count;
    if (isWhole && chunk.epoch === 0) {
      this.#memoryEpoch = 0;
      this.#diskEpoch = 0;
    }
    return isWhole;
  }

  feed(epoch: number): void {
    const received = this.#received.get(epoch);
    if (received === undefined) return; // a mutant feeds what is not here
    this.#diskEpoch = epoch;
    this.#isTorn ||= received.chunks < received.chunk.count;
    this.#applying.push(epoch);
    this.#host.process.later(this.#world.plan.applyMs, () => this.#applyNext());
  }

  #applyNext(): void {
    const epoch = this.#applying.shift();
    if (epoch === undefined || this.#hasFailed) return;
    if (this.appliesLeftToFail > 0) {
      this.appliesLeftToFail -= 1;
      this.#hasFailed = true;
      this.#host.dispatch({ kind: 'copy-failed', reason: `epoch ${epoch} cannot be applied` });
      return;
    }
    this.#memoryEpoch = epoch;
  }

  /** End-of-file: what was fed is applied, then the domain is built. */
  build(): void {
    const { plan } = this.#world;
    const restMs = plan.applyMs * this.#applying.length;
    this.#host.process.later(restMs + plan.buildMs, () => {
      while (this.#applying.length > 0 && !this.#hasFailed) this.#applyNext();
      if (this.#domain !== 'receiving') return;
      if (this.#hasFailed || this.buildsLeftToFail > 0) {
        this.buildsLeftToFail = Math.max(0, this.buildsLeftToFail - 1);
        this.#host.dispatch({ kind: 'build-failed', reason: 'libxl cannot build the domain' });
        return;
      }
      this.#domain = 'built';
      this.#host.dispatch({ kind: 'built' });
    });
  }

  unpause(): void {
    const { process } = this.#host;
    process.later(this.#world.plan.tickMs / 4, () => {
      if (this.unpausesLeftToFail > 0) {
        this.unpausesLeftToFail -= 1;
        this.#host.dispatch({ kind: 'unpause-failed', reason: 'libxl cannot unpause' });
        return;
      }
      this.#run();
      this.#host.dispatch({ kind: 'running' });
    });
  }

  /** The owner died between `active` and the unpausing. */
  finishActivation(): void {
    if (this.#domain === 'built') this.#run();
  }

  discard(): void {
    this.#host.process.later(this.#world.plan.buildMs / 4, () => {
      if (this.discardsLeftToFail > 0) {
        this.discardsLeftToFail -= 1;
        this.#host.dispatch({ kind: 'discard-failed', reason: 'libxl cannot destroy' });
        return;
      }
      this.destroy();
      this.#host.dispatch({ kind: 'discarded' });
    });
  }

  destroy(): void {
    if (this.#domain === 'running') {
      this.#world.checker.fail('record', 'a running copy was destroyed');
    }
    this.#domain = 'none';
  }

  crash(): void {
    this.#domain = 'none';
    if (this.guest !== null) this.guest.isAlive = false;
    this.#world.checker.copyEnded();
  }

  #run(): void {
    const { checker } = this.#world;
    const content: CopyContent = {
      epoch: this.#memoryEpoch,
      memory: this.#received.get(this.#memoryEpoch)?.chunk.memory ?? -1,
      diskEpoch: this.#diskEpoch,
      disk: this.#received.get(this.#diskEpoch)?.chunk.disk ?? -1,
      isTorn: this.#isTorn,
    };
    this.#domain = 'running';
    this.guest = new Guest('b', content.memory, content.disk);
    this.#world.trace('B', () => `the copy runs from epoch ${content.epoch}`);
    checker.copyRuns(content);
    this.#guestWorks(this.guest);
  }

  #guestWorks(guest: Guest): void {
    const { plan, random, checker } = this.#world;
    this.#world.after(plan.packetMs * random.between(0.5, 1.5), () => {
      if (!guest.isAlive) return;
      if (guest.isRunning) checker.emitted(guest.work(0));
      this.#guestWorks(guest);
    });
  }
}
