/**
 * One end of a session's link over a simulated connection: the port that src/link gives, at the
 * level of messages. Data waits for credit, everything else does not; nothing is read before
 * somebody listens; the end is told once, after the last message.
 */
import { OperationError } from '../../src/host/errors.ts';
import type { GuestConfig } from '../../src/link/config-message.ts';
import type { ControlMessage, LinkClose, LinkHandlers } from '../../src/link/link.ts';
import type { DiskEnd, EpochDigest, Message } from '../../src/link/messages.ts';
import type { Connection, Endpoint, Side } from './link.ts';
import type { SimProcess } from './process.ts';

/** Bytes of one DATA message. */
const chunkBytes = 96;
/** Bytes without credit before the sender waits. */
const windowBytes = 4 * chunkBytes;

type Queued =
  | { readonly kind: 'message'; readonly message: Message; readonly settle: () => void }
  | { readonly kind: 'end'; readonly make: () => Message; readonly settle: () => void };

export class SimLink implements Endpoint<Message> {
  readonly #process: SimProcess;
  readonly #side: Side;
  #connection: Connection<Message> | null = null;
  #handlers: LinkHandlers | null = null;
  readonly #inbox: Message[] = [];
  #close: LinkClose | null = null;
  #isCloseTold = false;
  readonly #data: Queued[] = [];
  #sentBytes = 0;
  #creditedBytes = 0;
  #epochBytes = 0;
  readonly #diskBytes = new Map<number, number>();
  #consumedBytes = 0;
  #isCreditDue = false;
  #received = 0;
  /** Backup: nothing of an epoch is taken any more; or nothing at all moves, both ways. */
  #hung: 'epochs' | 'stream' | null = null;
  #stuckIn: Message[] = [];
  #stuckOut: Message[] = [];
  /** The next piece of data arrives damaged. */
  damages = false;

  constructor(process: SimProcess, side: Side) {
    this.#process = process;
    this.#side = side;
    process.onExit(() => {
      if (this.#close === null) this.#connection?.processDied(side);
    });
  }

  open(connection: Connection<Message>): void {
    this.#connection = connection;
  }

  get counters() {
    return {
      bytesSent: this.#sentBytes,
      bytesReceived: this.#received,
      framesSent: 0,
      framesReceived: 0,
      dataBytesReceived: this.#received,
      inFlightBytes: this.#sentBytes - this.#creditedBytes,
      windowBytes,
    };
  }

  get isHung(): boolean {
    return this.#hung !== null;
  }

  hang(isStream: boolean): void {
    this.#hung = isStream ? 'stream' : 'epochs';
  }

  heal(): void {
    if (this.#hung === null) return;
    this.#hung = null;
    for (const message of this.#stuckIn.splice(0)) this.onMessage(message);
    for (const message of this.#stuckOut.splice(0)) this.#connection?.send(this.#side, message);
  }

  listen(handlers: LinkHandlers | null): void {
    this.#handlers = handlers;
    this.#deliver();
  }

  send(message: ControlMessage): boolean {
    if (this.#close !== null) return false;
    this.#transmit(message);
    return true;
  }

  #transmit(message: Message): void {
    this.#process.call(`send ${message.kind}`, () => {
      this.#process.world.sending(this.#side, message);
      if (this.#hung === 'stream') this.#stuckOut.push(message);
      else this.#connection?.send(this.#side, message);
    });
  }

  sendConfig(config: GuestConfig): Promise<boolean> {
    // The bytes of another guest, under this one's name.
    const message = this.#process.world.configLies
      ? { ...config, config: Buffer.from(config.name === 'g1' ? 'h1' : 'g1') }
      : config;
    return this.#queue((settle) => [{ kind: 'message', message, settle }]);
  }

  sendData(epoch: number, bytes: Buffer): Promise<boolean> {
    return this.#sendPieces(epoch, bytes, (chunk) => ({ kind: 'data', epoch, chunk }));
  }

  sendDisk(epoch: number, disk: number, bytes: Buffer): Promise<boolean> {
    return this.#sendPieces(epoch, bytes, (chunk) => ({ kind: 'disk', epoch, disk, chunk }));
  }

  endDisk(epoch: number, disk: number, digest: DiskEnd['digest']): Promise<boolean> {
    return this.#queue((settle) => [
      {
        kind: 'end',
        make: () => {
          const bytes = this.#diskBytes.get(disk) ?? 0;
          return { kind: 'disk-end', epoch, disk, bytes, digest };
        },
        settle,
      },
    ]);
  }

  #sendPieces(
    epoch: number,
    bytes: Buffer,
    messageOf: (chunk: Buffer) => Message,
  ): Promise<boolean> {
    return this.#queue((settle) => {
      const items: Queued[] = [];
      for (let at = 0; at < bytes.length; at += chunkBytes) {
        const chunk = Buffer.from(bytes.subarray(at, at + chunkBytes));
        if (this.damages) {
          chunk[0] = (chunk[0] ?? 0) ^ 0xff;
          this.#process.world.damaged(epoch);
        }
        this.damages = false;
        const isLast = at + chunkBytes >= bytes.length;
        const message = messageOf(chunk);
        items.push({ kind: 'message', message, settle: isLast ? settle : () => {} });
      }
      return items;
    });
  }

  endEpoch(epoch: number, pages: number, digest: EpochDigest): Promise<boolean> {
    return this.#queue((settle) => [
      {
        kind: 'end',
        make: () => ({ kind: 'epoch-end', epoch, bytes: this.#epochBytes, pages, digest }),
        settle,
      },
    ]);
  }

  #queue(items: (settle: () => void) => readonly Queued[]): Promise<boolean> {
    if (this.#close !== null) return Promise.resolve(false);
    return new Promise((resolve) => {
      this.#data.push(...items(() => resolve(this.#close === null)));
      this.#pump();
    });
  }

  #pump(): void {
    for (let item = this.#data[0]; item !== undefined; item = this.#data[0]) {
      if (this.#close !== null) return;
      if (this.#sentBytes - this.#creditedBytes >= windowBytes) return;
      this.#data.shift();
      const message = item.kind === 'end' ? item.make() : item.message;
      if (message.kind === 'data') {
        this.#sentBytes += message.chunk.length;
        this.#epochBytes += message.chunk.length;
      } else if (message.kind === 'disk') {
        const { disk, chunk } = message;
        this.#sentBytes += chunk.length;
        this.#diskBytes.set(disk, (this.#diskBytes.get(disk) ?? 0) + chunk.length);
      } else if (message.kind === 'epoch-end') {
        this.#epochBytes = 0;
        this.#diskBytes.clear();
      }
      this.#transmit(message);
      const { settle } = item;
      this.#process.later(this.#process.world.plan.chunkMs, settle);
    }
  }

  consumed(bytes: number): void {
    this.#consumedBytes += bytes;
    if (this.#isCreditDue) return;
    this.#isCreditDue = true;
    this.#process.later(0, () => {
      this.#isCreditDue = false;
      this.send({ kind: 'credit', bytes: this.#consumedBytes });
    });
  }

  /** What comes behind one's own last word is not looked at here. */
  readonly farewell = null;

  fail(error: OperationError): void {
    if (this.#close !== null) return;
    const { code, message: text, hint = null } = error;
    this.#finish({ kind: 'protocol', reason: text, error }, { kind: 'error', code, text, hint });
  }

  async close(reason: string): Promise<void> {
    this.#finish({ kind: 'local', reason, error: null }, { kind: 'goodbye', reason });
    await new Promise<void>((resolve) => {
      this.#process.later(this.#process.world.plan.delayMsMax, resolve);
    });
  }

  #finish(close: LinkClose, last: Message | null): void {
    if (this.#close !== null) return;
    this.#process.world.linkEnds(this.#side);
    if (last !== null) this.#transmit(last);
    this.#close = close;
    this.#data.length = 0;
    this.#process.call('close', () => this.#connection?.close(this.#side));
    this.#deliver();
  }

  onMessage(message: Message): void {
    const isOfEpoch = /^(data|epoch-end|disk|disk-end)$/.test(message.kind);
    const isStuck = this.#hung === 'stream' || (this.#hung !== null && isOfEpoch);
    if (isStuck) {
      this.#stuckIn.push(message);
      return;
    }
    this.#process.run(() => {
      if (this.#close !== null) return;
      this.#process.world.arrived(this.#side, message);
      this.#inbox.push(message);
      this.#deliver();
    });
  }

  onClosed(reason: string): void {
    this.#process.run(() => {
      this.#finish({ kind: 'eof', reason, error: null }, null);
    });
  }

  /** While somebody listens: what came, then the end. */
  #deliver(): void {
    while (this.#handlers !== null && this.#close === null) {
      const message = this.#inbox.shift();
      if (message === undefined) return;
      this.#take(message, this.#handlers);
    }
    if (this.#close === null || this.#handlers === null || this.#isCloseTold) return;
    this.#isCloseTold = true;
    this.#handlers.close(this.#close);
  }

  #take(message: Message, handlers: LinkHandlers): void {
    handlers.bytes?.(1);
    if (message.kind === 'credit') {
      this.#creditedBytes = message.bytes;
      this.#pump();
      handlers.progress?.();
      return;
    }
    if (message.kind === 'data' || message.kind === 'disk') {
      this.#received += message.chunk.length;
    }
    try {
      handlers.message(message);
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      this.fail(error);
    }
  }
}
