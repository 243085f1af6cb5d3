/**
 * The mirror driver's end on the backup: takes what the primary captured, and writes it to the disk
 * that stands on this host where the guest's own stands there.
 *
 * A disk is opened for us alone, looked at, and refused in words before anything of it is changed:
 * another size or sector, in use by somebody, another's, or newer than the guest's (mark.ts).
 * What waits for the disk alone makes the primary wait beyond `roomBytes`; an epoch that does not
 * count yet is kept whatever its size, up to the limit that both hosts know.
 */
import { constants } from 'node:os';
import { diskEpochBytesMax } from '../../core/limits.ts';
import { type Advice, adviceLine } from '../../core/texts/advice.ts';
import { formatBytes } from '../../core/units.ts';
import type { AnnouncedDisk } from '../../core/vocabulary.ts';
import { type Cancel, every, type Timers } from '../../host/clock.ts';
import { errorText, OperationError } from '../../host/errors.ts';
import type { GuestDisk, GuestSpec } from '../../hypervisor/port.ts';
import type { ApplyLibrary } from '../../native/apply.ts';
import type { DeviceNumber } from '../../native/capture.ts';
import type { NativeEvent } from '../../native/events.ts';
import { NativeError } from '../../native/loader.ts';
import type { BackupDisk, DiskEvents } from '../port.ts';
import { DiskDigests, type Hasher } from './digests.ts';
import { foreignLookEveryMs, type GuestPorts, hasGuest } from './guests.ts';
import { type LvmPorts, lvmNameOf, refuseAfterBoot } from './lvm.ts';
import { type DiskMark, type MarkedPeer, markPath, readMark, writeMark } from './mark.ts';

/**
 * Acknowledged and not written yet, bytes, before the primary waits. A takeover waits for all of
 * it: a disk that writes 100 MB/s is done in less than a second.
 */
export const diskRoomBytes = 64 * 1024 * 1024;

/** What may be taken in one call. */
const pieceBytesMax = 1024 * 1024;

const { errno } = constants;
/** ESHUTDOWN and ENOTBLK, which node:os does not name. */
const eshutdown = 108;
const enotblk = 15;

export type Apply = Pick<
  ApplyLibrary,
  | 'applyOpen'
  | 'applyFeed'
  | 'applyEnd'
  | 'applyCommit'
  | 'applySettle'
  | 'applyRollBack'
  | 'applyLook'
  | 'applyClose'
>;

export interface MirrorBackupPorts extends LvmPorts, GuestPorts {
  readonly timers: Timers;
  readonly apply: Apply;
  readonly hasher: Hasher;
  /** Where a path of a guest's configuration is on this host. */
  readonly pathOf: (target: string) => string;
  /**
   * The path of the disk's device, which is made where a script makes it (block-script.ts). Rejects
   * with an Error that says why it cannot be.
   */
  readonly attach: (disk: GuestDisk) => Promise<string>;
  /** For tests: a plain file will do, too. */
  readonly isAnyFile: boolean;
}

/** What a disk is opened with. */
interface Opened {
  readonly ports: MirrorBackupPorts;
  readonly facts: AnnouncedDisk;
  readonly mark: DiskMark;
  readonly handle: number;
  /** What was opened: `mark.path`, or what a script has made of that. */
  readonly devicePath: string;
  /** It was a copy of the guest's before: most of it may be right. */
  readonly isCompared: boolean;
  readonly device: DeviceNumber;
}

type Heard = { take: (event: NativeEvent) => void };

class MirrorBackupDisk implements BackupDisk {
  readonly name: string;
  readonly #opened: Opened;
  #events: DiskEvents | null = null;
  /** What was lost before somebody listened. */
  #failure: string | null = null;
  #isToldLost = false;
  #isRolledBack = false;
  /** The activation's mark was written: undone where the copy is given up after all. */
  #isMarkedWhole = false;
  #closing: Promise<void> | null = null;
  #digests: Promise<DiskDigests> | null = null;
  #waiting: (() => void)[] = [];
  #stopLooking: Cancel = () => {};
  #settling: { readonly resolve: () => void; readonly reject: (error: Error) => void }[] = [];

  constructor(opened: Opened, heard: Heard) {
    this.#opened = opened;
    this.name = opened.facts.name;
    heard.take = (event) => this.#onEvent(event);
  }

  listen(events: DiskEvents): void {
    this.#events = events;
    this.#tellLost();
    const { timers } = this.#opened.ports;
    this.#stopLooking = every(timers, foreignLookEveryMs, () => void this.#lookForGuests());
  }

  /** One that opens the disk while it is a copy's writes to it, or reads what is torn. */
  async #lookForGuests(): Promise<void> {
    const { ports, device, handle } = this.#opened;
    const isForeign = await hasGuest(ports, device);
    // The copy itself opens it once it was settled.
    if (!isForeign || this.#isDone) return;
    ports.apply.applyRollBack(handle);
    this.#lose('a guest that runs here has opened it');
    this.#wake();
  }

  async take(_epoch: number, bytes: Buffer): Promise<void> {
    const { ports, handle } = this.#opened;
    let isFull = false;
    for (let at = 0; at < bytes.length; at += pieceBytesMax) {
      const piece = bytes.subarray(at, at + pieceBytesMax);
      isFull = this.#orGone(() => ports.apply.applyFeed(handle, piece)) ?? false;
    }
    if (!isFull || this.#isDone) return;
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  async digests(first: number, count: number): Promise<Buffer> {
    const none = Buffer.alloc(0);
    if (!this.#opened.isCompared || this.#isDone) return none;
    try {
      return await (await this.#openDigests()).of(first, count);
    } catch (error) {
      if (error instanceof OperationError && error.code === 'protocol') throw error;
      if (!this.#isDone) this.#lose(errorText(error));
      return none;
    }
  }

  #openDigests(): Promise<DiskDigests> {
    const { ports, devicePath, facts } = this.#opened;
    const { hasher, isAnyFile } = ports;
    const about = { path: devicePath, sizeBytes: facts.sizeBytes, isAnyFile };
    // It is held for us alone already.
    this.#digests ??= DiskDigests.open(hasher, { ...about, isAlone: false });
    return this.#digests;
  }

  end(epoch: number): void {
    const { ports, handle } = this.#opened;
    const isTaken = this.#orGone(() => {
      ports.apply.applyEnd(handle, epoch);
      return true;
    });
    if (isTaken) this.#events?.whole(epoch);
  }

  commit(epoch: number): void {
    const { ports, handle } = this.#opened;
    this.#orGone(() => ports.apply.applyCommit(handle, epoch));
  }

  get #isDone(): boolean {
    return this.#isRolledBack || this.#failure !== null || this.#closing !== null;
  }

  /** Null from a disk that failed, was rolled back or is closed: it takes and forgets. */
  #orGone<T>(work: () => T): T | null {
    if (this.#isDone) return null;
    try {
      return work();
    } catch (error) {
      if (!(error instanceof NativeError) || error.errno === eshutdown) return null;
      const code = error.errno === errno.EPROTO ? 'protocol' : 'limit';
      const text = `disk ${this.name}: ${error.message}`;
      throw new OperationError(code, text, { op: 'take-disk', subject: this.name, cause: error });
    }
  }

  #onEvent(event: NativeEvent): void {
    if (event.kind === 'disk-settled') {
      for (const { resolve } of this.#settling.splice(0)) resolve();
    } else if (event.kind === 'failed' || event.kind === 'ended') {
      const reason = event.kind === 'failed' ? event.text : 'it was closed';
      for (const { reject } of this.#settling.splice(0)) reject(this.#failed(reason));
      if (event.kind === 'failed') this.#lose(reason);
    }
    this.#wake();
  }

  #lose(reason: string): void {
    this.#stopLooking();
    this.#failure ??= reason;
    this.#tellLost();
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #tellLost(): void {
    if (this.#events === null || this.#failure === null || this.#isToldLost) return;
    this.#isToldLost = true;
    this.#events.lost(`${this.#opened.mark.path} cannot be used: ${this.#failure}`);
  }

  #failed(reason: string): OperationError {
    const text = `disk ${this.name} (${this.#opened.mark.path}): ${reason}`;
    return new OperationError('storage', text, { op: 'settle-disk', subject: this.name });
  }

  /**
   * Where nothing more is taken this is the activation: the disk is marked as a generation of its
   * own (M2, M3) and closed, so that the guest finds it free.
   */
  async settle(): Promise<void> {
    const { ports, mark, facts } = this.#opened;
    if (this.#closing !== null) return this.#closing;
    await this.#written();
    if (!this.#isRolledBack) return;
    const { generation } = facts;
    this.#isMarkedWhole = true;
    await writeMark(ports, {
      ...mark,
      ...{ state: 'whole', generation: generation + 1, parent: generation, session: null },
    });
    await this.close();
  }

  /** Resolves when all that was committed is durable. */
  async #written(): Promise<void> {
    const { ports, handle } = this.#opened;
    if (this.#failure !== null) throw this.#failed(this.#failure);
    await new Promise<void>((resolve, reject) => {
      this.#settling.push({ resolve, reject });
      try {
        ports.apply.applySettle(handle);
      } catch (error) {
        this.#settling.pop();
        reject(this.#failed(errorText(error)));
      }
    });
  }

  /** Equal, and no generation of its own: nobody has run on it (M2). */
  async keepFirst(): Promise<void> {
    const { ports, mark } = this.#opened;
    await this.#written();
    if (this.#isDone) throw this.#failed('it was given up');
    await writeMark(ports, { ...mark, state: 'whole', session: null });
    await this.close();
  }

  async rollBack(): Promise<void> {
    const { ports, handle, mark } = this.#opened;
    this.#isRolledBack = true;
    this.#stopLooking();
    if (this.#closing === null) ports.apply.applyRollBack(handle);
    this.#wake();
    if (!this.#isMarkedWhole) return;
    this.#isMarkedWhole = false;
    await writeMark(ports, mark);
  }

  /** From now on it is this guest's, and torn, and nobody else gets it (M1, M2, M5). */
  async mark(): Promise<void> {
    const { ports, mark } = this.#opened;
    await writeMark(ports, mark);
    if (mark.lvm !== null) await refuseAfterBoot(ports, mark.lvm);
  }

  /** The disk is somebody else's from now on. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { ports, handle } = this.#opened;
    this.#stopLooking();
    const digests = await this.#digests?.catch(() => null);
    await digests?.close();
    await ports.apply.applyClose(handle);
  }
}

function refuse(disk: GuestDisk, text: string, advice: Advice): OperationError {
  const what = `disk ${disk.name} of the guest cannot be kept here: ${text}`;
  const about = { op: 'open-disk', subject: disk.name, hint: adviceLine(advice) };
  return new OperationError('unsupported-guest', what, about);
}

/** What the native library says when it cannot open one. */
function openError(error: unknown, disk: GuestDisk, path: string): unknown {
  if (!(error instanceof NativeError) || error.errno === null) return error;
  if (error.errno === errno.ENOENT) {
    return refuse(disk, `there is no ${path}`, { kind: 'see-missing', path });
  }
  if (error.errno === errno.EBUSY || error.errno === enotblk) {
    return refuse(disk, error.message, { kind: 'see-disk', path });
  }
  return error;
}

/**
 * A copy that nobody has run on is of the generation that it was made from. Of a disk that the
 * guest ran on another one of the same generation is no descendant: both went on.
 */
function isOlder(mark: DiskMark, { generation }: AnnouncedDisk): boolean {
  const isUsed =
    mark.role === 'source' || (mark.state === 'whole' && mark.generation > mark.parent);
  return isUsed ? mark.generation < generation : mark.generation <= generation;
}

const isOurs = (mark: DiskMark | null, path: string): mark is DiskMark => mark?.path === path;

/** Whose it is (M3, M4); `found`: as the disk was opened. */
function checkMark({ ports, facts, found, mark, uuid, disk }: Looked, path: string): void {
  if (isOurs(mark, path) && !isOlder(mark, facts)) {
    const both = `generation ${mark.generation}, the primary's is ${facts.generation}`;
    const text = `the guest ran on ${path}, and it is not the older one (${both})`;
    const marked = markPath(ports.stateDirectory, uuid, disk.name);
    throw refuse(disk, text, { kind: 'forget-disk', path, mark: marked });
  }
  if (isOurs(mark, path) || found.isBlank || facts.mayOverwrite) return;
  const unmarked = `${path} is not empty, and not marked as this guest's`;
  const unless = `protect or resync with --init-disk ${disk.name} if it may go`;
  const text = `${unmarked}: it may be somebody else's; ${unless}`;
  throw refuse(disk, text, { kind: 'empty-disk', path });
}

interface Looked {
  readonly ports: MirrorBackupPorts;
  readonly facts: AnnouncedDisk;
  readonly found: Awaited<ReturnType<Apply['applyOpen']>>['found'];
  readonly mark: DiskMark | null;
  readonly uuid: string;
  readonly disk: GuestDisk;
}

/** Throws where it cannot take the place of the guest's; nothing of it was changed. */
async function checkDisk(looked: Looked, path: string): Promise<void> {
  const { ports, facts, found, disk } = looked;
  const { sizeBytes, sectorBytes } = facts;
  if (found.sizeBytes !== sizeBytes || found.sectorBytes !== sectorBytes) {
    const said = (size: number, sector: number) =>
      `${size} bytes (${formatBytes(size)}) in sectors of ${sector}`;
    const there = said(sizeBytes, sectorBytes);
    const text = `${path} has ${said(found.sizeBytes, found.sectorBytes)}, the guest's ${there}`;
    throw refuse(disk, text, { kind: 'see-disk', path });
  }
  if (await hasGuest(ports, found)) {
    throw refuse(disk, `a guest that runs here has ${path}`, { kind: 'see-disk', path });
  }
  checkMark(looked, path);
}

/** Of whom the copies are, and which session makes them. */
export interface CopyOf {
  readonly uuid: string;
  readonly domain: string;
  readonly session: string;
  readonly peer: MarkedPeer;
}

async function openOne(
  ports: MirrorBackupPorts,
  of: CopyOf,
  disk: GuestDisk,
  facts: AnnouncedDisk,
): Promise<MirrorBackupDisk> {
  const { uuid } = of;
  const path = ports.pathOf(disk.target);
  const marked = await readMark(ports, uuid, disk.name);
  const heard: Heard = { take: () => {} };
  const devicePath = await ports.attach(disk).catch((error: unknown) => {
    throw refuse(disk, errorText(error), { kind: 'see-missing', path });
  });
  const settings = {
    path: devicePath,
    ...{ sizeBytes: facts.sizeBytes, sectorBytes: facts.sectorBytes },
    limitBytes: diskEpochBytesMax + diskRoomBytes + pieceBytesMax,
    roomBytes: diskRoomBytes,
    isAnyFile: ports.isAnyFile,
  };
  const { handle, found } = await ports.apply
    .applyOpen(settings, (event) => heard.take(event))
    .catch((error: unknown) => {
      throw openError(error, disk, path);
    });
  const { generation } = facts;
  const lvm = found.major === 0 ? null : await lvmNameOf(ports.files, found);
  const mark: DiskMark = {
    ...{ ...of, disk: disk.name, path, lvm, generation, parent: generation },
    role: 'copy',
    state: 'copying',
  };
  const isCompared = isOurs(marked, path);
  const opened = new MirrorBackupDisk(
    { ports, facts, mark, handle, devicePath, isCompared, device: found },
    heard,
  );
  try {
    await checkDisk({ ports, facts, found, mark: marked, uuid, disk }, path);
  } catch (error) {
    await opened.close();
    throw error;
  }
  return opened;
}

type CopyDisks = Pick<GuestSpec, 'writableDisks'>;

/** A disk of a copy, for a session. */
export type OpenCopy = BackupDisk & Pick<MirrorBackupDisk, 'close'>;

/**
 * The disks of a copy, all or none: each is looked at before the first of them is marked. Throws
 * OperationError('unsupported-guest') for one that cannot take the place of the guest's.
 */
export async function openMirrorCopies(
  ports: MirrorBackupPorts,
  of: CopyOf,
  { writableDisks }: CopyDisks,
  facts: readonly AnnouncedDisk[],
): Promise<readonly OpenCopy[]> {
  const opened: MirrorBackupDisk[] = [];
  try {
    for (const one of facts) {
      const disk = writableDisks.find(({ name }) => name === one.name);
      if (disk === undefined) throw new Error(`the guest has no disk ${one.name}`);
      opened.push(await openOne(ports, of, disk, one));
    }
    // M1: before the first byte can come.
    for (const disk of opened) await disk.mark();
    return opened;
  } catch (error) {
    for (const disk of opened) await disk.close();
    throw error;
  }
}

/**
 * What keeps each disk from taking the place of the guest's, in the order of `facts`; nothing is
 * changed. Rejects with what is no answer to that.
 */
export async function copyRefusals(
  ports: MirrorBackupPorts,
  { uuid, name: domain, writableDisks }: Pick<GuestSpec, 'uuid' | 'name' | 'writableDisks'>,
  facts: readonly AnnouncedDisk[],
): Promise<readonly OperationError[]> {
  const nobody = { session: '', peer: { host: '', sshCommand: null, heartbeatTimeoutMs: 0 } };
  const of = { uuid, domain, ...nobody };
  const refusals: OperationError[] = [];
  for (const one of facts) {
    const disk = writableDisks.find(({ name }) => name === one.name);
    if (disk === undefined) throw new Error(`the guest has no disk ${one.name}`);
    try {
      await (await openOne(ports, of, disk, one)).close();
    } catch (error) {
      if (!(error instanceof OperationError) || error.code !== 'unsupported-guest') throw error;
      refusals.push(error);
    }
  }
  return refusals;
}
