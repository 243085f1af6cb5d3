/**
 * The permission record on the backup host's disk: durable, survives a reboot; the disk can be
 * slow, full, or fail after the step was taken (reported as failed; then it is read back).
 */
import type { Permission } from '../../src/core/vocabulary.ts';
import type { Checker } from './checker.ts';
import type { Timeline } from './link.ts';

interface Write {
  readonly from: Permission;
  readonly to: Permission;
  isDone: boolean;
}

export type WriteResult =
  | { readonly ok: true; readonly permission: Permission }
  | { readonly ok: false; readonly reason: string };

export class RecordStore {
  readonly #timeline: Timeline;
  readonly #checker: Checker;
  readonly #diskMs: number;
  permission: Permission | null = null;
  isRunning = false;
  isFull = false;
  slowMs = 0;
  /** So many of the next writes take effect, but are reported as failed. */
  liesLeft = 0;
  #writes: Write[] = [];

  constructor(timeline: Timeline, checker: Checker, diskMs: number) {
    this.#timeline = timeline;
    this.#checker = checker;
    this.#diskMs = diskMs;
  }

  get delayMs(): number {
    return this.#diskMs * this.#timeline.random.between(0.5, 2) + this.slowMs;
  }

  create(): void {
    this.permission = 'standby';
    this.#checker.recorded('standby');
  }

  /** Compare-and-swap, synced. `isHere`: the process that waits for it still lives. */
  move(from: Permission, to: Permission, done: (result: WriteResult) => void): void {
    const write: Write = { from, to, isDone: false };
    this.#writes.push(write);
    this.#timeline.after(this.delayMs, () => {
      if (write.isDone) return;
      write.isDone = true;
      this.#writes = this.#writes.filter((other) => other !== write);
      if (this.isFull) return done({ ok: false, reason: 'no space left on device' });
      this.#apply(write);
      if (this.liesLeft > 0) {
        this.liesLeft -= 1;
        return done({ ok: false, reason: 'input/output error' });
      }
      done({ ok: true, permission: this.permission ?? 'standby' });
    });
  }

  noteRunning(done: () => void): void {
    this.#timeline.after(this.delayMs, () => {
      if (!this.isFull && this.permission === 'active') this.isRunning = true;
      done();
    });
  }

  /** The host crashed: what was being written got through, or not. */
  crash(): void {
    for (const write of this.#writes) {
      write.isDone = true;
      if (!this.isFull && this.#timeline.random.chance(0.5)) this.#apply(write);
    }
    this.#writes = [];
  }

  #apply(write: Write): void {
    if (this.permission !== write.from) return;
    this.permission = write.to;
    this.#checker.recorded(write.to);
  }
}
