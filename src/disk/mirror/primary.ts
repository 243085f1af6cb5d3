/**
 * The mirror driver's end on the primary: a guest's volume gets, live, a mirror whose second leg is
 * an NBD device that the native capture serves (native/disk/disk.h). What the guest writes is in
 * the open epoch before the guest is told that it is done; reads never leave the volume.
 *
 *   N1  Whatever dies or fails, the guest's writes go on to its own volume: session and disk guard
 *       each take the mirror away for the other, and what both left the next command does.
 *   N2  The mirror is put in when the session listens, not before: until then the guest writes as
 *       ever, however long the other host takes to answer.
 *   N3  No epoch counts before the mirror was seen to be as it was put in, after its barrier.
 *   N4  Nothing keeps xl from giving the volume to another guest of this host, too: that is looked
 *       for while the session listens, and said for as long as it is so. Both write to it, and all
 *       of that is in every epoch.
 */
import { sharedDiskText } from '../../core/texts/disks-left.ts';
import { type Cancel, every, sleep } from '../../host/clock.ts';
import { errorText, OperationError } from '../../host/errors.ts';
import type { BarrierHandle, GuestSpec } from '../../hypervisor/port.ts';
import type { DeviceNumber, OpenCapture } from '../../native/capture.ts';
import type { NativeEvent } from '../../native/events.ts';
import { devicePathOf } from '../block-script.ts';
import type { DiskFacts, DiskPiece, FirstCopy, PrimaryDisk, PrimaryDiskEvents } from '../port.ts';
import { DiskGuard, guardArguments, LegBusy } from './guard.ts';
import { foreignLookEveryMs, guestsWith } from './guests.ts';
import type { Captures, MirrorPorts } from './host.ts';
import { removeNote, repairLeft, writeNote } from './left.ts';
import { chooseLeg, type Leg } from './legs.ts';
import { refuseAfterBoot } from './lvm.ts';
import type { MarkedPeer } from './mark.ts';
import { roomBytes } from './room.ts';
import { repairVolume, type Volume, volumeBehind } from './volume.ts';

const askBytes = roomBytes / 2;
/** A write of the guest's waits for room, and nobody reads for so long, ms: that is the end. */
const waitMs = 10_000;
/** Other sessions may be after the same NBD device, but not so often. */
const legsTriedMax = 8;
/** How long LVM, or whoever changes the volume's table, is waited for, ms. */
const busyMsMax = 30_000;
const busyPollMs = 50;

/** Repeats `work` while somebody else is changing the volume, which is when it gives false. */
async function whenFree(
  { clock, timers }: MirrorPorts,
  { name }: Volume,
  work: () => Promise<boolean>,
): Promise<void> {
  const endMs = clock.nowMs() + busyMsMax;
  while (!(await work())) {
    if (clock.nowMs() >= endMs) {
      throw new Error(`somebody has been changing ${name} for ${busyMsMax / 1_000} s`);
    }
    await sleep(timers, busyPollMs);
  }
}

/** What one disk's mirror is made of. */
interface Parts {
  readonly name: string;
  readonly volume: Volume;
  readonly device: DeviceNumber;
  readonly sizeBytes: number;
  readonly generation: number;
  readonly captures: Captures;
  readonly capture: OpenCapture;
  readonly guard: DiskGuard;
}

class MirrorDisk implements PrimaryDisk {
  readonly name: string;
  readonly facts: DiskFacts;
  readonly barrier: BarrierHandle;
  readonly #ports: MirrorPorts;
  readonly #parts: Parts;
  #events: PrimaryDiskEvents | null = null;
  #lost: string | null = null;
  #shared: string | null = null;
  #stopLooking: Cancel = () => {};
  #hasCopied: () => void = () => {};
  readonly #copied: Promise<void>;
  #begun: Promise<void> = Promise.resolve();
  #isClosing = false;
  #firstCopy: FirstCopy;
  #closed: Promise<void> | null = null;
  readonly #onClosed: (isWhole: boolean) => Promise<void>;

  constructor(ports: MirrorPorts, parts: Parts, onClosed: (isWhole: boolean) => Promise<void>) {
    this.name = parts.name;
    const { name, sizeBytes, volume, generation } = parts;
    this.facts = { name, sizeBytes, sectorBytes: volume.sectorBytes, generation };
    this.barrier = parts.capture.handle;
    this.#firstCopy = { doneBytes: 0, totalBytes: sizeBytes, equalBytes: 0 };
    this.#ports = ports;
    this.#parts = parts;
    this.#onClosed = onClosed;
    this.#copied = new Promise((resolve) => {
      this.#hasCopied = resolve;
    });
    void parts.guard.died().then((how) => this.#lose(`its disk guard died (${how})`));
  }

  onEvent(event: NativeEvent): void {
    const { volume } = this.#parts;
    switch (event.kind) {
      case 'disk-more':
        return this.#events?.more();
      case 'disk-compare':
        return this.#events?.compare(event.b, event.c);
      case 'disk-copied':
        this.#hasCopied();
        return this.#events?.more();
      case 'disk-full':
        this.#ports.say(`what is written to ${volume.name} waits for room: ${event.b} bytes wait`);
        return;
      case 'disk-filling':
        return this.#events?.filling();
      case 'failed':
        return this.#lose(event.text);
      case 'ended':
        if (event.a < 0) this.#ports.say(`the mirror of ${volume.name} is there: ${event.text}`);
        return;
      default:
        throw new Error(`a capture told ${event.kind}`);
    }
  }

  listen(events: PrimaryDiskEvents): void {
    if (this.#events !== null) throw new Error('a disk is listened to twice');
    this.#events = events;
    if (this.#lost !== null) return events.lost(this.#lost);
    this.#begun = this.#begin();
    const { timers } = this.#ports;
    this.#stopLooking = every(timers, foreignLookEveryMs, () => void this.#lookForGuests());
  }

  get shared(): string | null {
    return this.#shared;
  }

  /** N4 */
  async #lookForGuests(): Promise<void> {
    const domids = await guestsWith(this.#ports, this.#parts.device);
    if (this.#isClosing) return;
    const before = this.#shared;
    this.#shared = domids.length < 2 ? null : sharedDiskText(this.name, domids);
    if (this.#shared === before) return;
    this.#ports.say(this.#shared ?? `disk ${this.name} is one guest's alone again`);
  }

  /** N2 */
  async #begin(): Promise<void> {
    const { captures, capture, volume } = this.#parts;
    try {
      await whenFree(this.#ports, volume, async () => {
        return this.#isClosing || captures.insertMirror(capture.handle);
      });
      if (this.#isClosing) return;
      this.#ports.say(`the mirror of ${volume.name} is in; its first copy begins`);
      captures.startCopy(capture.handle);
    } catch (error) {
      this.#lose(`no mirror could be put in: ${errorText(error)}`);
    }
  }

  #lose(reason: string): void {
    if (this.#lost !== null || this.#isClosing) return;
    this.#lost = `${this.#parts.volume.name}: ${reason}`;
    this.#events?.lost(this.#lost);
  }

  read(buffer: Buffer): DiskPiece | null {
    if (this.#lost !== null) throw this.#failure(this.#lost);
    const { captures, capture } = this.#parts;
    return captures.readCapture(capture.handle, buffer);
  }

  digests(first: number, digests: Buffer): void {
    // Whoever is closed asks nothing any more.
    if (this.#lost !== null || this.#isClosing) return;
    const { captures, capture } = this.#parts;
    if (captures.giveDigests(capture.handle, first, digests)) return;
    const bytes = digests.length;
    const text = `disk ${this.name}: ${bytes} bytes from block ${first} on were not asked for`;
    throw new OperationError('protocol', text, { op: 'compare-disk', subject: this.name });
  }

  get firstCopy(): FirstCopy {
    const { captures, capture } = this.#parts;
    if (!this.#isClosing) {
      const { copiedBytes, toCopyBytes, equalBytes } = captures.lookAtCapture(capture.handle);
      this.#firstCopy = { doneBytes: copiedBytes, totalBytes: toCopyBytes, equalBytes };
    }
    return this.#firstCopy;
  }

  /** All of it: the native half takes no barrier before. */
  nearlyCopied(): Promise<void> {
    return this.#copied;
  }

  endFirst(): void {
    if (this.#lost !== null) throw this.#failure(this.#lost);
    const { captures, capture } = this.#parts;
    captures.sealCapture(capture.handle, 0);
  }

  /** N3 */
  async check(_epoch: number): Promise<void> {
    const { captures, capture, volume } = this.#parts;
    try {
      await whenFree(this.#ports, volume, () => captures.checkCapture(capture.handle));
    } catch (error) {
      throw this.#failure(errorText(error), error);
    }
    if (this.#lost !== null) throw this.#failure(this.#lost);
  }

  close(): Promise<void> {
    this.#closed ??= this.#end();
    return this.#closed;
  }

  async #end(): Promise<void> {
    const { captures, capture, volume, guard } = this.#parts;
    // A capture that is closed tells nothing any more.
    this.#firstCopy = this.firstCopy;
    this.#isClosing = true;
    this.#stopLooking();
    this.#shared = null;
    await this.#begun;
    const ended = guard.end();
    let isWhole = true;
    try {
      await captures.closeCapture(capture.handle);
    } catch (error) {
      this.#ports.say(`the mirror of ${volume.name} is not taken away: ${errorText(error)}`);
    }
    capture.stopEvents();
    if (!(await ended)) {
      this.#ports.say(`the disk guard of ${volume.name} (process ${guard.pid}) goes on trying`);
    }
    try {
      await repairVolume(this.#ports, volume);
    } catch (error) {
      isWhole = false;
      this.#ports.say(`something is left of the mirror of ${volume.name}: ${errorText(error)}`);
    }
    await this.#onClosed(isWhole);
  }

  #failure(text: string, cause?: unknown): OperationError {
    return new OperationError('storage', text, { op: 'mirror-disk', subject: this.name, cause });
  }
}

/** A capture over the leg, whose guard has connected it. Rejects with LegBusy, or an error. */
async function openCapture(
  ports: MirrorPorts,
  captures: Captures,
  { volume, plain, leg, sizeBytes }: { volume: Volume; plain: string; leg: Leg; sizeBytes: number },
  onEvent: (event: NativeEvent) => void,
): Promise<{ readonly capture: OpenCapture; readonly guard: DiskGuard }> {
  const { name, under, lock, vgLock } = volume;
  const limits = { roomBytes, askBytes, waitMs };
  const { copyBytesPerSecond } = ports;
  const about = { copyBytesPerSecond, sizeBytes, leg, name, under, plain, lock, vgLock };
  const settings = { ...limits, ...about };
  const capture = await captures.openCapture(settings, onEvent);
  try {
    const guard = new DiskGuard(ports, guardArguments(volume, leg, sizeBytes), capture.guards);
    await guard.connected();
    return { capture, guard };
  } catch (error) {
    await captures.closeCapture(capture.handle).catch(() => {});
    capture.stopEvents();
    throw error;
  }
}

type OpenedCapture = Awaited<ReturnType<typeof openCapture>>;

/** The same over whichever NBD device is free. */
async function openOnAnyLeg(
  ports: MirrorPorts,
  captures: Captures,
  volume: { volume: Volume; plain: string; sizeBytes: number },
  onEvent: (event: NativeEvent) => void,
): Promise<OpenedCapture> {
  const tried: string[] = [];
  for (;;) {
    const leg = await chooseLeg(ports, tried);
    try {
      return await openCapture(ports, captures, { ...volume, leg }, onEvent);
    } catch (error) {
      if (!(error instanceof LegBusy) || tried.length >= legsTriedMax) throw error;
      tried.push(leg.path);
    }
  }
}

/** A disk that is to get a mirror. */
interface Named {
  readonly name: string;
  readonly volume: Volume;
  readonly device: DeviceNumber;
  readonly generation: number;
}

/** `onClosed` hears of it once, here where it fails: whether nothing of it is left. */
async function openMirror(
  ports: MirrorPorts,
  { name, volume, device, generation }: Named,
  onClosed: (isWhole: boolean) => Promise<void>,
): Promise<MirrorDisk> {
  try {
    const captures = await ports.captures();
    if (await repairVolume(ports, volume)) {
      ports.say(`a dead session's mirror of ${volume.name} was taken away`);
    }
    const found = await captures.lookAtVolume(volume.name, volume.under);
    if (found === null) throw new Error('it is not there any more');
    const plain = await captures.makeUnder(volume.name, volume.under);
    const early: NativeEvent[] = [];
    let onEvent: (event: NativeEvent) => void = (event) => early.push(event);
    const about = { volume, plain, sizeBytes: found.sizeBytes };
    const opened = await openOnAnyLeg(ports, captures, about, (event) => onEvent(event));
    const parts = { name, device, generation, captures, ...about, ...opened };
    const disk = new MirrorDisk(ports, parts, onClosed);
    onEvent = (event) => disk.onEvent(event);
    for (const event of early) disk.onEvent(event);
    return disk;
  } catch (error) {
    const isWhole = await repairVolume(ports, volume).then(
      () => true,
      () => false,
    );
    await onClosed(isWhole);
    if (error instanceof OperationError) throw error;
    const text = `${volume.name} cannot be mirrored: ${errorText(error)}`;
    throw new OperationError('storage', text, { op: 'open-mirror', subject: name, cause: error });
  }
}

/** LVM makes the folder of its locks when it takes the first one. */
async function makeLockFolders(ports: MirrorPorts, volumes: readonly Volume[]): Promise<void> {
  for (const { vgLock } of volumes) {
    if (vgLock !== '') await ports.store.ensureDir(vgLock.slice(0, vgLock.lastIndexOf('/')));
  }
}

/** Udev looks at each new device, and must be done with it before it is a leg. */
async function awaitUdev(ports: MirrorPorts): Promise<void> {
  await ports.run(['udevadm', 'settle', '--timeout=10']).catch((error: unknown) => {
    ports.say(`udev may still look at an NBD device: ${errorText(error)}`);
  });
}

/**
 * The guest's writable disks under mirrors to be; all or none. `peer`: where its copy is; null:
 * only its disks are copied, and nobody else is refused. Throws OperationError.
 */
export async function openMirrors(
  ports: MirrorPorts,
  { writableDisks, name: domain, uuid }: GuestSpec,
  session: string,
  peer: MarkedPeer | null,
): Promise<readonly PrimaryDisk[]> {
  for (const text of await repairLeft(ports, uuid)) ports.say(text);
  const named: Named[] = [];
  for (const disk of writableDisks) {
    const { name, target } = disk;
    const { volume, device } = await volumeBehind(ports, devicePathOf(disk));
    const same = named.find((one) => one.volume.name === volume.name);
    if (same !== undefined) {
      const text = `${name} and ${same.name} are the same volume, ${volume.name}`;
      throw new OperationError('unsupported-guest', text, { op: 'open-mirror', subject: name });
    }
    const marked = { uuid, disk: name, path: target, lvm: volume.lvm, domain };
    named.push({
      name,
      volume,
      device,
      generation: await ports.markSource(marked, { session, peer }),
    });
  }
  // From now on its copy may go on, and this host come back without having heard of it.
  for (const { volume } of peer === null ? [] : named) {
    if (volume.lvm !== null) await refuseAfterBoot(ports, volume.lvm);
  }
  const volumes = named.map(({ volume }) => volume);
  await makeLockFolders(ports, volumes);
  await writeNote(ports, { schema: 1, uuid, domain, session, volumes });
  let left = named.length;
  let areWhole = true;
  const onClosed = async (isWhole: boolean) => {
    left -= 1;
    areWhole &&= isWhole;
    if (left > 0 || !areWhole) return;
    await removeNote(ports, uuid).catch((error: unknown) => ports.say(errorText(error)));
    await ports.followMarks(uuid);
  };
  const opened: PrimaryDisk[] = [];
  try {
    for (const one of named) opened.push(await openMirror(ports, one, onClosed));
    await awaitUdev(ports);
    return opened;
  } catch (error) {
    for (const disk of opened) await disk.close();
    // The one that failed has told it by itself.
    while (left > 0) await onClosed(true);
    throw error;
  }
}
