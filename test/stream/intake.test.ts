/** The backup's intake with the real codec, between a link and a copy that are played here. */
import { afterEach, describe, expect, it } from 'vitest';
import { systemTimers } from '../../src/host/clock.ts';
import type { OperationError } from '../../src/host/errors.ts';
import type { EpochEnd } from '../../src/link/messages.ts';
import { batchBytesMax, type StreamDecoder } from '../../src/stream/codec/codec.ts';
import { openStreamDecoder } from '../../src/stream/codec/decoder.ts';
import { openStreamEncoder } from '../../src/stream/codec/encoder.ts';
import { RawBuffers, StreamIntake, wireBytesMax } from '../../src/stream/intake.ts';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

async function until(done: () => boolean): Promise<void> {
  for (let turns = 0; !done(); turns++) {
    if (turns > 2000) throw new Error('waited in vain');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

let decoder: StreamDecoder | null = null;

afterEach(() => {
  decoder?.close();
  decoder = null;
});

class Copy {
  readonly taken: Buffer[] = [];
  readonly whole: number[] = [];
  readonly errors: OperationError[] = [];
  consumed = 0;
  isEnding = false;
  #blocked: (() => void)[] | null = null;
  readonly intake: StreamIntake;

  constructor(opened: StreamDecoder, buffers: RawBuffers, epochBytesMax: number) {
    this.intake = new StreamIntake(
      {
        timers: systemTimers,
        limits: { seedBytesMax: 2 * epochBytesMax, epochBytesMax },
        decoder: opened,
        sink: {
          feed: (raw) => void this.taken.push(Buffer.from(raw)),
          room: () => this.#room(),
          whole: (epoch) => {
            this.whole.push(-epoch);
            return !this.isEnding;
          },
        },
        onConsumed: (bytes) => {
          this.consumed += bytes;
        },
        onWhole: (epoch) => void this.whole.push(epoch),
        onError: (error) => void this.errors.push(error),
      },
      buffers,
    );
  }

  block(): void {
    this.#blocked = [];
  }

  unblock(): void {
    for (const resolve of this.#blocked ?? []) resolve();
    this.#blocked = null;
  }

  async #room(): Promise<void> {
    if (this.#blocked === null) return;
    await new Promise<void>((resolve) => this.#blocked?.push(resolve));
  }
}

/** Epochs of so many bytes, as the primary would send them: `none` takes any bytes. */
async function encoded(...sizes: number[]) {
  const encoder = await openStreamEncoder({ codec: 'none', cacheBytes: 0 });
  const epochs: { raw: Buffer; wire: Buffer; end: EpochEnd }[] = [];
  for (const [epoch, size] of sizes.entries()) {
    const raw = Buffer.alloc(size, epoch + 1);
    const batches: Buffer[] = [];
    for (let at = 0; at < size; at += batchBytesMax) {
      batches.push(await encoder.encode(raw.subarray(at, at + batchBytesMax)));
    }
    const { rawBytes, checksum, cacheState } = await encoder.endEpoch();
    const digest = { rawBytes, checksum, cacheState };
    const wire = Buffer.concat(batches);
    const end = { kind: 'epoch-end', epoch, bytes: wire.length, pages: 0, digest } as const;
    epochs.push({ raw, wire, end });
  }
  encoder.close();
  return epochs;
}

async function open(epochBytesMax = 16 * batchBytesMax): Promise<Copy> {
  const buffers = new RawBuffers();
  const allocate = buffers.allocate;
  decoder = await openStreamDecoder({ codec: 'none', cacheBytes: 0, allocate });
  return new Copy(decoder, buffers, epochBytesMax);
}

function cut(wire: Buffer, bytes: number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < wire.length; at += bytes) pieces.push(wire.subarray(at, at + bytes));
  return pieces;
}

describe('StreamIntake', () => {
  // Proves: the next epoch's pieces, which come before this one is closed, do not disturb it.
  it('gives the copy every byte in order, and says when an epoch is whole', async () => {
    const epochs = await encoded(3 * batchBytesMax + 7, 5, 2 * batchBytesMax);
    const copy = await open();
    for (const [epoch, { wire, end }] of epochs.entries()) {
      for (const piece of cut(wire, 100_001)) copy.intake.piece(epoch, piece);
      copy.intake.end(end);
    }
    await until(() => copy.whole.includes(2));
    expect(copy.errors).toEqual([]);
    // The copy agrees first, then it is acknowledged.
    expect(copy.whole).toEqual([-0, 0, -1, 1, -2, 2]);
    expect(Buffer.concat(copy.taken).equals(Buffer.concat(epochs.map(({ raw }) => raw)))).toBe(
      true,
    );
    expect(copy.consumed).toBe(epochs.reduce((all, { wire }) => all + wire.length, 0));
  });

  // Proves: I2. Without it a slow libxl would fill the backup's memory.
  it('takes nothing more, and soon gives no more credit, while the copy has no room', async () => {
    const [seed] = await encoded(12 * batchBytesMax);
    const copy = await open();
    copy.block();
    for (const piece of cut(seed?.wire ?? Buffer.alloc(0), 128 * 1024)) copy.intake.piece(0, piece);
    await until(() => copy.taken.length === 1);
    for (let i = 0; i < 50; i++) await turn();
    expect(copy.taken).toHaveLength(1);
    // Of the pieces before the end of the first batch, which hold nothing back, and of I1.
    expect(copy.consumed).toBeLessThanOrEqual(wireBytesMax + batchBytesMax);
    copy.unblock();
    await until(() => copy.consumed === seed?.wire.length);
  });

  it.each([
    ['a wrong checksum', { checksum: 1n }, /the checksum is \d+ here and 1 on the primary/],
    ['a wrong cache', { cacheState: 1n }, /the cache state is 0 here and 1 on the primary/],
    ['a wrong length', { rawBytes: 1 }, /the raw length is 5 here and 1 on the primary/],
  ])('takes no epoch with %s', async (_what, change, message) => {
    const epochs = await encoded(5, 5);
    const copy = await open();
    for (const [epoch, { wire, end }] of epochs.entries()) {
      copy.intake.piece(epoch, wire);
      const digest = epoch === 0 ? { ...end.digest, ...change } : end.digest;
      copy.intake.end({ ...end, digest });
    }
    await until(() => copy.errors.length > 0);
    for (let i = 0; i < 50; i++) await turn();
    expect(copy.errors).toHaveLength(1);
    expect(copy.errors[0]?.code).toBe('protocol');
    expect(copy.errors[0]?.message).toMatch(message);
    // I4
    expect(copy.whole).toEqual([]);
  });

  it('takes no bytes that are no batch', async () => {
    const copy = await open();
    copy.intake.piece(0, Buffer.alloc(1000, 7));
    await until(() => copy.errors.length > 0);
    expect(copy.errors[0]?.code).toBe('protocol');
    copy.intake.piece(0, Buffer.alloc(1000, 7));
    expect(copy.taken).toEqual([]);
  });

  // Proves: I3, on what was decoded: the wire's own limit cannot know.
  it('takes no epoch that decodes to more than the guest can have', async () => {
    const epochs = await encoded(2 * batchBytesMax, 2 * batchBytesMax);
    const copy = await open(batchBytesMax + 5);
    for (const [epoch, { wire, end }] of epochs.entries()) {
      copy.intake.piece(epoch, wire);
      copy.intake.end(end);
    }
    await until(() => copy.errors.length > 0);
    expect(copy.errors[0]).toMatchObject({ code: 'limit' });
    expect(copy.errors[0]?.message).toMatch(/^epoch 1 decodes to more than 1048581 bytes/);
    expect(copy.whole).toEqual([-0, 0]);
  });

  // Proves: an epoch that the copy did not keep is not acknowledged, and is no fault of the stream.
  it('counts no epoch that came while the copy ended', async () => {
    const [one] = await encoded(5);
    const copy = await open();
    copy.isEnding = true;
    if (one !== undefined) {
      copy.intake.piece(0, one.wire);
      copy.intake.end(one.end);
    }
    await until(() => copy.whole.length > 0);
    for (let i = 0; i < 50; i++) await turn();
    expect(copy.whole).toEqual([-0]);
    expect(copy.errors).toEqual([]);
  });
});
