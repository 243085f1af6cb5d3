/** The pump against a save operation, an encoder and a link that are told what to do. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { systemClock } from '../../src/host/clock.ts';
import type { SaveOperation } from '../../src/hypervisor/port.ts';
import {
  batchBytesMax,
  callsMax,
  type EncodedEpoch,
  type StreamEncoder,
} from '../../src/stream/codec/codec.ts';
import { EpochPump, type SentEpoch } from '../../src/stream/pump.ts';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Epochs of so many bytes each; a byte's value is the number of its epoch. */
class Stage {
  readonly did: string[] = [];
  readonly figures: SentEpoch[] = [];
  readonly sent: Buffer[] = [];
  readonly pump: EpochPump;
  errors: unknown[] = [];
  /** Bytes that `read` took and whose batch is not through `sendData` yet, at most. */
  heldMax = 0;
  encodingMax = 0;
  #held = 0;
  #encoding = 0;
  #waiting: { epoch: number; bytes: number }[] = [];
  #open: (() => void)[] = [];
  #epochBytes = 0;
  isOpen = true;
  isSlow = false;
  fails = false;
  /** What else an epoch has leaves once this is open; null: at once. */
  partsGate: Promise<void> | null = null;
  arePartsWell = true;
  readonly begun: string[] = [];

  constructor() {
    const save: SaveOperation = {
      checkpoint: () => true,
      read: (out) => this.#read(out),
      abort: () => {},
    };
    const encoder: StreamEncoder = {
      encode: (raw) => this.#encode(raw),
      endEpoch: () => this.#endEpoch(),
      close: () => {},
    };
    this.pump = new EpochPump({
      clock: systemClock,
      save,
      encoder,
      sink: {
        sendData: (epoch, bytes) => this.#sendData(epoch, bytes),
        endEpoch: async (epoch, pages, digest) => {
          this.did.push(`end ${epoch} ${digest.rawBytes} ${pages}`);
          return this.isOpen;
        },
      },
      parts: {
        left: async (epoch) => {
          if (this.partsGate !== null) await this.partsGate;
          return this.arePartsWell && epoch >= 0;
        },
        begin: (epoch) => this.begun.push(`${epoch} after ${this.did.at(-1)}`),
      },
      onSent: (epoch) => this.did.push(`sent ${epoch}`),
      onFigures: (sent) => this.figures.push(sent),
      onError: (error) => this.errors.push(error),
    });
  }

  /** Some bytes of an epoch come. */
  bytes(epoch: number, bytes: number): void {
    this.#waiting.push({ epoch, bytes });
    this.pump.wake();
  }

  /** The guest leaves an epoch behind. */
  epoch(epoch: number, bytes: number): void {
    this.bytes(epoch, bytes);
    this.pump.epochEnd({ epoch, bytes, pages: epoch });
  }

  #read(out: Buffer): number {
    const next = this.#waiting[0];
    if (next === undefined) return 0;
    const count = Math.min(out.length, next.bytes);
    out.fill(next.epoch, 0, count);
    next.bytes -= count;
    if (next.bytes === 0) this.#waiting.shift();
    this.#held += count;
    this.heldMax = Math.max(this.heldMax, this.#held);
    return count;
  }

  async #encode(raw: Buffer): Promise<Buffer> {
    if (this.fails) throw new Error('the encoder is broken');
    this.#epochBytes += raw.length;
    this.#encoding += 1;
    this.encodingMax = Math.max(this.encodingMax, this.#encoding);
    const copy = Buffer.from(raw);
    await turn();
    await turn();
    expect(raw.equals(copy), 'the raw bytes were left alone').toBe(true);
    this.#encoding -= 1;
    return copy;
  }

  /** As the real one: what is encoded before this is done counts to the epoch. */
  async #endEpoch(): Promise<EncodedEpoch> {
    for (let i = 0; i < 4; i++) await turn();
    const rawBytes = this.#epochBytes;
    this.#epochBytes = 0;
    const pages = { same: 0, zero: 0, delta: 0, copy: rawBytes };
    const digest = { rawBytes, checksum: 1n, cacheState: 2n, pages, wireBytes: rawBytes };
    return { ...digest, encodedBytes: rawBytes, cachedPages: 0, evictions: 0 };
  }

  async #sendData(epoch: number, bytes: Buffer): Promise<boolean> {
    this.did.push(`data ${epoch} ${bytes.length}`);
    this.sent.push(bytes);
    if (this.isSlow) await new Promise<void>((resolve) => this.#open.push(resolve));
    this.#held -= bytes.length;
    return this.isOpen;
  }

  /** The slow link takes one piece. */
  takeOne(): void {
    this.#open.shift()?.();
  }

  async settled(): Promise<void> {
    for (let before = -1; before !== this.did.length; ) {
      before = this.did.length;
      for (let i = 0; i < 12; i++) await turn();
    }
  }
}

// Proves: U2, and that an epoch is neither cut nor mixed, whatever its size.
it('sends every byte of every epoch, in order, each with its end', async () => {
  const size = fc.integer({ min: 1, max: 3 * batchBytesMax });
  await fc.assert(
    fc.asyncProperty(fc.array(size, { minLength: 1, maxLength: 4 }), async (sizes) => {
      const stage = new Stage();
      for (const [epoch, bytes] of sizes.entries()) stage.epoch(epoch, bytes);
      await stage.settled();
      const ends = sizes.flatMap((bytes, epoch) => [
        `sent ${epoch}`,
        `end ${epoch} ${bytes} ${epoch}`,
      ]);
      expect(stage.did.filter((line) => !line.startsWith('data'))).toEqual(ends);
      const all = sizes.map((bytes, epoch) => Buffer.alloc(bytes, epoch));
      expect(Buffer.concat(stage.sent).equals(Buffer.concat(all))).toBe(true);
      expect(stage.pump.rawBytes).toBe(stage.pump.wireBytes);
      expect(stage.figures.map(({ rawBytes }) => rawBytes)).toEqual(sizes);
    }),
    // The example: the first one fills every buffer, and its end comes when none is free.
    { numRuns: 30, examples: [[[3 * batchBytesMax, 1]]] },
  );
});

// Proves: U1. Without it a guest that writes faster than the link sends would fill the memory.
it('takes no more from the guest than it has room for, however slow the link', async () => {
  const stage = new Stage();
  stage.isSlow = true;
  stage.epoch(0, 40 * batchBytesMax);
  for (let pieces = 0; pieces < 40; pieces++) {
    await stage.settled();
    stage.takeOne();
  }
  await stage.settled();
  expect(stage.did.at(-1)).toBe(`end 0 ${40 * batchBytesMax} 0`);
  expect(stage.heldMax).toBeLessThanOrEqual((callsMax + 1) * batchBytesMax);
  // And it keeps the cores busy: the next batches are encoded while one is sent.
  expect(stage.encodingMax).toBeGreaterThanOrEqual(2);
});

// Proves: an epoch that comes in drops is sent in batches of a whole megabyte.
it('waits for a full batch while the epoch goes on', async () => {
  const stage = new Stage();
  const drop = batchBytesMax / 8;
  for (let drops = 0; drops < 20; drops++) {
    stage.bytes(0, drop);
    await turn();
  }
  stage.pump.epochEnd({ epoch: 0, bytes: 20 * drop, pages: 0 });
  await stage.settled();
  const lengths = stage.sent.map(({ length }) => length);
  expect(lengths).toEqual([batchBytesMax, batchBytesMax, batchBytesMax / 2]);
});

// Proves: U3. The abort may come at any moment between the first byte and the end.
it('lets nothing become whole after it was stopped', async () => {
  for (let turns = 0; turns < 30; turns++) {
    const stage = new Stage();
    stage.epoch(0, 2 * batchBytesMax + 5);
    for (let i = 0; i < turns; i++) await turn();
    stage.pump.stop();
    const before = stage.did.length;
    await stage.settled();
    const after = stage.did.slice(before);
    expect(after.filter((line) => !line.startsWith('data'))).toEqual([]);
    if (!stage.did.includes('sent 0')) expect(stage.did.join()).not.toContain('end 0');
  }
});

// Proves: U4. A backup that had the memory's end alone would wait for the disks' of an older epoch.
it('ends no epoch before its other parts have left, and none when they never do', async () => {
  for (const arePartsWell of [true, false]) {
    const stage = new Stage();
    let open: () => void = () => {};
    stage.partsGate = new Promise((resolve) => {
      open = resolve;
    });
    stage.arePartsWell = arePartsWell;
    stage.epoch(0, 5);
    stage.epoch(1, 6);
    await stage.settled();
    expect(stage.did).toEqual(['data 0 5']);
    open();
    await stage.settled();
    const rest = ['sent 0', 'end 0 5 0', 'data 1 6', 'sent 1', 'end 1 6 1'];
    expect(stage.did.slice(1)).toEqual(arePartsWell ? rest : []);
    expect(stage.begun).toEqual(arePartsWell ? ['1 after end 0 5 0', '2 after end 1 6 1'] : []);
  }
});

it('stops when the link is closed, and says nothing', async () => {
  const stage = new Stage();
  stage.isOpen = false;
  stage.epoch(0, 3 * batchBytesMax);
  await stage.settled();
  expect(stage.did).toEqual([`data 0 ${batchBytesMax}`]);
  expect(stage.errors).toEqual([]);
});

it('reports an encoder that fails, once, and sends nothing more', async () => {
  const stage = new Stage();
  stage.fails = true;
  stage.epoch(0, 3 * batchBytesMax);
  await stage.settled();
  expect(stage.errors.map(String)).toEqual(['Error: the encoder is broken']);
  expect(stage.did).toEqual([]);
});
