/**
 * A simulated disk of a few blocks as a part of every epoch. What it has rides the session's link:
 * the first copy block by block, with what the guest writes meanwhile, then a record of each epoch,
 * later than its barrier, with what was written in it. What came of an epoch that does not count is
 * thrown away. Where the plan says so the first copy asks what host B's disk holds already.
 */
import { digestBytes } from '../../src/core/digests.ts';
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
import type { Random } from './random.ts';
import { recordBytes } from './stream.ts';

export const diskName = 'xvda';
/** The barrier of the disk, as the save knows it. */
export const diskBarrier = 2;

/** Each is a record of the first copy; the last one comes with the barrier. */
const blocks = [0, 1, 2, 3] as const;
/** Of a question about them. */
const askedBlocks = 2;

/** What a disk holds: of each block the number of the write that it is of. */
type Blocks = number[];

/** The first one is never written, others seldom, and the last one nearly always. */
const everyNth = [Number.POSITIVE_INFINITY, 128, 16, 1] as const;

/** The disk once the guest has written so often: each write is to one block. */
export function blocksAt(writes: number): Blocks {
  return blocks.map((block) => {
    const every = everyNth[block] ?? 1;
    const seldomer = everyNth[block - 1] ?? Number.POSITIVE_INFINITY;
    let last = every > writes ? 0 : writes - (writes % every);
    if (last % seldomer === 0) last -= every;
    return last > 0 ? last : -1 - block;
  });
}

/** How often the guest has written to what is such a disk; -1: it never was. */
export function writesOf(disk: readonly number[]): number {
  const writes = Math.max(0, ...disk);
  return blocksAt(writes).every((value, block) => value === disk[block]) ? writes : -1;
}

/** As many bytes as a record of the memory's has, and in the same places what it is of. */
interface DiskRecord {
  readonly epoch: number;
  readonly index: number;
  /** Of the epoch. */
  readonly count: number;
  /** What is written, of each block; null: nothing. */
  readonly written: readonly (number | null)[];
}

function encodeRecord({ epoch, index, count, written }: DiskRecord): Buffer {
  const bytes = Buffer.alloc(recordBytes);
  bytes.writeUInt32LE(epoch, 0);
  bytes.writeUInt16LE(index, 4);
  bytes.writeUInt16LE(count, 6);
  for (const [block, value] of written.entries()) {
    bytes.writeUInt8(value === null ? 0 : 1, 8 + block);
    bytes.writeDoubleLE(value ?? 0, 16 + 8 * block);
  }
  return bytes;
}

function decodeRecord(bytes: Buffer): DiskRecord {
  const written = blocks.map((block) =>
    bytes.readUInt8(8 + block) === 0 ? null : bytes.readDoubleLE(16 + 8 * block),
  );
  const [index, count] = [bytes.readUInt16LE(4), bytes.readUInt16LE(6)];
  return { epoch: bytes.readUInt32LE(0), index, count, written };
}

/** As the digests of a real one are: what is equal has the same. */
function digestsOf(values: readonly number[]): Buffer {
  const digests = Buffer.alloc(values.length * digestBytes);
  for (const [at, value] of values.entries()) digests.writeDoubleLE(value, at * digestBytes);
  return digests;
}

export class SimPrimaryDisk implements PrimaryDisk {
  readonly shared = null;
  readonly name = diskName;
  readonly barrier = diskBarrier;
  readonly facts: DiskFacts;
  readonly #process: SimProcess;
  #events: PrimaryDiskEvents = { more() {}, filling() {}, compare() {}, lost() {} };
  readonly #pieces: { readonly bytes: Buffer; readonly piece: DiskPiece }[] = [];
  #copied = 0;
  /** Epochs whose barrier is set and that cannot be read yet. */
  readonly #sealed: Omit<DiskRecord, 'index' | 'count'>[] = [];
  #onCopied: (() => void)[] = [];
  #isClosed = false;
  /** What the guest writes is captured; else somebody took the mirror away without a word. */
  isCaptured = true;
  /** The guest's writes up to this one were captured, or were there before. */
  #captured = 0;
  #checked = -1;
  /** Blocks that are in the stream, or need not be. */
  readonly #covered = new Set<number>();
  /** What the first copy read of the block that is next. */
  #held = 0;
  /** Of each block of host B's disk: what it holds; null: that is not to be compared. */
  readonly #there: (number | null)[] = [];
  #asked = 0;
  #isWaiting = false;
  #equal = 0;

  constructor(process: SimProcess) {
    this.#process = process;
    const sizeBytes = blocks.length * 4096;
    this.facts = { name: diskName, sizeBytes, sectorBytes: 512, generation: 1 };
  }

  listen(events: PrimaryDiskEvents): void {
    const { world } = this.#process;
    this.#events = events;
    this.#captured = world.guest.disk;
    this.#held = this.#read(0);
    if (world.plan.diskThere === 'unasked') this.#there.push(...blocks.map(() => null));
    else for (let first = 0; first < blocks.length; first += askedBlocks) this.#ask(first);
    this.#copy();
  }

  #ask(first: number): void {
    this.#events.compare(first, askedBlocks);
  }

  #read(block: number): number {
    return blocksAt(this.#process.world.guest.disk)[block] ?? 0;
  }

  /** One more record of the first copy, once it is known what is there. */
  #copy(): void {
    const { plan, random } = this.#process.world;
    this.#isWaiting = this.#there[this.#copied] === undefined;
    if (this.#isWaiting) return;
    if (this.#copied === blocks.length - 1) {
      for (const resolve of this.#onCopied.splice(0)) resolve();
      return;
    }
    this.#process.later((plan.diskLagMs * random.next()) / blocks.length, () => {
      if (this.#isClosed) return;
      const written = this.#admit(this.#capture(this.#process.world.guest.disk));
      this.#push({ epoch: 0, index: this.#copied, count: blocks.length, written });
      this.#copied += 1;
      this.#held = this.#read(this.#copied);
      this.#copy();
    });
  }

  /** What the guest wrote since the last time, up to that write, of each block. */
  #capture(writes: number): (number | null)[] {
    const before = blocksAt(this.#captured);
    if (this.isCaptured) this.#captured = writes;
    return blocksAt(this.#captured).map((value, block) => {
      if (value === before[block]) return null;
      this.#covered.add(block);
      return value;
    });
  }

  /** .. and the block that was read before, unless it is covered, or there already. */
  #admit(captured: (number | null)[]): (number | null)[] {
    const { diskAdmits, diskLeavesOut } = this.#process.world.machines;
    const block = this.#copied;
    const there = this.#there[block] ?? null;
    const isThere = there !== null && (diskLeavesOut === 'asked' || there === this.#held);
    const isCovered = diskAdmits === 'uncovered' && this.#covered.has(block);
    this.#covered.add(block);
    if (isThere) this.#equal += 1;
    if (!isThere && !isCovered) captured[block] = this.#held;
    return captured;
  }

  #push(record: DiskRecord): void {
    const bytes = encodeRecord(record);
    const { epoch, index, count } = record;
    const isEnd = index === count - 1;
    this.#pieces.push({ bytes, piece: { epoch, bytes: bytes.length, isEnd } });
    this.#events.more();
  }

  get firstCopy(): FirstCopy {
    const { sizeBytes: totalBytes } = this.facts;
    return { doneBytes: this.#copied * 4096, totalBytes, equalBytes: this.#equal * 4096 };
  }

  /** There is always a save. */
  endFirst(): void {}

  digests(first: number, digests: Buffer): void {
    const isAsked = first === this.#asked && this.#there.length < blocks.length;
    const isWhole = digests.length === 0 || digests.length === askedBlocks * digestBytes;
    if (!isAsked || !isWhole) {
      throw new OperationError('protocol', `blocks from ${first} on were not asked for`, {
        op: 'compare-disk',
      });
    }
    this.#asked += askedBlocks;
    for (let at = 0; at < askedBlocks; at += 1) {
      this.#there.push(digests.length === 0 ? null : digests.readDoubleLE(at * digestBytes));
    }
    if (this.#isWaiting) this.#copy();
  }

  nearlyCopied(): Promise<void> {
    if (this.#copied === blocks.length - 1 && !this.#isWaiting) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onCopied.push(resolve);
    });
  }

  /** The guest is suspended: its writes up to now are those of `epoch`. */
  mark(epoch: number, disk: number): void {
    if (this.isCaptured) this.#checked = epoch;
    const captured = this.#capture(disk);
    const { plan, random } = this.#process.world;
    this.#sealed.push({ epoch, written: epoch === 0 ? this.#admit(captured) : captured });
    if (this.#sealed.length === 1) this.#pushSealed();
    // Every so often what waits is near its limit.
    if (random.chance(0.1)) this.#process.later(plan.packetMs, () => this.#events.filling());
  }

  #pushSealed(): void {
    const next = this.#sealed[0];
    if (next === undefined) return;
    const { plan, random } = this.#process.world;
    this.#process.later(plan.diskLagMs * random.next(), () => {
      const [index, count] = next.epoch === 0 ? [this.#copied, blocks.length] : [0, 1];
      this.#sealed.shift();
      this.#push({ ...next, index, count });
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
  /** Null: it is blank. */
  blocks: Blocks | null;
}

/** Of a disk that was a copy of the guest's long ago: some of it is what the guest still has. */
export function olderBlocks(random: Random): Blocks {
  return blocksAt(0).map((value, block) => (random.chance(0.5) ? value : -100 - block));
}

export class SimBackupDisk implements BackupDisk {
  readonly name = diskName;
  readonly #process: SimProcess;
  readonly #content: DiskContent;
  #events: DiskEvents = { whole() {}, lost() {} };
  readonly #arrived = new Map<number, DiskRecord['written']>();
  #rest: Buffer = Buffer.alloc(0);
  /** Whose record came last. */
  #last = -1;
  /** It was a copy before: what it holds may be compared. */
  readonly #isOlder: boolean;
  #isAsked = false;
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
    content.epoch = -1;
    this.#isOlder = content.blocks !== null;
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

  digests(first: number, count: number): Promise<Buffer> {
    const { checker, plan, random } = this.#process.world;
    if (this.#isAsked) checker.fail('simulator', 'a disk is asked two questions at a time');
    this.#isAsked = true;
    return new Promise((resolve) => {
      this.#process.later(plan.diskLagMs * random.next(), () => {
        this.#isAsked = false;
        const { blocks: held } = this.#content;
        const isTold = this.#isOlder && !this.#isRolledBack && held !== null;
        resolve(digestsOf(isTold ? held.slice(first, first + count) : []));
      });
    });
  }

  async take(epoch: number, bytes: Buffer): Promise<void> {
    if (this.#isRolledBack) return;
    this.#rest = Buffer.concat([this.#rest, bytes]);
    while (this.#rest.length >= recordBytes) {
      const { epoch: said, written } = decodeRecord(this.#rest);
      this.#rest = this.#rest.subarray(recordBytes);
      if (said !== epoch) throw new OperationError('protocol', `of epoch ${said}`, { op: 'take' });
      this.#arrive(epoch, written);
    }
    // Epochs that count and are not applied yet: past two of them nothing more is taken.
    while (this.#committed.length > 2 && !this.#hasFailed && !this.#isRolledBack) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }

  #arrive(epoch: number, written: DiskRecord['written']): void {
    this.#last = epoch;
    // The first copy is not thrown away piece by piece: there is nothing to go back to.
    const isApplied = epoch === 0 || this.#machines.diskAppliesAt === 'arrival';
    if (isApplied) this.#apply(epoch, written);
    else this.#arrived.set(epoch, written);
  }

  #apply(epoch: number, written: DiskRecord['written']): void {
    this.#content.blocks ??= blocks.map(() => 0);
    for (const [block, value] of written.entries()) {
      if (value !== null) this.#content.blocks[block] = value;
    }
    this.#content.epoch = epoch;
  }

  end(epoch: number): void {
    if (this.#isRolledBack || this.#hasFailed) return;
    const isTorn = this.#rest.length > 0 || this.#last !== epoch;
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
      const written = this.#arrived.get(epoch);
      if (written !== undefined) this.#apply(epoch, written);
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
