/**
 * A simulated disk as a part of every epoch. Its writes travel beside the memory, on a connection
 * of their own: later, or not at all, and what came of an epoch that does not count is thrown away.
 */
import type { BackupDisk, DiskDriver, DiskEvents, PrimaryDisk } from '../../src/disk/port.ts';
import type { Connection, Endpoint } from './link.ts';
import type { SimProcess } from './process.ts';

export const diskName = 'xvda';
/** The barrier of the disk, as the save knows it. */
export const diskBarrier = 2;

export interface DiskEpoch {
  readonly epoch: number;
  readonly disk: number;
}

export class SimPrimaryDisk implements PrimaryDisk, Endpoint<DiskEpoch> {
  readonly name = diskName;
  readonly barrier = diskBarrier;
  readonly #process: SimProcess;
  #connection: Connection<DiskEpoch> | null = null;
  #waiting: DiskEpoch[] = [];
  #isSending = false;

  constructor(process: SimProcess) {
    this.#process = process;
    process.onExit(() => this.#connection?.processDied('a'));
  }

  open(connection: Connection<DiskEpoch>): void {
    this.#connection = connection;
    this.#sendNext();
  }

  /** The guest is suspended: its writes up to now are those of `epoch`. */
  mark(epoch: number, disk: number): void {
    this.#waiting.push({ epoch, disk });
    if (!this.#isSending) this.#sendNext();
  }

  /** What was written before there was a connection waits for it. */
  #sendNext(): void {
    if (this.#connection === null) return;
    const next = this.#waiting.shift();
    this.#isSending = next !== undefined;
    if (next === undefined) return;
    const { plan, random } = this.#process.world;
    this.#process.later(plan.diskLagMs * random.next(), () => {
      this.#process.call('send disk epoch', () => {
        this.#connection?.send('a', next);
        this.#sendNext();
      });
    });
  }

  onMessage(): void {}
  onClosed(): void {}

  async close(): Promise<void> {
    this.#process.call('close disk', () => this.#connection?.close('a'));
  }
}

/** What the disk of host B holds; it survives the process. */
export interface DiskContent {
  epoch: number;
  disk: number;
}

export class SimBackupDisk implements BackupDisk, Endpoint<DiskEpoch> {
  readonly name = diskName;
  readonly #process: SimProcess;
  readonly #content: DiskContent;
  #events: DiskEvents = { whole() {}, lost() {} };
  readonly #arrived = new Map<number, DiskEpoch>();
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

  onMessage(arrived: DiskEpoch): void {
    this.#process.run(() => {
      if (this.#isRolledBack) return;
      // The first copy is not thrown away piece by piece: there is nothing to go back to.
      const isApplied = arrived.epoch === 0 || this.#machines.diskAppliesAt === 'arrival';
      if (isApplied) Object.assign(this.#content, arrived);
      else this.#arrived.set(arrived.epoch, arrived);
      this.#process.world.checker.diskArrived(arrived.epoch);
      this.#events.whole(arrived.epoch);
    });
  }

  /** The end of the connection only means that nothing more comes. */
  onClosed(): void {}

  commit(epoch: number): void {
    this.#process.call('commit disk', () => {
      this.#committed.push(epoch);
      this.#applyNext();
    });
  }

  #applyNext(): void {
    const epoch = this.#committed[0];
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
