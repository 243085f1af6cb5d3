/**
 * The copy on the backup: hands the stream to the hypervisor in order, says where its epochs end
 * and which of them count, and ends the copy in one of two ways: built (under the guest's own name,
 * paused) or discarded without a trace.
 *
 * The stream is checked once, where it is queued for the hypervisor; an epoch is acknowledged, and
 * goes on to the hypervisor, after that. What is queued lies in memory of the native library,
 * outside of what a fork copies.
 */
import { formatBytes } from '../../core/units.ts';
import { destroyCopy } from '../../guest/destroy-copy.ts';
import type { Clock } from '../../host/clock.ts';
import { errorText, OperationError } from '../../host/errors.ts';
import type { Log } from '../../host/log.ts';
import {
  type GuestRef,
  type GuestSpec,
  type Hypervisor,
  type RestoreEvent,
  type RestoreOperation,
  type StreamPosition,
  waitingName,
} from '../../hypervisor/port.ts';
import { HypervisorLog } from '../hypervisor-log.ts';

/** The most that is taken at once. */
const pieceBytesMax = 1024 * 1024;

/** A copy that is behind again and again says so once in this time, ms. */
const behindEveryMs = 10_000;

type Ended = { readonly kind: 'built'; readonly copy: GuestRef } | { readonly kind: 'gone' };

export interface CopyOptions {
  readonly hypervisor: Hypervisor;
  readonly spec: GuestSpec;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly log: Log;
  /** Bytes that may wait for the hypervisor before `room` makes the primary wait. */
  readonly queueBytesMax: number;
  /** The largest epoch: the one under way has to fit, whatever waits before it. */
  readonly epochBytesMax: number;
  readonly onFailed: (reason: string) => void;
  /** The copy runs: whoever tells the network of it is not waited for. */
  readonly onRunning: (copy: GuestRef) => void;
}

export class Copy {
  readonly #options: CopyOptions;
  readonly #restore: RestoreOperation;
  readonly #hypervisorLog: HypervisorLog;
  /** Where whole epochs end that were not applied yet. */
  readonly #ends = new Map<number, number>();
  #position: StreamPosition = { bytes: 0, epochs: 0, epochEnd: 0, atBoundary: false };
  #appliedBytes = 0;
  #fedBytes = 0;
  #waiting: (() => void)[] = [];
  #ended: Ended | null = null;
  /** The hypervisor takes nothing more, and has not said yet how it ended. */
  #isEnding = false;
  #onEnded: (() => void)[] = [];
  #expected = false;
  #failure: string | null = null;
  #copy: GuestRef | null = null;
  #lastEpoch = -1;
  #behindSaidAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: CopyOptions) {
    this.#options = options;
    this.#hypervisorLog = new HypervisorLog(options.log);
    // What `room` allows, and one piece: the library's own limit is never met.
    const limitBytes = options.queueBytesMax + options.epochBytesMax + pieceBytesMax;
    const onEvent = (event: RestoreEvent) => this.#onEvent(event);
    this.#restore = options.hypervisor.startRestore(options.spec, { limitBytes, onEvent });
  }

  /** The newest epoch that was committed. */
  get lastEpoch(): number {
    return this.#lastEpoch;
  }

  /** The domain that was built; null before. */
  get guest(): GuestRef | null {
    return this.#copy;
  }

  /** Bytes of the stream that are here and not with the hypervisor. */
  get queuedBytes(): number {
    return this.#position.bytes - this.#fedBytes;
  }

  /**
   * The next bytes of the stream, at most a megabyte. Throws OperationError('protocol') when they
   * do not continue it. A copy that has failed or ended takes them and forgets them: why it failed
   * is told by `onFailed`.
   */
  feed(raw: Buffer): void {
    if (this.#ended !== null || this.#isEnding) return;
    let position: StreamPosition | null;
    try {
      position = this.#restore.feed(raw);
    } catch (error) {
      if (error instanceof OperationError && error.code === 'protocol') throw error;
      this.#isEnding = true;
      this.#options.log.info(`the copy takes nothing more: ${errorText(error)}`);
      return;
    }
    if (position === null) {
      throw new OperationError('limit', `${this.queuedBytes} bytes wait to be applied`, {
        op: 'feed',
      });
    }
    // The seed goes on as it comes.
    if (position.epochs === 0) this.#appliedBytes = position.bytes;
    else if (this.#position.epochs === 0) this.#appliedBytes = position.epochEnd;
    this.#position = position;
  }

  /** More than may wait, waits for the hypervisor alone, which will take some of it by itself. */
  #isFull(): boolean {
    if (this.#ended !== null || this.#fedBytes >= this.#appliedBytes) return false;
    return this.queuedBytes > this.#options.queueBytesMax;
  }

  /** Resolves when there is room for more. */
  async room(): Promise<void> {
    const nowMs = this.#options.clock.nowMs();
    if (this.#isFull() && nowMs - this.#behindSaidAtMs > behindEveryMs) {
      this.#behindSaidAtMs = nowMs;
      const waiting = formatBytes(this.queuedBytes);
      this.#options.log.warning(`behind: ${waiting} wait to be applied, and the primary waits`);
    }
    while (this.#isFull()) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }

  /** True while the primary has to wait for the hypervisor here. */
  get isFull(): boolean {
    return this.#waiting.length > 0;
  }

  /**
   * All of the epoch was taken; false: by a copy that forgets it, so it does not count. Throws
   * OperationError('protocol') when it is torn.
   */
  whole(epoch: number): boolean {
    if (this.#ended !== null || this.#isEnding) return false;
    const { atBoundary, epochs, epochEnd } = this.#position;
    if (!atBoundary || epochs !== epoch + 1) {
      throw new OperationError(
        'protocol',
        `epoch ${epoch} does not end with CHECKPOINT_END (the stream is in epoch ${epochs})`,
        { op: 'check-stream' },
      );
    }
    this.#ends.set(epoch, epochEnd);
    return true;
  }

  /** Hands a whole epoch to the hypervisor; the seed has gone already. */
  commit(epoch: number): void {
    this.#lastEpoch = epoch;
    const end = this.#ends.get(epoch);
    if (end === undefined || this.#ended !== null) return;
    this.#ends.delete(epoch);
    this.#appliedBytes = end;
    this.#restore.apply(end);
  }

  #onEvent(event: RestoreEvent): void {
    switch (event.kind) {
      case 'fed':
        this.#fedBytes = event.bytes;
        return this.#wake();
      case 'log':
        // A copy that is built has its stream ended, which may be an error to who reads it.
        return this.#hypervisorLog.take(event, this.#expected);
      case 'built':
        this.#ended = event;
        break;
      case 'discarded':
        this.#ended = { kind: 'gone' };
        break;
      case 'failed':
        this.#failure = event.reason;
        this.#ended = { kind: 'gone' };
        if (!this.#expected) this.#options.onFailed(event.reason);
    }
    this.#wake();
    for (const resolve of this.#onEnded.splice(0)) resolve();
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  async #waitEnded(): Promise<Ended> {
    if (this.#ended === null) {
      await new Promise<void>((resolve) => {
        this.#onEnded.push(resolve);
      });
    }
    return this.#ended as unknown as Ended;
  }

  /**
   * The guest's own name, which it has from now on: the scripts of its interfaces and disks run
   * when the stream has ended, and may look it up by its name.
   */
  async #giveName(): Promise<void> {
    const { hypervisor, spec } = this.#options;
    const waiting = waitingName(spec.name);
    const copy = await hypervisor.find(waiting);
    if (copy === null || copy.uuid !== spec.uuid) {
      throw new OperationError('hypervisor', `there is no ${waiting} any more`, {
        op: 'build-copy',
        subject: spec.name,
      });
    }
    await hypervisor.rename(copy, waiting, spec.name);
  }

  /** Activation: renamed, then end-of-file after all that was applied; the copy stands paused. */
  async build(): Promise<void> {
    const { spec } = this.#options;
    this.#expected = true;
    if (this.#ended === null) {
      await this.#giveName();
      this.#restore.finish();
    }
    const ended = await this.#waitEnded();
    if (ended.kind !== 'built') {
      throw new OperationError('hypervisor', `the copy cannot be built: ${this.#failure}`, {
        op: 'build-copy',
        subject: spec.name,
      });
    }
    this.#copy = ended.copy;
  }

  /** Lets the built copy run, and looks whether it does. */
  async unpause(): Promise<void> {
    const { hypervisor, spec, onRunning } = this.#options;
    const copy = this.#copy;
    if (copy === null)
      throw new OperationError('hypervisor', 'nothing is built', { op: 'unpause' });
    const before = await hypervisor.info(copy);
    if (before?.paused) await hypervisor.unpause(copy);
    const info = await hypervisor.info(copy);
    if (info === null || info.paused) {
      throw new OperationError('hypervisor', `the copy of ${spec.name} does not run`, {
        op: 'unpause',
        subject: spec.name,
      });
    }
    onRunning(copy);
  }

  /** No trace is left: the operation aborted, the domain destroyed. */
  async discard(): Promise<void> {
    this.#expected = true;
    if (this.#ended === null) this.#restore.discard();
    await this.#waitEnded();
    const { hypervisor, spec } = this.#options;
    await destroyCopy(hypervisor, spec, 'waiting-or-built');
  }
}
