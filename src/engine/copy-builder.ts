/**
 * The copy on the backup: takes the stream, checks it, feeds it to the hypervisor in order, and
 * ends it in one of two ways: built (renamed, paused) or discarded without a trace.
 */
import { errorText, OperationError } from '../host/errors.ts';
import type { Log } from '../host/log.ts';
import { copyConfig, copySuffix } from '../xen/guest-config.ts';
import type {
  DomainConfig,
  Hypervisor,
  RestoreEvent,
  RestoreOperation,
  StreamChecker,
} from '../xen/hypervisor.ts';

/**
 * The hypervisor is called once per megabyte: a foreign call costs as much as copying a hundred
 * kilobytes, and many times that on a slow host.
 */
const batchBytes = 1024 * 1024;
/** Bytes of the seed that may wait here for libxl; past it the primary gets no credit. */
const seedQueueBytesMax = 8 * batchBytes;
/** How often a feed that found the builder full looks again, ms; `fed` wakes it earlier. */
const feedRetryMs = 20;

/** How long a refused feed waits for libxl's own words, ms. */
const reasonWaitMs = 1_000;

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

type Ended = { readonly kind: 'built'; readonly domid: number } | { readonly kind: 'gone' };

export class CopyBuilder {
  readonly #xen: Hypervisor;
  readonly #name: string;
  readonly #uuid: string;
  readonly #log: Log;
  readonly #onFailed: (reason: string) => void;
  readonly #checker: StreamChecker;
  readonly #restore: RestoreOperation;
  readonly #whole = new Map<number, readonly Buffer[]>();
  #feeding: Promise<void> = Promise.resolve();
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  #batches: Buffer[] = [];
  #seedBatch: Buffer[] = [];
  #seedBatchBytes = 0;
  #seedQueuedBytes = 0;
  #lastTurn: Promise<void> = Promise.resolve();
  #wake: () => void = () => {};
  #ended: Ended | null = null;
  #onEnded: (() => void)[] = [];
  #expected = false;
  #failure: string | null = null;
  #domid: number | null = null;
  #lastEpoch = -1;

  constructor(
    xen: Hypervisor,
    config: DomainConfig,
    who: { readonly name: string; readonly uuid: string },
    log: Log,
    onFailed: (reason: string) => void,
  ) {
    this.#xen = xen;
    this.#name = who.name;
    this.#uuid = who.uuid;
    this.#log = log;
    this.#onFailed = onFailed;
    this.#checker = xen.streamChecker();
    this.#restore = xen.startRestore(copyConfig(config), (event) => this.#onEvent(event));
  }

  /** The newest epoch handed to libxl. */
  get lastEpoch(): number {
    return this.#lastEpoch;
  }

  /** The domain that was built; null before. */
  get domid(): number | null {
    return this.#domid;
  }

  /**
   * A piece of the seed: checked and passed on, a batch at a time. Resolves when there is room for
   * more; throws OperationError('protocol') when the stream is wrong.
   */
  seedChunk(chunk: Buffer): Promise<void> {
    this.#seedBatch.push(chunk);
    this.#seedBatchBytes += chunk.length;
    return this.#seedBatchBytes < batchBytes ? Promise.resolve() : this.#flushSeed();
  }

  /**
   * All of the seed is here; resolves when libxl has it. Throws OperationError('protocol') when
   * it is torn.
   */
  seedEnd(): Promise<void> {
    void this.#flushSeed();
    this.#requireBoundary(0);
    return this.#lastTurn;
  }

  #flushSeed(): Promise<void> {
    const batch = Buffer.concat(this.#seedBatch);
    this.#seedBatch = [];
    this.#seedBatchBytes = 0;
    this.#checker.check(batch);
    this.#seedQueuedBytes += batch.length;
    const turn = this.#queue([batch]).then(() => {
      this.#seedQueuedBytes -= batch.length;
    });
    this.#lastTurn = turn;
    // Whoever waits for it hears of a failure; nobody has to wait.
    turn.catch(() => {});
    return this.#seedQueuedBytes > seedQueueBytesMax ? turn : Promise.resolve();
  }

  /** A piece of a later epoch: checked now, so that little is left to do when it is whole. */
  epochChunk(chunk: Buffer): void {
    this.#pieces.push(chunk);
    this.#pieceBytes += chunk.length;
    if (this.#pieceBytes >= batchBytes) this.#closeBatch();
  }

  /** The epoch is whole: fed when the machine says so. */
  epochWhole(epoch: number): void {
    this.#closeBatch();
    this.#requireBoundary(epoch);
    this.#whole.set(epoch, this.#batches);
    this.#batches = [];
  }

  #closeBatch(): void {
    if (this.#pieces.length === 0) return;
    const batch = Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#pieceBytes = 0;
    this.#checker.check(batch);
    this.#batches.push(batch);
  }

  #requireBoundary(epoch: number): void {
    const at = this.#checker.check(Buffer.alloc(0));
    if (at.atBoundary && at.epoch === epoch + 1) return;
    throw new OperationError(
      'protocol',
      `epoch ${epoch} does not end with CHECKPOINT_END (the stream is in epoch ${at.epoch})`,
      { op: 'check-stream' },
    );
  }

  /** Hands a whole epoch to libxl; the seed has gone already. */
  feedEpoch(epoch: number): void {
    this.#lastEpoch = epoch;
    const chunks = this.#whole.get(epoch);
    if (chunks === undefined) return;
    this.#whole.delete(epoch);
    this.#queue(chunks).catch((error: unknown) => this.#log.error(errorText(error)));
  }

  #queue(chunks: readonly Buffer[]): Promise<void> {
    const turn = this.#feeding.then(async () => {
      for (const chunk of chunks) {
        await this.#feed(chunk);
        // Heartbeats are answered between two batches, however large the epoch.
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
    this.#feeding = turn.catch(() => {});
    return turn;
  }

  /** False when libxl has too much waiting. An error waits for the reason, which comes later. */
  async #offer(chunk: Buffer): Promise<boolean> {
    try {
      return this.#restore.feed(chunk);
    } catch (error) {
      await Promise.race([this.#waitEnded(), sleep(reasonWaitMs)]);
      if (this.#failure === null) throw error;
      return false;
    }
  }

  async #feed(chunk: Buffer): Promise<void> {
    while (this.#ended === null) {
      if (await this.#offer(chunk)) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, feedRetryMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    throw new OperationError('hypervisor', this.#failure ?? 'the copy is gone', { op: 'feed' });
  }

  #onEvent(event: RestoreEvent): void {
    switch (event.kind) {
      case 'fed':
        return this.#wake();
      case 'log':
        return this.#log.debug(`libxl: ${event.text}`);
      case 'built':
        this.#ended = event;
        break;
      case 'discarded':
        this.#ended = { kind: 'gone' };
        break;
      case 'failed':
        this.#failure = event.reason;
        this.#ended = { kind: 'gone' };
        if (!this.#expected) this.#onFailed(event.reason);
    }
    this.#wake();
    for (const resolve of this.#onEnded.splice(0)) resolve();
  }

  async #waitEnded(): Promise<Ended> {
    if (this.#ended === null) {
      await new Promise<void>((resolve) => {
        this.#onEnded.push(resolve);
      });
    }
    return this.#ended as unknown as Ended;
  }

  /** Activation: end-of-file after everything fed; the copy stands paused under its own name. */
  async build(): Promise<void> {
    await this.#feeding;
    this.#expected = true;
    if (this.#ended === null) this.#restore.finish();
    const ended = await this.#waitEnded();
    if (ended.kind !== 'built') {
      throw new OperationError('hypervisor', `libxl cannot build the copy: ${this.#failure}`, {
        op: 'build-copy',
        subject: this.#name,
      });
    }
    this.#domid = ended.domid;
    await this.#xen.rename(ended.domid, this.#name + copySuffix, this.#name);
  }

  /** Lets the built copy run, and looks whether it does. */
  async unpause(): Promise<void> {
    const domid = this.#domid;
    if (domid === null)
      throw new OperationError('hypervisor', 'nothing is built', { op: 'unpause' });
    const before = await this.#xen.info(domid);
    if (before?.paused) await this.#xen.unpause(domid);
    const info = await this.#xen.info(domid);
    if (info === null || info.paused) {
      throw new OperationError('hypervisor', `the copy of ${this.#name} does not run`, {
        op: 'unpause',
        subject: this.#name,
      });
    }
  }

  /** No trace is left: the operation aborted, the domain destroyed. */
  async discard(): Promise<void> {
    this.#expected = true;
    if (this.#ended === null) this.#restore.discard();
    await this.#waitEnded();
    await destroyCopy(this.#xen, this.#name, this.#uuid, 'waiting-or-built');
    this.#checker.close();
  }
}

/**
 * Destroys what is left of a copy: the domain under the waiting name and, where a build may have
 * ended, the one that stands paused under its own. Never a domain of another UUID, nor one that
 * runs.
 */
export async function destroyCopy(
  xen: Hypervisor,
  name: string,
  uuid: string,
  what: 'waiting' | 'waiting-or-built',
): Promise<void> {
  const names = what === 'waiting' ? [name + copySuffix] : [name + copySuffix, name];
  for (const candidate of names) {
    const domid = await xen.find(candidate);
    if (domid === null) continue;
    const info = await xen.info(domid);
    if (info === null || info.uuid !== uuid) continue;
    if (candidate === name && !info.paused) continue;
    await xen.destroy(domid);
  }
}
