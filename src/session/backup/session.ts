/**
 * Shell around the backup machine: checks what arrives, commits whole epochs, keeps the
 * record, builds or discards the copy. Decides nothing.
 */
import {
  backupWakeAtMs,
  failoverRefusal,
  initialBackup,
  stepBackup,
} from '../../core/backup/backup.ts';
import type { BackupState } from '../../core/backup/state.ts';
import type {
  BackupConfig,
  BackupEffect,
  BackupEvent,
  BackupOutcome,
  OwnPermission,
} from '../../core/backup/types.ts';
import { describeBackupEffect, describeBackupEvent } from '../../core/describe.ts';
import { recordRetryMs } from '../../core/limits.ts';
import { answerOf } from '../../core/permission/record.ts';
import { neededToActivate, type Said } from '../../core/permission/tie.ts';
import { farewell } from '../../core/texts/outcomes.ts';
import type { Answer } from '../../core/vocabulary.ts';
import type { BackupDisk } from '../../disk/port.ts';
import { sleep, type Time } from '../../host/clock.ts';
import { errorText } from '../../host/errors.ts';
import type { Log } from '../../host/log.ts';
import type { Lack } from '../../hypervisor/port.ts';
import type { ControlMessage } from '../../link/link.ts';
import type { FailoverPlan } from '../../registry/control.ts';
import { Machine, Row } from '../machine.ts';
import { WakeTimer } from '../wake-timer.ts';
import type { Copy } from './copy.ts';
import { NeedsWait } from './needs-wait.ts';

/** The machine is looked at when it wants to be, within these bounds, ms. */
const tickMsMin = 5;
const tickMsMax = 1_000;
/** A tick later than planned by more than this was not slept, it was suffered. */
const tickLateMs = 50;

/** The durable record, as far as the session needs it (src/permission/record.ts). */
export interface SessionRecord {
  /** Compare-and-swap; what the record says afterwards. Rejects when nothing was decided. */
  move(
    from: OwnPermission,
    to: OwnPermission,
    epoch: number,
    why: string,
    said: Said,
  ): Promise<OwnPermission>;
  read(): Promise<OwnPermission>;
  noteBuilt(): Promise<void>;
  noteRunning(): Promise<void>;
}

export interface BackupParts extends Time {
  readonly config: BackupConfig;
  /** The machine; stepBackup, unless a test breaks it on purpose. */
  readonly step?: typeof stepBackup;
  /** The memory's part of each epoch, and what is built of it. */
  readonly copy: Pick<Copy, 'commit' | 'lastEpoch' | 'build' | 'unpause' | 'discard'>;
  /** The other parts of each epoch, by the names that `config` has. */
  readonly disks: readonly BackupDisk[];
  readonly record: SessionRecord;
  /** What this host has not that the copy needs. */
  readonly lacks: () => Promise<readonly Lack[]>;
  readonly send: (message: ControlMessage) => void;
  readonly closeLink: (reason: string) => void;
  readonly log: Log;
  readonly onChange: () => void;
}

export class BackupSession {
  readonly #parts: BackupParts;
  readonly #machine: Machine<BackupState, BackupEvent, BackupEffect>;
  readonly #row: Row;
  readonly #asked = new Map<number, (answer: Answer | null) => void>();
  readonly #failovers = new Map<number, (refused: string | null) => void>();
  #nextToken = 1_000_000_000;
  readonly #timer: WakeTimer;
  readonly #needs: NeedsWait;
  #over = false;
  #linkOpen = true;
  #phase: BackupState['phase'] = 'connecting';
  #permission: OwnPermission = 'standby';
  #finish: (outcome: BackupOutcome) => void = () => {};
  #fail: (error: unknown) => void = () => {};
  readonly #done: Promise<BackupOutcome>;

  constructor(parts: BackupParts) {
    this.#parts = parts;
    const { step = stepBackup, timers, log, lacks, onChange } = parts;
    this.#needs = new NeedsWait({ timers, log, lacks, onChange });
    const initial = initialBackup(parts.config, this.#now());
    this.#machine = new Machine(initial, step, (effect) => this.#perform(effect));
    this.#timer = new WakeTimer({
      clock: parts.clock,
      timers: parts.timers,
      minMs: tickMsMin,
      maxMs: tickMsMax,
      onWake: (plannedMs) => this.#tick(plannedMs),
    });
    this.#row = new Row((error) => parts.log.error(errorText(error)));
    this.#done = new Promise((resolve, reject) => {
      this.#finish = resolve;
      this.#fail = reject;
    });
  }

  #now(): number {
    return this.#parts.clock.nowMs();
  }

  get state(): BackupState {
    return this.#machine.state;
  }

  /** Starts the clocks; resolves with the outcome. Rejects only on a violated invariant. */
  run(): Promise<BackupOutcome> {
    for (const disk of this.#parts.disks) {
      disk.listen({
        whole: (epoch) => this.onEpochWhole(disk.name, epoch),
        lost: (reason) => this.onCopyFailed(`disk ${disk.name}: ${reason}`),
      });
    }
    this.#dispatch({ kind: 'link-open', nowMs: this.#now() });
    return this.#done;
  }

  /**
   * Input is drained first: whatever the kernel holds for us was read by then, so silence is
   * counted on what truly did not arrive.
   */
  #tick(plannedMs: number): void {
    this.#parts.timers.soon(() => {
      const nowMs = this.#now();
      const late = nowMs - plannedMs;
      this.#dispatch({ kind: 'tick', nowMs, stalledMs: late > tickLateMs ? late : 0 });
    });
  }

  onBytes(): void {
    this.#dispatch({ kind: 'bytes', nowMs: this.#now() });
  }

  onHeartbeat(seq: number, heldMs: number): void {
    this.#dispatch({ kind: 'heartbeat', seq, heldMs, nowMs: this.#now() });
  }

  onEpochWhole(part: string, epoch: number): void {
    this.#dispatch({ kind: 'epoch-whole', part, epoch, nowMs: this.#now() });
  }

  onCorrupt(reason: string): void {
    this.#dispatch({ kind: 'corrupt', reason, nowMs: this.#now() });
  }

  onCopyFailed(reason: string): void {
    this.#dispatch({ kind: 'copy-failed', reason, nowMs: this.#now() });
  }

  onLinkClosed(reason: string): void {
    if (!this.#linkOpen) return;
    this.#linkOpen = false;
    this.#dispatch({ kind: 'link-closed', reason, nowMs: this.#now() });
  }

  /** Told to end; the session does, as soon as it may. */
  leave(reason: string): void {
    this.#dispatch({ kind: 'leave', reason, nowMs: this.#now() });
  }

  /** What the copy waits for before it is built; empty: for nothing. */
  get lacks(): readonly Lack[] {
    return this.#needs.lacks;
  }

  /** The primary asks on the link. */
  onAsk(id: number): void {
    this.#needs.asked();
    this.#dispatch({ kind: 'ask', way: 'link', token: id, nowMs: this.#now() });
  }

  /**
   * A fresh run of the transport asks, through the control socket. Null: the copy took over, and
   * what has become of it is to be looked up.
   */
  askFresh(): Promise<Answer | null> {
    const token = this.#nextToken++;
    this.#needs.asked();
    return new Promise((resolve) => {
      this.#asked.set(token, resolve);
      this.#dispatch({ kind: 'ask', way: 'fresh', token, nowMs: this.#now() });
      if (this.#over) this.#answer(token, this.#finalAnswer());
    });
  }

  /** What `failover` would do now. */
  failoverPlan(): FailoverPlan {
    const { state } = this;
    const heard = `the primary was heard ${Math.round(this.#now() - state.heardAtMs)} ms ago`;
    const ended = state.linkReason === null ? [] : [state.linkReason];
    const needs = neededToActivate(state.config.withoutWitness);
    return { refused: failoverRefusal(state, 'word'), needs, primary: [heard, ...ended] };
  }

  /** Resolves when the session is over. */
  outcome(): Promise<BackupOutcome> {
    return this.#done;
  }

  /** The administrator's failover; null when it begins, else why it is refused. */
  failover(vouched: boolean): Promise<string | null> {
    const token = this.#nextToken++;
    return new Promise((resolve) => {
      this.#failovers.set(token, resolve);
      this.#dispatch({ kind: 'failover', token, vouched, nowMs: this.#now() });
    });
  }

  /** What the record answers once the machine has ended. */
  #finalAnswer(): Answer | null {
    return answerOf({ permission: this.#permission });
  }

  #answer(token: number, answer: Answer | null): void {
    this.#asked.get(token)?.(answer);
    this.#asked.delete(token);
  }

  #dispatch(event: BackupEvent): void {
    if (this.#over) return;
    const routine = ['tick', 'bytes', 'heartbeat'].includes(event.kind);
    // Epochs pass in their thousands; everything else is rare and worth a line.
    if (event.kind === 'epoch-whole') this.#parts.log.debug(describeBackupEvent(event));
    else if (!routine) this.#parts.log.info(describeBackupEvent(event));
    try {
      this.#machine.dispatch(event);
    } catch (error) {
      this.#stopTimers();
      this.#fail(error);
      return;
    }
    if (!this.#over) this.#timer.wakeAt(backupWakeAtMs(this.state));
    const { phase } = this.#machine.state;
    if (phase === this.#phase && (routine || event.kind === 'epoch-whole')) return;
    this.#phase = phase;
    this.#parts.onChange();
  }

  #perform(effect: BackupEffect): void {
    const { copy, disks, record, send, closeLink, log } = this.#parts;
    if (effect.kind === 'send-ack' || effect.kind === 'commit') {
      log.debug(`  -> ${describeBackupEffect(effect)}`);
    } else if (effect.kind !== 'send-echo') log.info(`  -> ${describeBackupEffect(effect)}`);
    switch (effect.kind) {
      case 'send-echo':
        return send({ kind: 'echo', seq: effect.seq });
      case 'send-ack':
        return send({ kind: 'ack', epoch: effect.epoch });
      case 'commit':
        copy.commit(effect.epoch);
        for (const disk of disks) disk.commit(effect.epoch);
        return;
      case 'write-record':
        return this.#writeRecord(effect);
      case 'build-copy':
        return this.#slow(
          () => this.#build(),
          () => ({ kind: 'built', nowMs: this.#now() }),
          (reason) => ({ kind: 'build-failed', reason, nowMs: this.#now() }),
        );
      case 'unpause-copy':
        return this.#slow(
          () => copy.unpause(),
          () => ({ kind: 'running', nowMs: this.#now() }),
          (reason) => ({ kind: 'unpause-failed', reason, nowMs: this.#now() }),
        );
      case 'discard-copy':
        return this.#slow(
          () => this.#discard(),
          () => ({ kind: 'discarded', nowMs: this.#now() }),
          (reason) => ({ kind: 'discard-failed', reason, nowMs: this.#now() }),
        );
      case 'note-running':
        return this.#row.run(() => record.noteRunning());
      case 'answer':
        if (effect.way === 'fresh') return this.#answer(effect.token, effect.answer);
        return send({ kind: 'answer', id: effect.token, answer: effect.answer });
      case 'send-copy-lost':
        return send({ kind: 'copy-lost', reason: effect.reason });
      case 'send-leaving':
        return send({ kind: 'leaving', reason: effect.reason });
      case 'send-activated':
        return send({ kind: 'activated', epoch: copy.lastEpoch });
      case 'failover-answer':
        this.#failovers.get(effect.token)?.(effect.refused);
        this.#failovers.delete(effect.token);
        return;
      case 'close-link':
        return closeLink(farewell(this.state.outcome));
      case 'end':
        return this.#end(effect.outcome);
    }
  }

  /** From the last committed epoch, in every part. */
  async #build(): Promise<void> {
    const { copy, disks, record, log } = this.#parts;
    for (const disk of disks) await disk.rollBack();
    for (const disk of disks) await disk.settle();
    await this.#needs.untilThere();
    await copy.build();
    try {
      await record.noteBuilt();
    } catch (error) {
      // It goes on all the same: only whoever finds this process dead would not know.
      log.warning(`that the copy is built could not be noted: ${errorText(error)}`);
    }
  }

  async #discard(): Promise<void> {
    const { copy, disks } = this.#parts;
    await copy.discard();
    for (const disk of disks) await disk.rollBack();
  }

  #writeRecord(effect: Extract<BackupEffect, { kind: 'write-record' }>): void {
    this.#row.run(async () => {
      const { record, log } = this.#parts;
      const { from, to, epoch, why, said } = effect;
      try {
        this.#permission = await record.move(from, to, epoch, why, said);
        this.#dispatch({ kind: 'record', permission: this.#permission, nowMs: this.#now() });
      } catch (error) {
        const reason = errorText(error);
        log.error(`the record could not be written: ${reason}`);
        // The step may have been taken before the failure: what can be read back is what holds.
        const holds = await this.#readBack();
        if (holds === null) return;
        if (holds === from) this.#dispatch({ kind: 'record-failed', reason, nowMs: this.#now() });
        else {
          this.#permission = holds;
          this.#dispatch({ kind: 'record', permission: holds, nowMs: this.#now() });
        }
      }
    });
  }

  /**
   * What the record says, as soon as it can be read. Until then the machine waits mute: it must not
   * go on as if nothing were decided. Null when the session is over before.
   */
  async #readBack(): Promise<OwnPermission | null> {
    while (!this.#over) {
      try {
        return await this.#parts.record.read();
      } catch (error) {
        this.#parts.log.error(`the record cannot be read either: ${errorText(error)}`);
        await sleep(this.#parts.timers, recordRetryMs);
      }
    }
    return null;
  }

  #slow(
    work: () => Promise<void>,
    done: () => BackupEvent,
    failed: (reason: string) => BackupEvent,
  ): void {
    this.#row.run(async () => {
      let event: BackupEvent;
      try {
        await work();
        event = done();
      } catch (error) {
        this.#parts.log.error(errorText(error));
        event = failed(errorText(error));
      }
      this.#dispatch(event);
    });
  }

  #stopTimers(): void {
    this.#over = true;
    this.#timer.stop();
  }

  #end(outcome: BackupOutcome): void {
    this.#stopTimers();
    void this.#row.idle().then(() => {
      for (const token of [...this.#asked.keys()]) this.#answer(token, this.#finalAnswer());
      this.#finish(outcome);
    });
  }
}
