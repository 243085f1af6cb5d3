/**
 * A simulated disk as a part of every epoch. What it has rides the session's link: the first copy
 * in pieces, then one record of each epoch, later than its barrier, with what the disk was then.
 * What came of an epoch that does not count is thrown away.
 */
import type {
  BackupDisk,
  DiskDriver,
  DiskEvents,
  DiskFacts,
  DiskPiece,
  FirstCopy,
  PrimaryDisk,
  PrimaryDiskEvents,
} from '../../src/disk/port.ts';
import { OperationError } from '../../src/host/errors.ts';
import type { SimProcess } from './process.ts';
import { decodeRecord, encodeRecord, recordBytes } from './stream.ts';

export const diskName = 'xvda';
/** The barrier of the disk, as the save knows it. */
export const diskBarrier = 2;

/** Records of the first copy; the last one comes with the barrier. */
const firstCopyRecords = 4;

export class SimPrimaryDisk implements PrimaryDisk {
  readonly name = diskName;
  readonly barrier = diskBarrier;
  readonly facts: DiskFacts;
  readonly #process: SimProcess;
  #events: PrimaryDiskEvents = { more() {}, filling() {}, compare() {}, lost() {} };
  readonly #pieces: { readonly bytes: Buffer; readonly piece: DiskPiece }[] = [];
  #copied = 0;
  /** Epochs whose barrier is set and that cannot be read yet. */
  readonly #sealed: DiskContent[] = [];
  #onCopied: (() => void)[] = [];
  #isClosed = false;
  /** What the guest writes is captured; else somebody took the mirror away without a word. */
  isCaptured = true;
  /** What the disk was when that was so for the last time. */
  #captured = 0;
  #checked = -1;

  constructor(process: SimProcess) {
    this.#process = process;
    const sizeBytes = firstCopyRecords * 4096;
    this.facts = { name: diskName, sizeBytes, sectorBytes: 512, generation: 1 };
  }

  listen(events: PrimaryDiskEvents): void {
    this.#events = events;
    this.#copy();
  }

  /** One more record of the first copy. */
  #copy(): void {
    const { plan, random } = this.#process.world;
    if (this.#copied === firstCopyRecords - 1) {
      for (const resolve of this.#onCopied.splice(0)) resolve();
      return;
    }
    this.#process.later((plan.diskLagMs * random.next()) / firstCopyRecords, () => {
      if (this.#isClosed) return;
      this.#push(0, this.#copied, firstCopyRecords, 0);
      this.#copied += 1;
      this.#copy();
    });
  }

  #push(epoch: number, index: number, count: number, disk: number): void {
    const bytes = encodeRecord({ epoch, index, count, memory: 0, disk });
    const isEnd = index === count - 1;
    this.#pieces.push({ bytes, piece: { epoch, bytes: bytes.length, isEnd } });
    this.#events.more();
  }

  get firstCopy(): FirstCopy {
    const { sizeBytes: totalBytes } = this.facts;
    return { doneBytes: this.#copied * 4096, totalBytes, equalBytes: 0 };
  }

  /** There is always a save. */
  endFirst(): void {}

  /** It asks for none: all of it is copied. */
  digests(): void {}

  nearlyCopied(): Promise<void> {
    if (this.#copied === firstCopyRecords - 1) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onCopied.push(resolve);
    });
  }

  /** The guest is suspended: its writes up to now are those of `epoch`. */
  mark(epoch: number, disk: number): void {
    if (this.isCaptured) this.#captured = disk;
    if (this.isCaptured) this.#checked = epoch;
    const { plan, random } = this.#process.world;
    this.#sealed.push({ epoch, disk: this.#captured });
    if (this.#sealed.length === 1) this.#pushSealed();
    // Every so often what waits is near its limit.
    if (random.chance(0.1)) this.#process.later(plan.packetMs, () => this.#events.filling());
  }

  #pushSealed(): void {
    const next = this.#sealed[0];
    if (next === undefined) return;
    const { plan, random } = this.#process.world;
    this.#process.later(plan.diskLagMs * random.next(), () => {
      const { epoch, disk } = next;
      const [index, count] = epoch === 0 ? [this.#copied, firstCopyRecords] : [0, 1];
      this.#sealed.shift();
      this.#push(epoch, index, count, disk);
      this.#pushSealed();
    });
  }

  read(buffer: Buffer): DiskPiece | null {
    const next = this.#pieces.shift();
    if (next === undefined) return null;
    next.bytes.copy(buffer);
    return next.piece;
  }

  async check(epoch: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#process.later(this.#process.world.plan.delayMsMin, resolve);
    });
    if (epoch > this.#checked) throw new Error('the mirror is gone');
  }

  async close(): Promise<void> {
    this.#process.call('close disk', () => {
      this.#isClosed = true;
    });
  }
}

/** What the disk of host B holds; it survives the process. */
export interface DiskContent {
  epoch: number;
  disk: number;
}

export class SimBackupDisk implements BackupDisk {
  readonly name = diskName;
  readonly #process: SimProcess;
  readonly #content: DiskContent;
  #events: DiskEvents = { whole() {}, lost() {} };
  readonly #arrived = new Map<number, DiskContent>();
  #rest: Buffer = Buffer.alloc(0);
  /** What came last, of the epoch under way. */
  #last: DiskContent = { epoch: -1, disk: -1 };
  #waiting: (() => void)[] = [];
  #committed: number[] = [];
  #isApplying = false;
  #isRolledBack = false;
  #settled: { readonly resolve: () => void; readonly reject: (error: Error) => void }[] = [];
  /** So many of the next epochs cannot be applied. */
  failsLeft = 0;
  #hasFailed = false;

  constructor(process: SimProcess, content: DiskContent) {
    this.#process = process;
    this.#content = content;
  }

  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  get #machines() {
    return this.#process.world.machines;
  }

  listen(events: DiskEvents): void {
    this.#events = events;
  }

  async keepFirst(): Promise<void> {}

  async digests(): Promise<Buffer> {
    return Buffer.alloc(0);
  }

  async take(epoch: number, bytes: Buffer): Promise<void> {
    if (this.#isRolledBack) return;
    this.#rest = Buffer.concat([this.#rest, bytes]);
    while (this.#rest.length >= recordBytes) {
      const { epoch: said, disk } = decodeRecord(this.#rest);
      this.#rest = this.#rest.subarray(recordBytes);
      if (said !== epoch) throw new OperationError('protocol', `of epoch ${said}`, { op: 'take' });
      this.#arrive({ epoch, disk });
    }
    // Epochs that count and are not applied yet: past two of them nothing more is taken.
    while (this.#committed.length > 2 && !this.#hasFailed && !this.#isRolledBack) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }

  #arrive(arrived: DiskContent): void {
    this.#last = arrived;
    // The first copy is not thrown away piece by piece: there is nothing to go back to.
    const isApplied = arrived.epoch === 0 || this.#machines.diskAppliesAt === 'arrival';
    if (isApplied) Object.assign(this.#content, arrived);
    else this.#arrived.set(arrived.epoch, arrived);
  }

  end(epoch: number): void {
    if (this.#isRolledBack || this.#hasFailed) return;
    const isTorn = this.#rest.length > 0 || this.#last.epoch !== epoch;
    if (isTorn) throw new OperationError('protocol', `epoch ${epoch} is torn`, { op: 'end' });
    this.#process.world.checker.diskArrived(epoch);
    this.#events.whole(epoch);
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  commit(epoch: number): void {
    this.#process.call('commit disk', () => {
      this.#committed.push(epoch);
      this.#applyNext();
    });
  }

  #applyNext(): void {
    const epoch = this.#committed[0];
    this.#wake();
    if (epoch === undefined) {
      for (const { resolve } of this.#settled.splice(0)) resolve();
      return;
    }
    if (this.#isApplying || this.#hasFailed) return;
    this.#isApplying = true;
    this.#process.later(this.#process.world.plan.diskApplyMs, () => {
      this.#isApplying = false;
      if (this.failsLeft > 0) {
        this.failsLeft -= 1;
        this.#hasFailed = true;
        this.#events.lost('input/output error');
        this.#wake();
        for (const { reject } of this.#settled.splice(0)) reject(new Error('the disk failed'));
        return;
      }
      this.#committed.shift();
      Object.assign(this.#content, this.#arrived.get(epoch));
      this.#arrived.delete(epoch);
      this.#applyNext();
    });
  }

  settle(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (!this.#machines.diskSettles) return resolve();
      if (this.#hasFailed) return reject(new Error('the disk failed'));
      this.#settled.push({ resolve, reject });
      this.#process.call('settle disk', () => this.#applyNext());
    });
  }

  async rollBack(): Promise<void> {
    this.#process.call('roll back disk', () => {
      this.#isRolledBack = true;
      this.#wake();
      for (const epoch of this.#arrived.keys()) {
        if (!this.#committed.includes(epoch)) this.#arrived.delete(epoch);
      }
    });
  }
}

/** The driver, as a process of either host opens it. */
export function simDisks(process: SimProcess): DiskDriver {
  const { world } = process;
  return {
    name: 'sim',
    refusals: async () => [],
    bringOut: async () => false,
    release: async () => {},
    goOnAlone: async () => {},
    cede: async () => {},
    openCompared: async () => [],
    openPrimary: async () => {
      const disk = new SimPrimaryDisk(process);
      world.openDiskOfA(disk);
      return [disk];
    },
    openBackup: async () => {
      const disk = new SimBackupDisk(process, world.diskOfB);
      world.openDiskOfB(disk);
      return [disk];
    },
  };
}
