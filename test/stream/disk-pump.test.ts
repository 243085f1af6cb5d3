/** The pump of the disks, between disks and a link that are played here, and the intake. */
import { afterEach, describe, expect, it } from 'vitest';
import type { BackupDisk, DiskPiece, PrimaryDisk, PrimaryDiskEvents } from '../../src/disk/port.ts';
import { systemTimers } from '../../src/host/clock.ts';
import { OperationError } from '../../src/host/errors.ts';
import type { DiskEnd } from '../../src/link/messages.ts';
import type { StreamDecoder, StreamEncoder } from '../../src/stream/codec/codec.ts';
import { openStreamDecoder } from '../../src/stream/codec/decoder.ts';
import { openStreamEncoder } from '../../src/stream/codec/encoder.ts';
import { DiskIntake, diskWireBytesMax } from '../../src/stream/disk-intake.ts';
import { DiskPump } from '../../src/stream/disk-pump.ts';
import { RawBuffers } from '../../src/stream/intake.ts';

async function until(done: () => boolean): Promise<void> {
  for (let turns = 0; !done(); turns++) {
    if (turns > 2000) throw new Error('waited in vain');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** As long as something moves. */
async function settled(): Promise<void> {
  for (let turns = 0; turns < 40; turns++) await new Promise((resolve) => setImmediate(resolve));
}

class PlayedDisk implements PrimaryDisk {
  readonly shared = null;
  readonly name: string;
  readonly barrier = null;
  readonly facts = { name: '', sizeBytes: 4096, sectorBytes: 512, generation: 0 };
  readonly firstCopy = { doneBytes: 0, totalBytes: 4096, equalBytes: 0 };
  readonly #waiting: { readonly epoch: number; readonly bytes: Buffer; readonly isEnd: boolean }[] =
    [];
  events: PrimaryDiskEvents = { more() {}, filling() {}, compare() {}, lost() {} };
  readonly told: string[] = [];
  check = async (_epoch: number): Promise<void> => {};
  reads = 0;

  constructor(name: string) {
    this.name = name;
  }

  listen(events: PrimaryDiskEvents): void {
    this.events = events;
  }

  put(epoch: number, text: string | Buffer, isEnd: boolean): void {
    this.seal(epoch, text, isEnd);
    this.events.more();
  }

  /** As a barrier does it: that it was set is word enough. */
  seal(epoch: number, text: string | Buffer, isEnd = true): void {
    this.#waiting.push({ epoch, bytes: Buffer.from(text as string), isEnd });
  }

  read(buffer: Buffer): DiskPiece | null {
    const next = this.#waiting.shift();
    if (next === undefined) return null;
    this.reads += 1;
    next.bytes.copy(buffer);
    return { epoch: next.epoch, bytes: next.bytes.length, isEnd: next.isEnd };
  }

  digests(first: number, digests: Buffer): void {
    this.told.push(`${first} ${digests}`);
  }

  endFirst(): void {}
  async nearlyCopied(): Promise<void> {}
  async close(): Promise<void> {}
}

/** Changes nothing. */
function plainEncoder(): StreamEncoder {
  let rawBytes = 0;
  return {
    async encode(raw) {
      rawBytes += raw.length;
      return Buffer.from(raw);
    },
    async endEpoch() {
      const pages = { same: 0, zero: 0, delta: 0, copy: 0 };
      const sizes = { rawBytes, encodedBytes: rawBytes, wireBytes: rawBytes };
      rawBytes = 0;
      return { ...sizes, pages, checksum: 7n, cacheState: 0n, cachedPages: 0, evictions: 0 };
    },
    close() {},
  };
}

class Stage {
  readonly disks = [new PlayedDisk('xvda'), new PlayedDisk('xvdb')];
  readonly did: string[] = [];
  readonly lost: string[] = [];
  readonly errors: unknown[] = [];
  filling = 0;
  isOpen = true;
  /** The link takes nothing until it is opened. */
  gate: Promise<void> | null = null;
  readonly pump: DiskPump;

  constructor() {
    this.pump = new DiskPump({
      disks: this.disks,
      encoders: this.disks.map(plainEncoder),
      sink: {
        sendDisk: async (epoch, disk, bytes) => {
          this.did.push(`${disk}: ${bytes} in ${epoch}`);
          await this.gate;
          return this.isOpen;
        },
        endDisk: async (epoch, disk, { rawBytes }) => {
          this.did.push(`${disk}: end ${epoch} of ${rawBytes}`);
          return this.isOpen;
        },
      },
      onFilling: () => {
        this.filling += 1;
      },
      onCompare: ({ disk, first, count }) => this.did.push(`${disk}: ${count} from ${first}?`),
      onLost: (reason) => this.lost.push(reason),
      onError: (error) => this.errors.push(error),
    });
    this.pump.start();
  }

  get one(): PlayedDisk {
    return this.disks[0] as PlayedDisk;
  }

  get other(): PlayedDisk {
    return this.disks[1] as PlayedDisk;
  }
}

/** Whether the epoch has left; null: it is not known yet. */
function leftOf(stage: Stage, epoch: number): { left: boolean | null } {
  const told: { left: boolean | null } = { left: null };
  void stage.pump.left(epoch).then((left) => {
    told.left = left;
  });
  return told;
}

describe('the pump of the disks', () => {
  it('sends what each has in an epoch, then its end, nothing of the next before that', async () => {
    const stage = new Stage();
    stage.one.put(0, 'ab', false);
    stage.one.put(0, 'c', true);
    stage.one.put(1, 'd', true);
    stage.other.put(0, '', true);
    const first = leftOf(stage, 0);
    const second = leftOf(stage, 1);
    await settled();
    const ofOne = ['0: ab in 0', '0: c in 0', '0: end 0 of 3'];
    expect(stage.did.filter((line) => line.startsWith('0'))).toEqual(ofOne);
    expect(stage.did.filter((line) => line.startsWith('1'))).toEqual(['1: end 0 of 0']);
    expect(first.left).toBe(true);
    // K1: the end of epoch 0 has not gone into the link.
    expect(second.left).toBe(null);
    stage.pump.begin(1);
    stage.other.put(1, 'e', true);
    await settled();
    expect(stage.did.slice(4).sort()).toEqual(
      ['0: d in 1', '0: end 1 of 1', '1: e in 1', '1: end 1 of 1'].sort(),
    );
    expect(second.left).toBe(true);
    expect(stage.pump.moved).toEqual({ rawBytes: 5, wireBytes: 5 });
    expect(stage.errors).toEqual([]);
  });

  it('looks at each disk once a barrier is set, whatever the disk says', async () => {
    const stage = new Stage();
    await settled();
    stage.one.seal(0, 'ab');
    stage.other.seal(0, '');
    const told = leftOf(stage, 0);
    await settled();
    expect(told.left).toBe(null);
    stage.pump.sealed();
    await settled();
    expect(told.left).toBe(true);
    expect(stage.did.sort()).toEqual(['0: ab in 0', '0: end 0 of 2', '1: end 0 of 0']);
  });

  it('lets no end leave before all of it was captured for sure', async () => {
    const stage = new Stage();
    let isCaptured: () => void = () => {};
    stage.one.check = () =>
      new Promise((resolve) => {
        isCaptured = resolve;
      });
    stage.one.put(0, 'a', true);
    stage.other.put(0, '', true);
    const told = leftOf(stage, 0);
    await settled();
    expect(stage.did).not.toContain('0: end 0 of 1');
    expect(told.left).toBe(null);
    isCaptured();
    await settled();
    expect(stage.did).toContain('0: end 0 of 1');
    expect(told.left).toBe(true);
  });

  it('says that a disk is lost when it was not, and counts nothing any more', async () => {
    const stage = new Stage();
    stage.one.check = () => Promise.reject(new Error('the mirror is gone'));
    stage.other.put(0, '', true);
    stage.one.put(0, 'a', true);
    const told = leftOf(stage, 0);
    await settled();
    expect(stage.lost).toEqual(['disk xvda: the mirror is gone']);
    expect(told.left).toBe(false);
    expect(stage.did).not.toContain('0: end 0 of 1');
    // Once, whatever else is lost.
    stage.other.events.lost('input/output error');
    expect(stage.lost).toHaveLength(1);
  });

  it('hears of a lost disk from a read, too', async () => {
    const stage = new Stage();
    const told = leftOf(stage, 0);
    stage.one.read = () => {
      throw new Error('input/output error');
    };
    stage.one.events.more();
    await settled();
    expect(stage.lost).toEqual(['disk xvda: input/output error']);
    expect(stage.errors).toEqual([]);
    expect(told.left).toBe(false);
  });

  it('hands nothing to the link once a disk is lost', async () => {
    const stage = new Stage();
    const told = leftOf(stage, 0);
    stage.one.events.lost('input/output error');
    stage.other.put(0, 'a', true);
    await settled();
    expect(stage.did).toEqual([]);
    expect(told.left).toBe(false);
    expect(await stage.pump.left(1)).toBe(false);
  });

  it('reads no further than one piece ahead of a slow link', async () => {
    const stage = new Stage();
    let open: () => void = () => {};
    stage.gate = new Promise((resolve) => {
      open = resolve;
    });
    for (let piece = 0; piece < 10; piece += 1) stage.one.put(0, 'x', false);
    await settled();
    expect(stage.one.reads).toBe(2);
    expect(stage.did).toEqual(['0: x in 0']);
    open();
    await settled();
    expect(stage.one.reads).toBe(10);
  });

  it('stops when the link is closed, and says nothing', async () => {
    const stage = new Stage();
    stage.isOpen = false;
    stage.one.put(0, 'a', false);
    stage.one.put(0, 'b', true);
    await settled();
    expect(stage.did).toEqual(['0: a in 0']);
    expect(stage.lost).toEqual([]);
    expect(stage.errors).toEqual([]);
  });

  it('tells that what waits is near its limit', () => {
    const stage = new Stage();
    stage.other.events.filling();
    expect(stage.filling).toBe(1);
  });

  it('asks what the other disk holds, and tells the disk that asked', async () => {
    const stage = new Stage();
    stage.other.events.compare(256, 8);
    expect(stage.did).toEqual(['1: 8 from 256?']);
    const digests = Buffer.from('held');
    stage.pump.digests({ kind: 'digests', disk: 1, first: 256, digests });
    expect([stage.one.told, stage.other.told]).toEqual([[], ['256 held']]);
    const ofNone = { kind: 'digests', disk: 2, first: 0, digests } as const;
    expect(() => stage.pump.digests(ofNone)).toThrow('field disk is 2, there are 2');
    stage.pump.stop();
    stage.other.events.compare(512, 8);
    stage.pump.digests({ kind: 'digests', disk: 1, first: 512, digests });
    expect(stage.did).toHaveLength(1);
    expect(stage.other.told).toHaveLength(1);
  });

  it('takes a driver that mixes its epochs up for broken', async () => {
    const stage = new Stage();
    stage.one.put(1, 'a', true);
    await settled();
    expect(String(stage.errors[0])).toContain('xvda: epoch 1, not 0');
  });
});

const opened: { close(): void }[] = [];

afterEach(() => {
  for (const one of opened.splice(0)) one.close();
});

describe('the intake of a disk', () => {
  async function ends(codec: 'zstd' | 'none', take?: BackupDisk['take'], more?: object) {
    const buffers = new RawBuffers();
    const options = { codec, cacheBytes: 0, form: 'bytes' } as const;
    const encoder = await openStreamEncoder(options);
    const allocate = buffers.allocate;
    const decoder: StreamDecoder = await openStreamDecoder({ ...options, allocate });
    const taken: Buffer[] = [];
    const ended: number[] = [];
    const errors: OperationError[] = [];
    const consumed = { bytes: 0 };
    const disk = {
      name: 'xvda',
      take: take ?? (async (_epoch, bytes) => void taken.push(Buffer.from(bytes))),
      end: (epoch: number) => void ended.push(epoch),
      ...more,
    } as BackupDisk;
    const answers: string[] = [];
    const intake = new DiskIntake({
      ...{ timers: systemTimers, disk, decoder, buffers },
      onConsumed: (bytes) => {
        consumed.bytes += bytes;
      },
      onDigests: ({ first, digests }) => answers.push(`${first} ${digests}`),
      onError: (error) => errors.push(error),
    });
    opened.push(encoder, intake);
    return { encoder, intake, taken, ended, errors, consumed, answers };
  }

  /** Blocks as a disk has them: zeroes, text, noise. */
  function blocks(): Buffer {
    const noise = Buffer.from(Array.from({ length: 4096 }, (_, at) => (at * 7919 + at ** 3) & 255));
    return Buffer.concat([Buffer.alloc(200_000), Buffer.from('written '.repeat(9000)), noise]);
  }

  const endOf = (epoch: number, wire: Buffer, digest: DiskEnd['digest']): DiskEnd => {
    return { kind: 'disk-end', epoch, disk: 0, bytes: wire.length, digest };
  };

  it.each(['zstd', 'none'] as const)('gives the disk what went in: %s', async (codec) => {
    const { encoder, intake, taken, ended, errors, consumed } = await ends(codec);
    let came = 0;
    for (const epoch of [0, 1, 2]) {
      // The last one is empty.
      const raw = epoch === 2 ? Buffer.alloc(0) : blocks();
      const wire = raw.length === 0 ? raw : await encoder.encode(raw);
      const { rawBytes, checksum } = await encoder.endEpoch();
      for (let at = 0; at < wire.length; at += 1000) {
        intake.assembly.onChunk(epoch, wire.subarray(at, at + 1000));
      }
      intake.assembly.onEnd(endOf(epoch, wire, { rawBytes, checksum }));
      await until(() => ended.length > epoch);
      came += wire.length;
      if (codec === 'zstd' && epoch < 2) expect(wire.length).toBeLessThan(raw.length / 10);
    }
    expect(Buffer.concat(taken).equals(Buffer.concat([blocks(), blocks()]))).toBe(true);
    expect(errors).toEqual([]);
    expect(consumed.bytes).toBe(came);
  });

  it('ends nothing whose checksum is another', async () => {
    const { encoder, intake, ended, errors } = await ends('zstd');
    const wire = await encoder.encode(blocks());
    const { rawBytes, checksum } = await encoder.endEpoch();
    intake.assembly.onChunk(0, wire);
    intake.assembly.onEnd(endOf(0, wire, { rawBytes, checksum: checksum ^ 1n }));
    await until(() => errors.length > 0);
    expect(errors[0]?.message).toContain('checksum');
    expect(ended).toEqual([]);
  });

  it('gives credit as the disk takes it, beyond a stated start', async () => {
    let go: () => void = () => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    const { encoder, intake, consumed } = await ends('none', async () => gate);
    const wire = await encoder.encode(Buffer.alloc(1 << 20, 1));
    intake.assembly.onChunk(0, wire);
    await settled();
    expect(consumed.bytes).toBe(diskWireBytesMax);
    // Status says whom the primary waits for.
    await until(() => intake.behind === 'xvda');
    go();
    await until(() => consumed.bytes === wire.length);
    expect(intake.behind).toBe(null);
    expect(intake.rawBytes).toBe(1 << 20);
  });

  it('answers what the disk holds, in order, one question at a time', async () => {
    const asked: ((digests: Buffer) => void)[] = [];
    const digests = () => new Promise((resolve) => asked.push(resolve));
    const { intake, answers, errors } = await ends('none', undefined, { digests });
    for (let first = 0; first < 8; first += 1) intake.questions.ask({ first, count: 1 });
    expect(() => intake.questions.ask({ first: 8, count: 1 })).toThrow('more than 8 of xvda wait');
    await settled();
    expect(asked).toHaveLength(1);
    asked[0]?.(Buffer.from('a'));
    await settled();
    intake.questions.ask({ first: 8, count: 1 });
    asked[1]?.(Buffer.from('b'));
    await settled();
    expect(answers).toEqual(['0 a', '1 b']);
    intake.close();
    asked[2]?.(Buffer.from('c'));
    await settled();
    expect([answers, errors, asked]).toMatchObject([['0 a', '1 b'], [], { length: 3 }]);
  });

  it('tells what is asked wrongly', async () => {
    const wrong = new OperationError('protocol', 'block 7 of 3', { op: 'read' });
    const digests = () => Promise.reject(wrong);
    const { intake, answers, errors } = await ends('none', undefined, { digests });
    intake.questions.ask({ first: 7, count: 1 });
    await settled();
    expect([answers, errors]).toEqual([[], [wrong]]);
  });

  it('tells what the disk says is wrong, once', async () => {
    const wrong = new OperationError('protocol', 'a record beyond the end', { op: 'take' });
    const { encoder, intake, ended, errors } = await ends('none', async () => {
      throw wrong;
    });
    const wire = await encoder.encode(Buffer.from('record'));
    intake.assembly.onChunk(0, wire);
    await until(() => errors.length > 0);
    intake.assembly.onChunk(0, wire);
    await settled();
    expect(errors).toEqual([wrong]);
    expect(ended).toEqual([]);
  });
});
