/**
 * Moves what the guest's disks have in each epoch through their encoders into the link, beside the
 * checkpoint stream, and closes each disk's part with what the backup must find at its end.
 *
 *   K1  what a disk has in epoch N leaves between the ends of N - 1 and of N, nothing of it later
 *   K2  the end of a disk's part leaves once `check` said that all of it was captured
 *   K3  after `stop`, or once a disk is lost, nothing is handed to the link and no epoch counts as
 *       left: the end of the epoch, which waits for that (pump.ts, U4), never leaves
 *   K4  of each disk there is one piece being read or encoded and one being sent
 */

import type { DiskPiece, PrimaryDisk } from '../disk/port.ts';
import { errorText, OperationError } from '../host/errors.ts';
import type { Compare, Digests, DiskEnd } from '../link/messages.ts';
import { batchBytesMax, type StreamEncoder } from './codec/codec.ts';

/** Where the bytes go: a Link. False: it is closed. */
export interface DiskSink {
  sendDisk(epoch: number, disk: number, bytes: Buffer): Promise<boolean>;
  endDisk(epoch: number, disk: number, digest: DiskEnd['digest']): Promise<boolean>;
}

export interface DiskPumpOptions {
  readonly disks: readonly PrimaryDisk[];
  /** Of each disk. */
  readonly encoders: readonly StreamEncoder[];
  readonly sink: DiskSink;
  /** What waits comes near to what may wait. */
  readonly onFilling: () => void;
  /** The first copy of that disk asks what these blocks hold there. */
  readonly onCompare: (question: Omit<Compare, 'kind'>) => void;
  /** The disk cannot follow any more; called once, of the first one. */
  readonly onLost: (reason: string) => void;
  readonly onError: (error: unknown) => void;
}

/** A disk on its way through the epochs. */
interface Lane {
  readonly number: number;
  readonly disk: PrimaryDisk;
  readonly encoder: StreamEncoder;
  readonly buffer: Buffer;
  /** Whose bytes come next: the one after the last that has left. */
  epoch: number;
  /** The piece that is being sent. */
  sending: Promise<boolean>;
  isRunning: boolean;
  isWoken: boolean;
}

export class DiskPump {
  readonly #options: DiskPumpOptions;
  readonly #lanes: readonly Lane[];
  /** The epoch that may be sent. */
  #epoch = 0;
  #waiting: (() => void)[] = [];
  #stopped = false;
  #rawBytes = 0;
  #wireBytes = 0;

  constructor(options: DiskPumpOptions) {
    this.#options = options;
    this.#lanes = options.disks.map((disk, number) => ({
      ...{ number, disk, encoder: encoderOf(options, number) },
      buffer: Buffer.allocUnsafeSlow(batchBytesMax),
      ...{ epoch: 0, sending: Promise.resolve(true), isRunning: false, isWoken: false },
    }));
  }

  /** Taken from the disks, and sent, since the session began. */
  get moved(): { readonly rawBytes: number; readonly wireBytes: number } {
    return { rawBytes: this.#rawBytes, wireBytes: this.#wireBytes };
  }

  /** From now on the disks are listened to. */
  start(): void {
    for (const lane of this.#lanes) {
      lane.disk.listen({
        more: () => this.#wake(lane),
        filling: () => this.#options.onFilling(),
        compare: (first, count) => this.#compare(lane, first, count),
        lost: (reason) => this.#lost(lane, reason),
      });
      this.#wake(lane);
    }
  }

  #compare({ number: disk }: Lane, first: number, count: number): void {
    if (!this.#stopped) this.#options.onCompare({ disk, first, count });
  }

  /** What the backup said to a question of `onCompare`. Throws OperationError('protocol'). */
  digests({ disk: number, first, digests }: Digests): void {
    const lane = this.#lanes[number];
    if (lane === undefined) {
      const text = `field disk is ${number}, there are ${this.#lanes.length}`;
      throw new OperationError('protocol', `protocol error in digests: ${text}`, {
        op: 'take-digests',
        subject: 'disk',
      });
    }
    if (!this.#stopped) lane.disk.digests(first, digests);
  }

  /** The end of the epoch before was handed to the link. */
  begin(epoch: number): void {
    this.#epoch = epoch;
    for (const lane of this.#lanes) this.#wake(lane);
  }

  /** A barrier is set: what the disks have up to it can be read, and its end. */
  sealed(): void {
    for (const lane of this.#lanes) this.#wake(lane);
  }

  /** Resolves when every disk's part of the epoch has left; to false when that will never be. */
  async left(epoch: number): Promise<boolean> {
    while (!this.#stopped && this.#lanes.some((lane) => lane.epoch <= epoch)) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
    return !this.#stopped;
  }

  /** Nothing more is read or sent. */
  stop(): void {
    this.#stopped = true;
    this.#tell();
  }

  #tell(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #lost({ disk }: Lane, reason: string): void {
    if (this.#stopped) return;
    this.stop();
    this.#options.onLost(`disk ${disk.name}: ${reason}`);
  }

  #wake(lane: Lane): void {
    lane.isWoken = true;
    if (lane.isRunning || this.#stopped) return;
    lane.isRunning = true;
    void this.#run(lane).catch((error: unknown) => {
      if (this.#stopped) return;
      this.stop();
      this.#options.onError(error);
    });
  }

  async #run(lane: Lane): Promise<void> {
    while (lane.isWoken && !this.#stopped) {
      lane.isWoken = false;
      while (!this.#stopped && lane.epoch === this.#epoch && (await this.#move(lane)));
    }
    lane.isRunning = false;
  }

  /** Moves one piece on; false: there is none now. */
  async #move(lane: Lane): Promise<boolean> {
    const { disk, encoder, buffer, number } = lane;
    const piece = this.#read(lane);
    if (piece === null) return false;
    const { epoch, bytes, isEnd } = piece;
    if (epoch !== lane.epoch) throw new Error(`${disk.name}: epoch ${epoch}, not ${lane.epoch}`);
    if (bytes > 0) {
      const wire = await encoder.encode(buffer.subarray(0, bytes));
      this.#rawBytes += bytes;
      this.#wireBytes += wire.length;
      if (!(await lane.sending)) this.stop();
      if (this.#stopped) return false;
      lane.sending = this.#options.sink.sendDisk(epoch, number, wire);
    }
    if (isEnd) await this.#end(lane);
    return true;
  }

  /** A disk that was lost may say so here first. */
  #read(lane: Lane): DiskPiece | null {
    try {
      return lane.disk.read(lane.buffer);
    } catch (error) {
      this.#lost(lane, errorText(error));
      return null;
    }
  }

  async #end(lane: Lane): Promise<void> {
    const { disk, encoder, number, epoch } = lane;
    const { rawBytes, checksum } = await encoder.endEpoch();
    const why = await disk.check(epoch).then(
      () => null,
      (error: unknown) => error,
    );
    if (why !== null) this.#lost(lane, errorText(why));
    if (this.#stopped) return;
    const digest = { rawBytes, checksum };
    // Behind the last piece: the link keeps their order.
    lane.sending = this.#options.sink.endDisk(epoch, number, digest);
    if (!(await lane.sending)) this.stop();
    if (this.#stopped) return;
    lane.epoch += 1;
    this.#tell();
  }
}

function encoderOf({ encoders }: DiskPumpOptions, number: number): StreamEncoder {
  const encoder = encoders[number];
  if (encoder === undefined) throw new Error(`disk ${number} has no encoder`);
  return encoder;
}
