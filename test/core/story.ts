/**
 * Tells what one machine does, line by line, for transcripts: time, event, state -> effects.
 * Ticks come when the machine wants them and are only told when they bring something about.
 */
import { backupWakeAtMs, initialBackup, stepBackup } from '../../src/core/backup/backup.ts';
import type { BackupConfig, BackupEffect, BackupEvent } from '../../src/core/backup/types.ts';
import {
  describeBackupEffect,
  describeBackupEvent,
  describeBackupState,
  describePrimaryEffect,
  describePrimaryEvent,
  describePrimaryState,
} from '../../src/core/describe.ts';
import { initialPrimary, primaryWakeAtMs, stepPrimary } from '../../src/core/primary/primary.ts';
import type { PrimaryConfig, PrimaryEffect, PrimaryEvent } from '../../src/core/primary/types.ts';

type Timeless<E> = E extends unknown ? Omit<E, 'nowMs'> : never;

function line(nowMs: number, event: string, state: string, effects: readonly string[]): string {
  const done = effects.length === 0 ? '' : `  -> ${effects.join(', ')}`;
  return `${String(nowMs).padStart(6)} ms  ${event.padEnd(34)} ${state}${done}`;
}

export const primaryConfig: PrimaryConfig = {
  heartbeatTimeoutMs: 1000,
  holdMs: 3000,
  buffered: true,
  withoutWitness: 'backup',
  schedule: { kind: 'fixed', intervalMs: 200 },
  pendingMax: 2,
  askEveryMs: 500,
};

export class PrimaryStory {
  readonly #lines: string[] = [];
  #state;
  /** While the link answers, every heartbeat is echoed after 2 ms. */
  #answers = true;
  #echoes: { readonly atMs: number; readonly seq: number }[] = [];
  readonly effects: PrimaryEffect[] = [];

  constructor(config: Partial<PrimaryConfig> = {}) {
    this.#state = initialPrimary({ ...primaryConfig, ...config }, 0);
  }

  get state() {
    return this.#state;
  }

  get text(): string {
    return `${this.#lines.join('\n')}\n`;
  }

  /** A sentence for the reader. */
  say(words: string): this {
    this.#lines.push(`# ${words}`);
    return this;
  }

  /** From now on nothing is echoed. */
  silence(): this {
    this.#answers = false;
    this.#echoes = [];
    return this;
  }

  answers(): this {
    this.#answers = true;
    return this;
  }

  at(nowMs: number, ...events: readonly Timeless<PrimaryEvent>[]): this {
    this.until(nowMs);
    for (const event of events) this.#step({ ...event, nowMs } as PrimaryEvent);
    return this;
  }

  /** Lets time pass. */
  until(nowMs: number): this {
    for (;;) {
      const wakeMs = primaryWakeAtMs(this.#state) ?? Number.POSITIVE_INFINITY;
      const echo = this.#echoes[0];
      const nextMs = Math.min(wakeMs, echo?.atMs ?? Number.POSITIVE_INFINITY);
      if (nextMs >= nowMs) return this;
      if (echo?.atMs === nextMs) {
        this.#echoes.shift();
        this.#step({ kind: 'echo', seq: echo.seq, nowMs: nextMs });
      } else {
        this.#step({ kind: 'tick', nowMs: nextMs });
      }
    }
  }

  /** Nothing happens until `nowMs`, not even a tick: the process stood still. */
  sleeps(nowMs: number): this {
    this.#echoes = [];
    this.#step({ kind: 'tick', nowMs });
    return this;
  }

  /** The engine's part of a checkpoint: suspended, drained, sent. */
  epoch(nowMs: number, epoch: number): this {
    return this.at(nowMs, { kind: 'checkpoint', epoch })
      .at(nowMs + 5, { kind: 'drained', epoch, pauseMs: 5, pages: 100 })
      .at(nowMs + 10, { kind: 'sent', epoch });
  }

  /** Open link, seed copied and acknowledged at 50 ms. */
  seeded(): this {
    return this.at(0, { kind: 'link-open' }).epoch(30, 0).at(50, { kind: 'ack', epoch: 0 });
  }

  #step(event: PrimaryEvent): void {
    const { state, effects } = stepPrimary(this.#state, event);
    this.#state = state;
    this.effects.push(...effects);
    for (const effect of effects) {
      if (effect.kind !== 'send-heartbeat' || !this.#answers) continue;
      this.#echoes.push({ atMs: event.nowMs + 2, seq: effect.seq });
    }
    const isRoutine = ['tick', 'echo', 'progress'].includes(event.kind);
    const told = effects.filter((effect) => effect.kind !== 'send-heartbeat');
    if (isRoutine && told.length === 0) return;
    const words = told.map(describePrimaryEffect);
    this.#lines.push(
      line(event.nowMs, describePrimaryEvent(event), describePrimaryState(state), words),
    );
  }
}

export const backupConfig: BackupConfig = {
  parts: ['memory'],
  heartbeatTimeoutMs: 1000,
  holdMs: 3000,
  buffered: true,
  withoutWitness: 'backup',
};

export class BackupStory {
  readonly #lines: string[] = [];
  #state;
  readonly effects: BackupEffect[] = [];

  constructor(config: Partial<BackupConfig> = {}) {
    this.#state = initialBackup({ ...backupConfig, ...config }, 0);
  }

  get state() {
    return this.#state;
  }

  get text(): string {
    return `${this.#lines.join('\n')}\n`;
  }

  say(words: string): this {
    this.#lines.push(`# ${words}`);
    return this;
  }

  at(nowMs: number, ...events: readonly Timeless<BackupEvent>[]): this {
    this.until(nowMs);
    for (const event of events) this.#step({ ...event, nowMs } as BackupEvent);
    return this;
  }

  until(nowMs: number): this {
    for (;;) {
      const wakeMs = backupWakeAtMs(this.#state) ?? Number.POSITIVE_INFINITY;
      if (wakeMs >= nowMs) return this;
      this.#step({ kind: 'tick', stalledMs: 0, nowMs: wakeMs });
    }
  }

  /** This process slept until `nowMs`: no tick in between. */
  sleeps(nowMs: number, first: Timeless<BackupEvent>): this {
    this.#step({ ...first, nowMs } as BackupEvent);
    return this;
  }

  /**
   * A sign of life every tenth of the timeout, up to `nowMs`. `heldFromMs`: from then on the
   * primary hears nothing.
   */
  alive(nowMs: number, heldFromMs = Number.POSITIVE_INFINITY): this {
    for (let atMs = this.#state.nowMs + 100; atMs <= nowMs; atMs += 100) {
      const heldMs = Math.max(0, atMs - heldFromMs);
      this.at(atMs, { kind: 'heartbeat', seq: Math.round(atMs / 100), heldMs });
    }
    return this;
  }

  /** The session began and epochs 0 and 1 are here at 100 ms. */
  holding(): this {
    return this.at(0, { kind: 'link-open' })
      .at(50, { kind: 'epoch-whole', part: 'memory', epoch: 0 })
      .at(
        100,
        { kind: 'heartbeat', seq: 1, heldMs: 0 },
        { kind: 'epoch-whole', part: 'memory', epoch: 1 },
      );
  }

  #step(event: BackupEvent): void {
    const { state, effects } = stepBackup(this.#state, event);
    this.#state = state;
    this.effects.push(...effects);
    const isRoutine = ['tick', 'bytes', 'heartbeat'].includes(event.kind);
    const told = effects.filter((effect) => effect.kind !== 'send-echo');
    const isStall = event.kind === 'tick' && event.stalledMs > 0;
    if (isRoutine && told.length === 0 && !isStall) return;
    const words = told.map(describeBackupEffect);
    this.#lines.push(
      line(event.nowMs, describeBackupEvent(event), describeBackupState(state), words),
    );
  }
}
