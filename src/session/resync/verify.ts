/**
 * `tsremus resync --verify`, where the guest runs: both hosts read their disks, and what differs is
 * told. Nothing is written, and no mirror is put in: the guest writes meanwhile, so what differs is
 * looked at once more, and what differs then as well is not the same on both hosts.
 */
import { digestBlockBytes, digestBlocksMax, digestBytes } from '../../core/digests.ts';
import type { Difference, DifferentRange } from '../../core/texts/resync.ts';
import type { ComparedDisk } from '../../disk/port.ts';
import { every, sleep } from '../../host/clock.ts';
import { OperationError } from '../../host/errors.ts';
import { guestConfig } from '../../link/config-message.ts';
import type { Digests, Message } from '../../link/messages.ts';
import { allOf } from '../all-of.ts';
import { factsFor, specThere } from '../disk-options.ts';
import type { BackupConnection } from '../primary/protection.ts';
import { disksProgress } from '../progress.ts';
import { Teardown } from '../teardown.ts';
import { DisksLink } from './link.ts';
import {
  againLine,
  Ended,
  helloOf,
  type ResyncPorts,
  type ResyncSetting,
  whenEnded,
} from './primary.ts';

/** Questions that are on their way. */
const questionsMax = 4;
/** What was under way when it was read is there by then, ms. */
const lookAgainMs = 1_000;
/** Parts that differ, of all disks: what is beyond is counted, and not looked at again. */
const rangesMax = 4_096;
const shownEveryMs = 200;

/** Blocks of a disk. */
interface Range {
  readonly first: number;
  readonly count: number;
}

/** What differs of one disk. */
class Different {
  readonly ranges: Range[] = [];
  /** Beyond what is kept. */
  moreBlocks = 0;
  moreRanges = 0;
  #room: number;
  #end = -1;

  constructor(room: number) {
    this.#room = room;
  }

  add(block: number): void {
    const follows = block === this.#end;
    this.#end = block + 1;
    const last = this.ranges.at(-1);
    if (follows && last !== undefined && this.moreRanges === 0) {
      this.ranges[this.ranges.length - 1] = { ...last, count: last.count + 1 };
    } else if (this.#room > 0) {
      this.#room -= 1;
      this.ranges.push({ first: block, count: 1 });
    } else {
      this.moreBlocks += 1;
      this.moreRanges += follows ? 0 : 1;
    }
  }
}

/** Cut into what may be asked at once. */
function* questionsOf(ranges: readonly Range[]): Generator<Range> {
  for (const { first, count } of ranges) {
    for (let at = 0; at < count; at += digestBlocksMax) {
      yield { first: first + at, count: Math.min(digestBlocksMax, count - at) };
    }
  }
}

/** The blocks that differ, of those from `first` on. */
function* differing(first: number, here: Buffer, there: Buffer): Generator<number> {
  if (here.equals(there)) return;
  for (let at = 0; at < here.length; at += digestBytes) {
    const end = at + digestBytes;
    if (!here.subarray(at, end).equals(there.subarray(at, end))) yield first + at / digestBytes;
  }
}

class Comparison {
  readonly #ports: ResyncPorts;
  readonly #set: ResyncSetting;
  readonly #connection: BackupConnection;
  readonly #disks: readonly ComparedDisk[];
  readonly #asked: ((digests: Digests) => void)[] = [];
  #doneBytes = 0;
  #pacedMs: number;

  constructor(
    ports: ResyncPorts,
    set: ResyncSetting,
    connection: BackupConnection,
    disks: readonly ComparedDisk[],
  ) {
    this.#ports = ports;
    this.#set = set;
    this.#connection = connection;
    this.#disks = disks;
    this.#pacedMs = ports.clock.nowMs();
  }

  get progress() {
    const totalBytes = this.#disks.reduce((sum, { facts }) => sum + facts.sizeBytes, 0);
    return { doneBytes: Math.min(this.#doneBytes, totalBytes), totalBytes };
  }

  take(message: Message): void {
    if (message.kind !== 'digests') return;
    const taker = this.#asked.shift();
    if (taker !== undefined) return taker(message);
    throw new OperationError('protocol', 'digests that were not asked for', { op: 'compare' });
  }

  #ask(disk: number, { first, count }: Range): Promise<Buffer> {
    this.#connection.link.send({ kind: 'compare', disk, first, count });
    return new Promise((resolve, reject) => {
      this.#asked.push((answer) => {
        const { digests } = answer;
        const fits = answer.disk === disk && answer.first === first;
        if (fits && digests.length === count * digestBytes) return resolve(digests);
        const text = `${digests.length} bytes of disk ${answer.disk} from ${answer.first} on`;
        reject(new OperationError('protocol', `${text} are no answer`, { op: 'compare' }));
      });
    });
  }

  /** No more than so much is read in a second. */
  async #pace(bytes: number): Promise<void> {
    const { clock, timers } = this.#ports;
    const { bytesPerSecond } = this.#set.options.disks;
    if (bytesPerSecond === null) return;
    const nowMs = clock.nowMs();
    if (this.#pacedMs > nowMs) await sleep(timers, this.#pacedMs - nowMs);
    this.#pacedMs = Math.max(nowMs, this.#pacedMs) + (bytes * 1_000) / bytesPerSecond;
  }

  async #compare(
    number: number,
    ranges: readonly Range[],
    found: Different,
    onDone: (blocks: number) => void,
  ): Promise<void> {
    const disk = this.#disks[number];
    if (disk === undefined) return;
    const ahead: { readonly range: Range; readonly there: Promise<Buffer> }[] = [];
    const settle = async () => {
      const next = ahead.shift();
      if (next === undefined) return;
      const { first, count } = next.range;
      const here = await disk.digests(first, count);
      for (const block of differing(first, here, await next.there)) found.add(block);
      onDone(count);
    };
    for (const range of questionsOf(ranges)) {
      await this.#pace(range.count * digestBlockBytes);
      const there = this.#ask(number, range);
      // Met where it is awaited.
      there.catch(() => {});
      ahead.push({ range, there });
      if (ahead.length === questionsMax) await settle();
    }
    while (ahead.length > 0) await settle();
  }

  async run(): Promise<Difference> {
    const { clock, timers } = this.#ports;
    const beganMs = clock.nowMs();
    const once: Different[] = [];
    let kept = 0;
    for (const [number, { facts }] of this.#disks.entries()) {
      const found = new Different(rangesMax - kept);
      const all = { first: 0, count: Math.ceil(facts.sizeBytes / digestBlockBytes) };
      await this.#compare(number, [all], found, (blocks) => {
        this.#doneBytes += blocks * digestBlockBytes;
      });
      kept += found.ranges.length;
      once.push(found);
    }
    if (kept > 0) await sleep(timers, lookAgainMs);
    const ranges: DifferentRange[] = [];
    let differentBytes = 0;
    let more = 0;
    for (const [number, { name, facts }] of this.#disks.entries()) {
      const again = new Different(rangesMax);
      const before = once[number];
      await this.#compare(number, before?.ranges ?? [], again, () => {});
      for (const { first, count } of again.ranges) {
        const at = first * digestBlockBytes;
        const bytes = Math.min(count * digestBlockBytes, facts.sizeBytes - at);
        ranges.push({ disk: name, at, bytes });
        differentBytes += bytes;
      }
      differentBytes += (before?.moreBlocks ?? 0) * digestBlockBytes;
      more += before?.moreRanges ?? 0;
    }
    const { totalBytes: bytes } = this.progress;
    return { bytes, differentBytes, ranges, more, ms: clock.nowMs() - beganMs };
  }
}

async function compare(
  ports: ResyncPorts,
  set: ResyncSetting,
  connection: BackupConnection,
  disks: readonly ComparedDisk[],
  ended: Promise<never>,
): Promise<Difference> {
  const { clock, timers } = ports;
  const { options, guest, reporter } = set;
  const comparison = new Comparison(ports, set, connection, disks);
  const spec = specThere(ports.hypervisor, guest.spec, options.disks);
  const facts = factsFor(disks, options.disks);
  await connection.link.sendConfig(guestConfig(spec, guest.memoryBytes, facts));
  const { host } = options;
  const onMessage = (message: Message) => comparison.take(message);
  const beats = new DisksLink(ports, { host, connection, hint: againLine(options), onMessage });
  const beganMs = clock.nowMs();
  const show = () => {
    const progress = disksProgress(comparison.progress, clock.nowMs() - beganMs);
    reporter.seedProgress({ ...progress, isCompared: true });
  };
  const stopShowing = every(timers, shownEveryMs, show);
  try {
    return await Promise.race([comparison.run(), beats.failed, ended]);
  } finally {
    stopShowing();
    beats.stop();
  }
}

/** Compares the disks of both hosts. Throws Ended, or OperationError. */
export async function compareDisks(ports: ResyncPorts, set: ResyncSetting): Promise<Difference> {
  const { log, reporter, options, ending, guest } = set;
  const teardown = new Teardown((text) => log.error(text));
  const ended = whenEnded(ending);
  let connection: BackupConnection | null = null;
  let disks: readonly ComparedDisk[] = [];
  try {
    const connect = async () => {
      const onLine = (line: string) => log.info(`transport: ${line}`);
      const hello = helloOf(ports, set, 'verify');
      const made = await ports.backup.connect(hello, ending.signal, onLine);
      teardown.took('the connection', () => made.close('the disks are compared'));
      connection = made;
    };
    const open = async () => {
      disks = await ports.disks.openCompared(guest.spec, null);
      for (const disk of disks) teardown.took(`disk ${disk.name}`, () => disk.close());
    };
    await allOf([connect(), open()], () => ending.abort());
    if (connection === null) throw new Error('connected to nothing');
    reporter.event('connected', `connected to ${options.host}; its disks are compared`);
    return await compare(ports, set, connection, disks, ended);
  } catch (error) {
    throw ending.signal.reason instanceof Ended ? ending.signal.reason : error;
  } finally {
    await teardown.run();
  }
}
