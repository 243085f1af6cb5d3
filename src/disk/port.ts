/**
 * The disk port: one disk of a guest as a part of every epoch (DESIGN.md, "An epoch has parts").
 *
 * On the primary a barrier marks where an epoch's writes end, in the moment at which the guest is
 * suspended. On the backup an epoch of the disk becomes whole, is committed with all other parts or
 * rolled back with them.
 *
 *   D1  nothing of epoch N is on the backup's disk before N is committed, and all of it once that
 *       is applied; a torn epoch leaves no trace. Epoch 0 is the first copy: all that was there
 *   D2  a write that had completed for the guest by the barrier of N is in N, one that was begun
 *       after it is not; one under way is in N or N + 1, and the guest issues it again
 *   D3  writes to one place stay in order, within an epoch and across
 *   D4  a roll back leaves what was committed and nothing else, whatever comes later
 *   D5  what was settled is durable on the backup
 *   D6  flush, FUA and the end of a session are to the guest what they are without one
 *   D7  an error of the guest's own disk is the guest's, and no later epoch counts; one of the
 *       backup's is told to the session once, and never to the guest
 *   D8  the end of a process, of the link or of the backup's host fails no request of the guest's
 */
import type { AnnouncedDisk, DiskFacts } from '../core/vocabulary.ts';
import type { BarrierHandle, GuestDisk, GuestSpec } from '../hypervisor/port.ts';

export type { AnnouncedDisk, DiskFacts } from '../core/vocabulary.ts';

/** A status file takes lists of sixteen lines. */
const shownMax = 15;
const shownCharsMax = 120;

/**
 * What of a disk goes to the other host: bytes of the driver's own, for its end there. Those of an
 * epoch come in order, none of a later one before its end.
 */
export interface DiskPiece {
  readonly epoch: number;
  /** How many were put into the buffer; 0 only where they end the epoch. */
  readonly bytes: number;
  /** With them the epoch is complete. */
  readonly isEnd: boolean;
}

/** What a disk on the primary tells its session. */
export interface PrimaryDiskEvents {
  /** There may be something to read, and no barrier was set that says so. */
  readonly more: () => void;
  /** What waits comes near to what may wait: an early checkpoint would help. */
  readonly filling: () => void;
  /** The first copy wants to know what `count` blocks of the other disk hold: `digests`. */
  readonly compare: (first: number, count: number) => void;
  /** The disk cannot follow any more: no later epoch will be complete. Called once. */
  readonly lost: (reason: string) => void;
}

/** How far the first copy has come. */
export interface FirstCopy {
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Of what is done: the other disk had it, so it was not sent. */
  readonly equalBytes: number;
}

/** A disk on the primary. */
export interface PrimaryDisk {
  /** As the guest calls it, and as it is called in every epoch. */
  readonly name: string;
  readonly facts: DiskFacts;
  /** Set by the save at every checkpoint, beside the output buffer's; null: it sets none. */
  readonly barrier: BarrierHandle | null;
  /** From now on `events` are told, and the first copy runs. Called once. */
  listen(events: PrimaryDiskEvents): void;
  /**
   * Who else writes to it on its host, a clause: what they wrote is in every epoch, too. Null:
   * nobody that is known.
   */
  readonly shared: string | null;
  /**
   * The next bytes for the other host, without waiting; null: there are none now. Of epoch 0 they
   * come while it is open, the first copy and what the guest writes meanwhile; of a later epoch
   * once its barrier is set. Throws when the disk was lost.
   */
  read(buffer: Buffer): DiskPiece | null;
  /**
   * What the other disk's end said of the oldest `compare` that has no answer, from block `first`
   * on; empty: it has nothing that is worth a look, and all of it is copied. A block that is there
   * already stays out of epoch 0. Throws OperationError('protocol') for what was not asked.
   */
  digests(first: number, digests: Buffer): void;
  readonly firstCopy: FirstCopy;
  /**
   * Resolves when so little of the first copy is left that the memory's may begin. Whatever of it
   * is left at barrier 0 is in epoch 0 all the same. Never rejects: `lost` is told.
   */
  nearlyCopied(): Promise<void>;
  /**
   * Resolves when all that the guest wrote up to the barrier of `epoch` was captured for sure: to
   * be asked once that is set, before the epoch's end leaves. Rejects when it was not.
   */
  check(epoch: number): Promise<void>;
  /**
   * Sets the barrier of epoch 0 where no save does: the disk alone is wanted, as it is now. To be
   * called once, when the first copy is done; throws when the disk was lost.
   */
  endFirst(): void;
  /** The session is over: the guest writes to its disk as before. Idempotent, never rejects. */
  close(): Promise<void>;
}

/** What a disk on the backup tells its session. */
export interface DiskEvents {
  /** All of the epoch's writes are here and checked. In order, each once. */
  readonly whole: (epoch: number) => void;
  /** The disk cannot follow any more: no later epoch will be whole. */
  readonly lost: (reason: string) => void;
}

/** A disk on the backup. */
export interface BackupDisk {
  readonly name: string;
  /** From now on `events` are told. Called once. */
  listen(events: DiskEvents): void;
  /**
   * Takes a copy of bytes of the epoch, in order, before it returns; resolves when more may be
   * given. Rejects with OperationError('protocol') for what its end on the primary cannot have
   * sent, or ('limit'). One that failed or was rolled back takes them and forgets them.
   */
  take(epoch: number, bytes: Buffer): Promise<void>;
  /**
   * What `count` blocks from `first` on hold now, for its end on the primary: of what was a copy of
   * this guest's disk before; else empty. One call at a time. A disk that cannot be read is lost.
   * Rejects with OperationError('protocol') for blocks that it has not.
   */
  digests(first: number, count: number): Promise<Buffer>;
  /**
   * All of the epoch was given: `whole` follows, when it was taken. Throws
   * OperationError('protocol') when it is torn.
   */
  end(epoch: number): void;
  /**
   * The epoch counts in all parts: it may be applied, at the disk's own pace, in order. Epoch 0,
   * the first copy, is not told: there is nothing older to go back to, so it is applied as it
   * comes.
   */
  commit(epoch: number): void;
  /** Resolves when all that was committed is applied and durable; rejects when the disk fails. */
  settle(): Promise<void>;
  /**
   * Epoch 0 is whole, and all that was wanted: resolves when it is durable, and the disk is known
   * as a whole copy of that moment; it is given back then. Rejects when the disk fails.
   */
  keepFirst(): Promise<void>;
  /** Nothing that was not committed is left, and nothing more is taken. Idempotent. */
  rollBack(): Promise<void>;
}

/** A disk of either host that is only read, to be compared with the other one. */
export interface ComparedDisk {
  readonly name: string;
  readonly facts: DiskFacts;
  /** As BackupDisk has it, of any disk. Rejects with OperationError. */
  digests(first: number, count: number): Promise<Buffer>;
  /** Idempotent. */
  close(): Promise<void>;
}

/** Why one of a guest's disks is not replicated. */
export interface DiskRefusal {
  readonly disk: string;
  /** A clause that follows the disk's name. */
  readonly text: string;
  /** A line to type on this host; null: nothing helps but another disk. */
  readonly advice: string | null;
  /** A later version takes it. */
  readonly isToCome: boolean;
}

/** Where a guest's copy is, and how that host is asked for its promise (-s). */
export interface CopyPlace {
  readonly host: string;
  readonly sshCommand: string | null;
  readonly heartbeatTimeoutMs: number;
}

/** A session of another host's. */
export interface SessionOf {
  readonly session: string;
  readonly domain: string;
  readonly host: string;
}

/** A way to replicate disks. */
export interface DiskDriver {
  /**
   * What both hosts call it: HELLO names it, and a backup without a driver of that name refuses the
   * session before anything is copied. Null: disks are left alone, whatever the other host has.
   */
  readonly name: string | null;
  /**
   * Why the guest's writable disks, on its own host, cannot be replicated so; empty: they can.
   * Rejects when this host does not say.
   */
  refusals(spec: GuestSpec): Promise<readonly DiskRefusal[]>;
  /**
   * The guest's writable disks, ready for a session; all or none. `copy`: where the guest's own is
   * made, so that nobody uses the disks here unasked once it may have gone on; null: only the disks
   * are copied.
   */
  openPrimary(
    spec: GuestSpec,
    session: string,
    copy: CopyPlace | null,
  ): Promise<readonly PrimaryDisk[]>;
  /**
   * Those of the copy, in the order of `facts`, which is what the primary said of its own. Throws
   * OperationError('unsupported-guest') when one cannot take the place of the guest's: nothing of
   * it was changed then.
   */
  openBackup(
    spec: GuestSpec,
    of: SessionOf,
    facts: readonly AnnouncedDisk[],
  ): Promise<readonly BackupDisk[]>;
  /**
   * The guest's disks on this host can be opened for copies, and looked at, where nobody has been
   * able to since `release` or a boot; whether that was so. Rejects with OperationError.
   */
  bringOut(uuid: string): Promise<boolean>;
  /**
   * No session here has the guest's copies any more: they are closed, and refused to everybody else
   * unless the guest may run on them. Once or more often, the same. Never rejects.
   */
  release(uuid: string): Promise<void>;
  /**
   * The guest goes on on its own host without the copy that the session made: neither's disks are
   * to be written over by the other's unasked. Once or more often, the same. Never rejects.
   */
  goOnAlone(uuid: string, session: string): Promise<void>;
  /**
   * The guest goes on with the copy that the session made: its disks on its own host are the older
   * ones. As `goOnAlone`.
   */
  cede(uuid: string, session: string): Promise<void>;
  /**
   * The guest's writable disks on its own host (`facts` null), or those of a copy, in the order of
   * what the primary said of its own. Nothing is written to them. Throws as `openBackup` does.
   */
  openCompared(
    spec: GuestSpec,
    facts: readonly DiskFacts[] | null,
  ): Promise<readonly ComparedDisk[]>;
}

/** How far those of all these disks are, taken together. */
export function firstCopyOf(disks: readonly Pick<PrimaryDisk, 'firstCopy'>[]): FirstCopy {
  const copies = disks.map(({ firstCopy }) => firstCopy);
  const sum = (of: (copy: FirstCopy) => number) =>
    copies.reduce((total, copy) => total + of(copy), 0);
  return {
    doneBytes: sum((one) => one.doneBytes),
    totalBytes: sum((one) => one.totalBytes),
    equalBytes: sum((one) => one.equalBytes),
  };
}

/** As a person knows disks; bounded, for a configuration may come from another host. */
export function diskNames(disks: readonly GuestDisk[]): readonly string[] {
  const names = disks.slice(0, shownMax).map(({ name, target }) => {
    return (target === '' ? name : `${name} (${target})`).slice(0, shownCharsMax);
  });
  const more = disks.length - names.length;
  return more === 0 ? names : [...names, `${more} more`];
}

/** For guests whose disks are left alone (-d), or that have none. */
export const noDisks: DiskDriver = {
  name: null,
  refusals: async ({ writableDisks }) =>
    writableDisks.map(({ name, target }) => {
      const text = `${target} is writable, and no driver takes it`;
      return { disk: name, text, advice: null, isToCome: true };
    }),
  openPrimary: async () => [],
  openBackup: async () => [],
  bringOut: async () => false,
  release: async () => {},
  goOnAlone: async () => {},
  cede: async () => {},
  openCompared: async () => [],
};
