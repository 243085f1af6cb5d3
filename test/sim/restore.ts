/**
 * libxl's restore of a checkpointed stream on host B: applies what counts, builds at end-of-file.
 */
import { OperationError } from '../../src/host/errors.ts';
import type {
  RestoreOperation,
  RestoreOptions,
  StreamPosition,
} from '../../src/hypervisor/port.ts';
import { Guest } from './guest.ts';
import type { Domain, SimHypervisor } from './hypervisor.ts';
import type { SimProcess } from './process.ts';
import { decodeRecord, recordBytes, type StreamRecord } from './stream.ts';

export class SimRestore implements RestoreOperation {
  readonly #hypervisor: SimHypervisor;
  readonly #process: SimProcess;
  readonly #domain: Domain;
  readonly #options: RestoreOptions;
  #rest: Buffer = Buffer.alloc(0);
  #position: StreamPosition = { bytes: 0, epochs: 0, epochEnd: 0, atBoundary: false };
  /** The last record of each whole epoch, by where it ends. */
  readonly #ends = new Map<number, StreamRecord>();
  #last: StreamRecord | null = null;
  /** Where the epochs end that count and are not applied yet. */
  #applying: number[] = [];
  #isApplying = false;
  #applied: StreamRecord | null = null;
  #isTorn = false;
  #isFinishing = false;
  #isOver = false;

  constructor(
    hypervisor: SimHypervisor,
    process: SimProcess,
    domain: Domain,
    options: RestoreOptions,
  ) {
    this.#hypervisor = hypervisor;
    this.#process = process;
    this.#domain = domain;
    this.#options = options;
    process.onExit(() => {
      this.#isOver = true;
    });
  }

  get #world() {
    return this.#process.world;
  }

  /** It can still be built from what counts. */
  get isWhole(): boolean {
    return !this.#isOver && !this.#isTorn;
  }

  /** The epoch that it was built from, or would be now. */
  get builtFrom(): number {
    return this.#applied?.epoch ?? Number.NaN;
  }

  feed(data: Buffer): StreamPosition | null {
    if (this.#isOver) throw new OperationError('hypervisor', 'the copy is gone', { op: 'feed' });
    this.#rest = Buffer.concat([this.#rest, data]);
    let { bytes, epochs, epochEnd } = this.#position;
    while (this.#rest.length >= recordBytes) {
      const record = decodeRecord(this.#rest);
      this.#rest = this.#rest.subarray(recordBytes);
      this.#check(record);
      bytes += recordBytes;
      this.#last = record;
      if (record.index < record.count - 1) continue;
      epochs += 1;
      epochEnd = bytes;
      this.#ends.set(bytes, record);
      if (record.epoch === 0) this.#applied = record; // streams through
    }
    const atBoundary = this.#rest.length === 0 && bytes === epochEnd && epochs > 0;
    this.#position = { bytes, epochs, epochEnd, atBoundary };
    return this.#position;
  }

  /** As the library does: record by record. */
  #check({ epoch, index, count }: StreamRecord): void {
    const last = this.#last;
    const isNext = last !== null && last.index < last.count - 1;
    const wanted = isNext
      ? { epoch: last.epoch, index: last.index + 1 }
      : { epoch: last === null ? 0 : last.epoch + 1, index: 0 };
    if (epoch === wanted.epoch && index === wanted.index && index < count) return;
    const text = `record ${epoch}.${index} after ${last?.epoch}.${last?.index}`;
    throw new OperationError('protocol', text, { op: 'feed' });
  }

  apply(epochEnd: number): void {
    this.#process.call('apply', () => {
      const record = this.#ends.get(epochEnd);
      this.#world.checker.feeds(record?.epoch ?? Number.NaN);
      this.#applying.push(epochEnd);
      this.#applyNext();
    });
  }

  #applyNext(): void {
    const end = this.#applying[0];
    if (end === undefined || this.#isApplying || this.#isOver) return;
    this.#isApplying = true;
    this.#process.later(this.#world.plan.applyMs, () => {
      this.#isApplying = false;
      this.#applying.shift();
      if (this.#isOver) return;
      const record = this.#ends.get(end);
      if (this.#hypervisor.appliesLeftToFail > 0) {
        this.#hypervisor.appliesLeftToFail -= 1;
        return this.#fail(`epoch ${record?.epoch} cannot be applied`);
      }
      if (record === undefined) this.#isTorn = true;
      else this.#applied = record;
      this.#options.onEvent({ kind: 'fed', bytes: end });
      if (this.#isFinishing && this.#applying.length === 0) this.#build();
      else this.#applyNext();
    });
  }

  finish(): void {
    this.#process.call('finish', () => {
      this.#isFinishing = true;
      if (this.#applying.length === 0) this.#build();
    });
  }

  #build(): void {
    this.#process.later(this.#world.plan.buildMs, () => {
      if (this.#isOver) return;
      if (this.#hypervisor.buildsLeftToFail > 0) {
        this.#hypervisor.buildsLeftToFail -= 1;
        return this.#fail('libxl cannot build the domain');
      }
      this.#isOver = true;
      const { memory, epoch } = this.#applied ?? { memory: -1, epoch: -1 };
      const guest = new Guest('b', memory, -1);
      guest.isPaused = true;
      this.#domain.guest = guest;
      this.#world.built(this.#domain, { epoch, memory, isTorn: this.#isTorn });
      this.#options.onEvent({ kind: 'built', copy: this.#domain.ref });
    });
  }

  #fail(reason: string): void {
    this.#isOver = true;
    this.#hypervisor.remove(this.#domain);
    this.#options.onEvent({ kind: 'failed', reason });
  }

  discard(): void {
    this.#process.call('discard', () => {
      this.#process.later(this.#world.plan.buildMs / 4, () => {
        if (this.#isOver) return;
        this.#isOver = true;
        this.#hypervisor.remove(this.#domain);
        this.#options.onEvent({ kind: 'discarded' });
      });
    });
  }
}
