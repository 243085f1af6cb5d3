/**
 * A disk driver in memory: what a real one has to do. The disks have a cache that a power cut
 * empties; between the ends is a queue of steps, of which one is done at each call, so that a
 * session is always in the middle of something. A field is a mistake that the contract must find.
 */
import type { BackupDisk, DiskEvents, PrimaryDisk } from '../../src/disk/port.ts';
import type { Bench, DiskRequest, SectorBytes } from './contract.ts';

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
  readonly data: Buffer;
  readonly isDiscard: boolean;
}

/** What both hosts are made of. */
class Hosts {
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

class ToyPrimary implements PrimaryDisk {
  readonly name = 'xvda';
  readonly barrier = 1;
  readonly #hosts: Hosts;
  readonly #backup: ToyBackup;
  /** Sectors that are not copied yet, and that the guest did not write since. */
  readonly #uncopied = new Set<number>();
  #readAhead: { readonly sector: number; readonly data: Buffer }[] = [];
  #epoch = 0;
  #count = 0;
  #isClosed = false;
  #hasFailed = false;
  #deferred: Captured[] = [];

  constructor(hosts: Hosts, backup: ToyBackup) {
    this.#hosts = hosts;
    this.#backup = backup;
    const sectors = hosts.here.now.length / hosts.sectorBytes;
    for (let sector = 0; sector < sectors; sector += 1) this.#uncopied.add(sector);
    this.#copyLater();
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

  #ship({ at, data, isDiscard = false }: { at: number; data: Buffer; isDiscard?: boolean }): void {
    const { mistake, sectorBytes } = this.#hosts;
    if (this.#isClosed && mistake !== 'captures on after its close') return;
    const captured: Captured = { epoch: this.#epoch, at, data, isDiscard };
    if (mistake === 'discards at the end' && isDiscard) {
      this.#deferred.push({ ...captured, data: Buffer.alloc(data.length) });
      return;
    }
    const isLast = at + data.length === this.#hosts.here.now.length;
    if (mistake === 'loses a sector at the end' && isLast && data.length === sectorBytes) return;
    this.#send(captured);
  }

  #send(captured: Captured): void {
    const hosts = this.#hosts;
    this.#count += 1;
    const isUp = hosts.isLinked && hosts.isPrimaryAlive;
    hosts.later(() => {
      if (isUp && hosts.isLinked && hosts.isPrimaryAlive) this.#backup.arrive(captured);
    });
  }

  /** A write of the guest's, done here; what it captures comes with it. */
  capture(at: number, data: Buffer, isDiscard = false): void {
    const { mistake, sectorBytes, here } = this.#hosts;
    for (let end = at; end < at + data.length; end += sectorBytes) {
      this.#uncopied.delete(end / sectorBytes);
    }
    if (mistake !== 'copies whole pages' || data.length >= 8 * sectorBytes) {
      return this.#ship({ at, data, isDiscard });
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
    const count = this.#count;
    if (mistake !== 'tells of no empty epoch' || count > 0 || epoch === 0) {
      hosts.later(() => {
        if (hosts.isLinked && hosts.isPrimaryAlive) this.#backup.end(epoch, count);
      });
    }
    this.#count = 0;
    this.#epoch = epoch + 1;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }
}

class ToyBackup implements BackupDisk {
  readonly name = 'xvda';
  readonly #hosts: Hosts;
  #events: DiskEvents = { whole() {}, lost() {} };
  #captured: Captured[] = [];
  readonly #wholeEpochs = new Set<number>();
  #committed: number[] = [];
  #isRolledBack = false;
  #error: Error | null = null;

  constructor(hosts: Hosts) {
    this.#hosts = hosts;
  }

  listen(events: DiskEvents): void {
    this.#events = events;
  }

  arrive(captured: Captured): void {
    const { mistake, isBackupAlive } = this.#hosts;
    const takesMore = !this.#isRolledBack || mistake === 'takes more after the roll back';
    if (!isBackupAlive || !takesMore) return;
    this.#captured.push(captured);
    const isFirstCopy = captured.epoch === 0;
    if (isFirstCopy || mistake === 'applies on arrival') this.#write(captured);
  }

  end(epoch: number, count: number): void {
    const { mistake, isBackupAlive } = this.#hosts;
    const takesMore = !this.#isRolledBack || mistake === 'takes more after the roll back';
    if (!isBackupAlive || !takesMore) return;
    const mine = this.#captured.filter((captured) => captured.epoch === epoch);
    if (mine.length !== count) return;
    if (this.#error !== null && mistake !== 'counts on after an error there') return;
    this.#wholeEpochs.add(epoch);
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
    this.#captured = this.#captured.filter(({ epoch }) => this.#committed.includes(epoch));
  }
}

/** The guest's back end: the disk of host A with the driver's leg in it. */
class ToyBackEnd {
  readonly #hosts: Hosts;
  readonly #primary: ToyPrimary;
  #late: (() => void)[] = [];
  #isBroken = false;

  constructor(hosts: Hosts, primary: ToyPrimary) {
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
      this.#primary.capture(request.at, data, request.kind === 'discard');
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
  const hosts = new Hosts(mistake, sectorBytes, sizeBytes);
  const backup = new ToyBackup(hosts);
  const primary = new ToyPrimary(hosts, backup);
  const backEnd = new ToyBackEnd(hosts, primary);
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
      hosts.drain();
    },
    cutLink() {
      hosts.isLinked = false;
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
