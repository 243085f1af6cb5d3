/**
 * A disk driver in memory: what a real one has to do. The disks have a cache that a power cut
 * empties; what a driver does by itself is a queue of steps, of which one is done at each call, so
 * that a session is always in the middle of something. A field is a mistake that the contract must
 * find.
 */

import type {
  BackupDisk,
  DiskEvents,
  DiskFacts,
  DiskPiece,
  FirstCopy,
  PrimaryDisk,
  PrimaryDiskEvents,
} from '../../src/disk/port.ts';
import { OperationError } from '../../src/host/errors.ts';
import type { Bench, DiskRequest, SectorBytes } from './contract.ts';
import { decodeRecord, encodeRecord, PieceLink, recordFlags } from './pieces.ts';

/** Mistakes; a driver that makes one passes the contract no more. */
export type Mistake =
  | 'applies on arrival'
  | 'applies when whole'
  // As DRBD's protocol D does (drbd_receiver.c, drbd_remus_schedule_deferred_ee).
  | 'applies newest first'
  | 'applies the newest epoch first'
  | 'counts a torn epoch'
  | 'keeps what was not committed'
  | 'takes more after the roll back'
  | 'seals early'
  | 'seals late'
  | 'copies whole pages'
  | 'drops a flush'
  | 'drops a FUA'
  | 'forgets zeroes'
  | 'discards at the end'
  | 'settles before it is durable'
  | 'settles in spite of an error'
  | 'tells the guest of an error there'
  | 'hides an error from the guest'
  | 'breaks all reads after an error'
  | 'counts on after an error here'
  | 'counts on after an error there'
  | 'tells an error twice'
  | 'tells of no empty epoch'
  | 'tells an epoch twice'
  | 'the first copy overtakes a write'
  | 'the first copy ends after its barrier'
  | 'captures on after its close'
  | 'fails writes without a link'
  | 'dies with the guest in its hands'
  | 'loses a sector at the end';

/** A disk with a cache. */
class Platter {
  #durable: Buffer;
  now: Buffer;
  failsFrom = Number.POSITIVE_INFINITY;

  constructor(content: Buffer) {
    this.#durable = Buffer.from(content);
    this.now = Buffer.from(content);
  }

  write(at: number, data: Buffer): void {
    if (at + data.length > this.failsFrom) throw new Error('input/output error');
    data.copy(this.now, at);
  }

  /** All of it, or what was written with FUA. */
  flush(at = 0, length = this.now.length): void {
    this.now.copy(this.#durable, at, at, at + length);
  }

  powerCut(): void {
    this.now = Buffer.from(this.#durable);
  }
}

/** One write as it goes to the other host. */
interface Captured {
  readonly epoch: number;
  readonly at: number;
  /** Of what is cleared: zeroes. */
  readonly data: Buffer;
  readonly flags: number;
}

/** What both hosts are made of. */
export class ToyHosts {
  readonly mistake: Mistake | null;
  readonly sectorBytes: SectorBytes;
  readonly here: Platter;
  readonly there: Platter;
  readonly #steps: (() => void)[] = [];
  isLinked = true;
  isPrimaryAlive = true;
  isBackupAlive = true;

  constructor(mistake: Mistake | null, sectorBytes: SectorBytes, sizeBytes: number) {
    this.mistake = mistake;
    this.sectorBytes = sectorBytes;
    this.here = new Platter(Buffer.alloc(sizeBytes, 0xa1));
    this.there = new Platter(Buffer.alloc(sizeBytes, 0xb2));
  }

  later(step: () => void): void {
    this.#steps.push(step);
  }

  step(): boolean {
    const step = this.#steps.shift();
    step?.();
    return step !== undefined;
  }

  drain(): void {
    while (this.step());
  }
}

const readAheadSectors = 16;

/** What of one epoch waits to be read, and whether its barrier is set. */
interface WaitingEpoch {
  readonly epoch: number;
  bytes: Buffer;
  isSealed: boolean;
}

export class ToyPrimary implements PrimaryDisk {
  readonly shared = null;
  readonly name = 'xvda';
  readonly barrier = 1;
  readonly facts: DiskFacts;
  readonly #hosts: ToyHosts;
  #events: PrimaryDiskEvents = { more() {}, filling() {}, compare() {}, lost() {} };
  /** Sectors that are not copied yet, and that the guest did not write since. */
  readonly #uncopied = new Set<number>();
  #readAhead: { readonly sector: number; readonly data: Buffer }[] = [];
  #waiting: WaitingEpoch[] = [{ epoch: 0, bytes: Buffer.alloc(0), isSealed: false }];
  #epoch = 0;
  #count = 0;
  #isClosed = false;
  #hasFailed = false;
  #deferred: Captured[] = [];

  constructor(hosts: ToyHosts) {
    this.#hosts = hosts;
    const { sectorBytes } = hosts;
    const sizeBytes = hosts.here.now.length;
    this.facts = { name: this.name, sizeBytes, sectorBytes, generation: 1 };
    for (let sector = 0; sector < sizeBytes / sectorBytes; sector += 1) this.#uncopied.add(sector);
    this.#copyLater();
  }

  listen(events: PrimaryDiskEvents): void {
    this.#events = events;
  }

  get firstCopy(): FirstCopy {
    const { sectorBytes, here } = this.#hosts;
    const totalBytes = here.now.length;
    const doneBytes = totalBytes - this.#uncopied.size * sectorBytes;
    return { doneBytes, totalBytes, equalBytes: 0 };
  }

  /** There is always a save. */
  endFirst(): void {}

  /** It asks for none. */
  digests(): void {}

  async nearlyCopied(): Promise<void> {}

  async check(epoch: number): Promise<void> {
    if (this.#hasFailed || epoch >= this.#epoch) throw new Error('not captured');
  }

  #copyLater(): void {
    this.#hosts.later(() => {
      this.#copy();
      if (this.#uncopied.size > 0) this.#copyLater();
    });
  }

  /** Reads ahead; a sector enters the stream if nobody wrote to it since the session began. */
  #copy(): void {
    const { mistake, sectorBytes, here } = this.#hosts;
    if (this.#readAhead.length === 0) {
      for (const sector of [...this.#uncopied].slice(0, readAheadSectors)) {
        const at = sector * sectorBytes;
        const data = Buffer.from(here.now.subarray(at, at + sectorBytes));
        this.#readAhead.push({ sector, data });
      }
    }
    const next = this.#readAhead.shift();
    if (next === undefined) return;
    const { sector, data } = next;
    const isOurs = this.#uncopied.delete(sector);
    if (!isOurs && mistake !== 'the first copy overtakes a write') return;
    this.#ship({ at: sector * sectorBytes, data });
  }

  #ship({ at, data, flags = 0 }: { at: number; data: Buffer; flags?: number }): void {
    const { mistake, sectorBytes } = this.#hosts;
    if (this.#isClosed && mistake !== 'captures on after its close') return;
    const captured: Captured = { epoch: this.#epoch, at, data, flags };
    if (mistake === 'discards at the end' && flags === recordFlags.trim) {
      this.#deferred.push(captured);
      return;
    }
    const isLast = at + data.length === this.#hosts.here.now.length;
    if (mistake === 'loses a sector at the end' && isLast && data.length === sectorBytes) return;
    this.#send(captured);
  }

  #send({ epoch, at, data, flags }: Captured): void {
    this.#count += 1;
    const open = this.#waiting.find((one) => one.epoch === epoch);
    if (open === undefined) return;
    const isPlain = (flags & ~recordFlags.fua) === 0;
    const record = encodeRecord({ at, length: data.length, flags }, isPlain ? data : undefined);
    open.bytes = Buffer.concat([open.bytes, record]);
    if (epoch === 0) this.#events.more();
  }

  read(buffer: Buffer): DiskPiece | null {
    const [next] = this.#waiting;
    if (next === undefined || (next.epoch > 0 && !next.isSealed)) return null;
    const bytes = next.bytes.copy(buffer);
    next.bytes = next.bytes.subarray(bytes);
    const isEnd = next.isSealed && next.bytes.length === 0;
    if (isEnd) this.#waiting.shift();
    return bytes > 0 || isEnd ? { epoch: next.epoch, bytes, isEnd } : null;
  }

  /** A write of the guest's, done here; what it captures comes with it. */
  capture(at: number, data: Buffer, flags = 0): void {
    const { mistake, sectorBytes, here } = this.#hosts;
    for (let end = at; end < at + data.length; end += sectorBytes) {
      this.#uncopied.delete(end / sectorBytes);
    }
    if (mistake !== 'copies whole pages' || data.length >= 8 * sectorBytes) {
      return this.#ship({ at, data, flags });
    }
    // The page as it was when the write began, as if nobody else wrote to it.
    const page = 8 * sectorBytes;
    const from = Math.floor(at / page) * page;
    const to = Math.min(Math.ceil((at + data.length) / page) * page, here.now.length);
    const whole = Buffer.alloc(to - from);
    data.copy(whole, at - from);
    this.#ship({ at: from, data: whole });
  }

  failed(): void {
    this.#hasFailed = true;
  }

  mark(epoch: number): void {
    const hosts = this.#hosts;
    const { mistake } = hosts;
    if (!hosts.isPrimaryAlive) throw new Error('the process is dead');
    if (this.#hasFailed && mistake !== 'counts on after an error here') {
      throw new Error('the disk had an error');
    }
    if (this.#isClosed && mistake !== 'captures on after its close') return;
    if (mistake !== 'the first copy ends after its barrier') {
      while (this.#uncopied.size + this.#readAhead.length > 0) this.#copy();
    }
    for (const captured of this.#deferred.splice(0)) this.#send(captured);
    const sealed = this.#waiting.find((one) => one.epoch === epoch);
    if (sealed !== undefined) sealed.isSealed = true;
    if (mistake === 'tells of no empty epoch' && this.#count === 0 && epoch > 0) {
      this.#waiting = this.#waiting.filter((one) => one !== sealed);
    }
    this.#count = 0;
    this.#epoch = epoch + 1;
    this.#waiting.push({ epoch: epoch + 1, bytes: Buffer.alloc(0), isSealed: false });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }
}

export class ToyBackup implements BackupDisk {
  readonly name = 'xvda';
  readonly #hosts: ToyHosts;
  #events: DiskEvents = { whole() {}, lost() {} };
  #captured: Captured[] = [];
  #rest: Buffer = Buffer.alloc(0);
  readonly #wholeEpochs = new Set<number>();
  #committed: number[] = [];
  #isRolledBack = false;
  #error: Error | null = null;

  constructor(hosts: ToyHosts) {
    this.#hosts = hosts;
  }

  listen(events: DiskEvents): void {
    this.#events = events;
  }

  get #takesMore(): boolean {
    const { mistake, isBackupAlive } = this.#hosts;
    if (!isBackupAlive) return false;
    return !this.#isRolledBack || mistake === 'takes more after the roll back';
  }

  async keepFirst(): Promise<void> {}

  async digests(): Promise<Buffer> {
    return Buffer.alloc(0);
  }

  async take(epoch: number, bytes: Buffer): Promise<void> {
    if (!this.#takesMore) return;
    this.#rest = Buffer.concat([this.#rest, bytes]);
    for (let next = decodeRecord(this.#rest); next !== null; next = decodeRecord(this.#rest)) {
      const { at, length, flags } = next.record;
      const isClear = (flags & (recordFlags.trim | recordFlags.zeroes)) !== 0;
      const data = isClear ? Buffer.alloc(length) : Buffer.from(next.data);
      this.#rest = this.#rest.subarray(next.used);
      this.#arrive({ epoch, at, data, flags });
    }
  }

  #arrive(captured: Captured): void {
    this.#captured.push(captured);
    const isFirstCopy = captured.epoch === 0;
    if (isFirstCopy || this.#hosts.mistake === 'applies on arrival') this.#write(captured);
  }

  end(epoch: number): void {
    const { mistake } = this.#hosts;
    if (!this.#takesMore) return;
    if (this.#rest.length > 0) throw new OperationError('protocol', 'it is torn', { op: 'end' });
    if (this.#error !== null && mistake !== 'counts on after an error there') return;
    this.#wholeEpochs.add(epoch);
    const mine = this.#captured.filter((captured) => captured.epoch === epoch);
    if (mistake === 'applies when whole') for (const captured of mine) this.#write(captured);
    this.#events.whole(epoch);
    if (mistake === 'tells an epoch twice' && epoch > 1) this.#events.whole(epoch);
  }

  torn(): void {
    const epoch = this.#captured.at(-1)?.epoch ?? 0;
    if (!this.#wholeEpochs.has(epoch)) this.#events.whole(epoch);
  }

  #write({ at, data }: Captured): void {
    if (this.#error !== null) return;
    try {
      this.#hosts.there.write(at, data);
    } catch (error) {
      this.#error = error as Error;
      this.#events.lost(this.#error.message);
      if (this.#hosts.mistake === 'tells an error twice') this.#events.lost('and again');
    }
  }

  commit(epoch: number): void {
    const { mistake } = this.#hosts;
    if (this.#isRolledBack && mistake !== 'takes more after the roll back') return;
    if (mistake === 'applies the newest epoch first') this.#committed.unshift(epoch);
    else this.#committed.push(epoch);
    this.#hosts.later(() => this.#apply());
  }

  #apply(): void {
    const { mistake, isBackupAlive, later } = this.#hosts;
    const epoch = isBackupAlive ? this.#committed[0] : undefined;
    if (epoch === undefined) return;
    const mine = this.#captured.filter((captured) => captured.epoch === epoch);
    const next = mistake === 'applies newest first' ? mine.at(-1) : mine[0];
    if (next !== undefined) {
      this.#captured = this.#captured.filter((captured) => captured !== next);
      this.#write(next);
    } else {
      this.#committed.shift();
    }
    later.call(this.#hosts, () => this.#apply());
  }

  async settle(): Promise<void> {
    const { mistake, there } = this.#hosts;
    this.#hosts.drain();
    if (this.#error !== null && mistake !== 'settles in spite of an error') throw this.#error;
    if (mistake !== 'settles before it is durable') there.flush();
  }

  async rollBack(): Promise<void> {
    const { mistake } = this.#hosts;
    if (mistake === 'keeps what was not committed') {
      for (const epoch of this.#wholeEpochs) if (epoch > 0) this.commit(epoch);
    }
    this.#isRolledBack = true;
    this.#rest = Buffer.alloc(0);
    this.#captured = this.#captured.filter(({ epoch }) => this.#committed.includes(epoch));
  }
}

function flagsOf(request: Exclude<DiskRequest, { kind: 'flush' }>): number {
  if (request.kind === 'write') return request.fua === true ? recordFlags.fua : 0;
  return request.kind === 'discard' ? recordFlags.trim : recordFlags.zeroes;
}

/** The guest's back end: the disk of host A with the driver's leg in it. */
export class ToyBackEnd {
  readonly #hosts: ToyHosts;
  readonly #primary: ToyPrimary;
  #late: (() => void)[] = [];
  #isBroken = false;

  constructor(hosts: ToyHosts, primary: ToyPrimary) {
    this.#hosts = hosts;
    this.#primary = primary;
  }

  async request(request: DiskRequest): Promise<void> {
    const { mistake, here, isPrimaryAlive, isLinked } = this.#hosts;
    if (mistake === 'dies with the guest in its hands' && !isPrimaryAlive) {
      throw new Error('input/output error');
    }
    if (mistake === 'fails writes without a link' && !isLinked) {
      throw new Error('input/output error');
    }
    if (request.kind === 'flush') {
      if (mistake !== 'drops a flush') here.flush();
      return;
    }
    const isWrite = request.kind === 'write';
    const data = isWrite ? request.data : Buffer.alloc(request.length);
    this.#writeHere(request, data);
    // It completes once both legs have it, and a barrier may come before.
    await Promise.resolve();
    if (mistake === 'forgets zeroes' && request.kind === 'zeroes') return;
    const capture = () => {
      if (!this.#hosts.isPrimaryAlive) return;
      this.#primary.capture(request.at, data, flagsOf(request));
    };
    if (mistake === 'seals early') this.#late.push(capture);
    else capture();
    if (this.#late.length > 1) this.#late.shift()?.();
  }

  #writeHere(request: Exclude<DiskRequest, { kind: 'flush' }>, data: Buffer): void {
    const { mistake, here, there, isBackupAlive } = this.#hosts;
    if (mistake === 'tells the guest of an error there' && isBackupAlive) {
      if (request.at + data.length > there.failsFrom) throw new Error('input/output error');
    }
    try {
      here.write(request.at, data);
    } catch (error) {
      this.#primary.failed();
      this.#isBroken = true;
      if (mistake !== 'hides an error from the guest') throw error;
    }
    const isForced = request.kind === 'write' && request.fua === true;
    if (isForced && mistake !== 'drops a FUA') here.flush(request.at, data.length);
  }

  /** What is under way reaches the leg once the barrier is set. */
  barrierSet(): void {
    for (const capture of this.#late.splice(0)) capture();
  }

  read(): Buffer {
    const { mistake, here } = this.#hosts;
    if (this.#isBroken && mistake === 'breaks all reads after an error') {
      throw new Error('input/output error');
    }
    return Buffer.from(here.now);
  }
}

/** Two hosts with a session between them. */
export function openToyBench(sectorBytes: SectorBytes, mistake: Mistake | null = null): Bench {
  const sizeBytes = 64 * sectorBytes;
  const hosts = new ToyHosts(mistake, sectorBytes, sizeBytes);
  const backup = new ToyBackup(hosts);
  const primary = new ToyPrimary(hosts);
  const backEnd = new ToyBackEnd(hosts, primary);
  const isAlive = (end: 'primary' | 'backup') =>
    end === 'primary' ? hosts.isPrimaryAlive : hosts.isBackupAlive;
  const link = new PieceLink({ primary, backup, pieceBytes: 3 * sectorBytes - 100, isAlive });
  const whole: number[] = [];
  const lost: string[] = [];
  let unsealed: number | null = null;
  backup.listen({ whole: (epoch) => whole.push(epoch), lost: (reason) => lost.push(reason) });
  const seal = () => {
    if (unsealed !== null) primary.mark(unsealed);
    unsealed = null;
  };
  return {
    ...{ sectorBytes, sizeBytes, primary, backup, whole, lost },
    async request(request) {
      await backEnd.request(request);
      seal();
      hosts.step();
      await link.step();
    },
    barrier(epoch) {
      if (mistake === 'seals late') unsealed = epoch;
      else primary.mark(epoch);
      backEnd.barrierSet();
      hosts.step();
    },
    readHere: async () => backEnd.read(),
    readThere: async () => Buffer.from(hosts.there.now),
    async quiet() {
      seal();
      do hosts.drain();
      while (await link.step());
    },
    cutLink() {
      hosts.isLinked = false;
      link.cut();
      if (mistake === 'counts a torn epoch') backup.torn();
    },
    kill(end) {
      if (end === 'primary') hosts.isPrimaryAlive = false;
      else hosts.isBackupAlive = false;
    },
    async powerCut(host) {
      hosts[host].powerCut();
      if (host === 'there') hosts.isBackupAlive = false;
    },
    failWrites(host, at) {
      hosts[host].failsFrom = at;
    },
    async close() {
      await primary.close();
    },
  };
}
