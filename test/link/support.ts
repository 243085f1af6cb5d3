/** What the tests of the link share: hand-driven time, HELLO samples, two links back to back. */
import { PassThrough } from 'node:stream';
import type { AnnouncedDisk } from '../../src/core/vocabulary.ts';
import type { Cancel, Clock, Timers } from '../../src/host/clock.ts';
import { systemClock, systemTimers } from '../../src/host/clock.ts';
import { OperationError } from '../../src/host/errors.ts';
import type { Checked } from '../../src/link/checked-message.ts';
import type { GuestConfig } from '../../src/link/config-message.ts';
import type { HelloContent } from '../../src/link/connect.ts';
import { protocolVersion } from '../../src/link/frame.ts';
import type { LocalSpeaker } from '../../src/link/hello.ts';
import type { Hello, HelloAccepted } from '../../src/link/hello-message.ts';
import { Link, type LinkClose, type LinkOptions } from '../../src/link/link.ts';
import type { Message, MessageKind } from '../../src/link/messages.ts';

/** Time that stands still until it is told to move. */
export class ManualTime implements Clock, Timers {
  #nowMs = 0;
  #timers: { readonly atMs: number; readonly run: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  wall(): Date {
    return new Date(this.#nowMs);
  }

  get pending(): number {
    return this.#timers.length;
  }

  after(delayMs: number, run: () => void): Cancel {
    const timer = { atMs: this.#nowMs + delayMs, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((entry) => entry !== timer);
    };
  }

  soon(run: () => void): Cancel {
    return this.after(0, run);
  }

  advance(ms: number): void {
    this.#nowMs += ms;
    const due = this.#timers.filter((timer) => timer.atMs <= this.#nowMs);
    this.#timers = this.#timers.filter((timer) => timer.atMs > this.#nowMs);
    for (const timer of due) timer.run();
  }
}

export const speakerA: LocalSpeaker = {
  tsremus: '0.1.0',
  xen: '4.17.5',
  host: 'host-a',
  capabilities: { codecs: ['none'], disks: [] },
};

export const speakerB: LocalSpeaker = { ...speakerA, host: 'host-b' };

export const sampleHello: HelloContent = {
  ...speakerA,
  purpose: 'session',
  domain: 'web1',
  uuid: '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
  session: '0123456789abcdef0123456789abcdef',
  timing: { heartbeatTimeoutMs: 1000, holdMs: 3000, buffered: true, withoutWitness: 'backup' },
  memoryBytes: 128 * 1024 * 1024,
  cacheBytes: 64 * 1024 * 1024,
  noWait: false,
  checks: true,
};

/** What the end of some epoch may say. */
export const sampleDigest = { rawBytes: 9, checksum: 2n ** 63n + 5n, cacheState: 0n };

export const sampleDisk: AnnouncedDisk = {
  name: 'xvda',
  sizeBytes: 2 ** 30,
  sectorBytes: 512,
  generation: 3,
  mayOverwrite: false,
};

export const sampleConfig: GuestConfig = {
  kind: 'config',
  hypervisor: 'xen',
  name: 'web1',
  uuid: sampleHello.uuid,
  memoryBytes: sampleHello.memoryBytes,
  disks: [],
  config: Buffer.from('{}'),
};

export const sampleChecked: Checked = {
  kind: 'checked',
  lines: [{ name: 'xen', level: 'warn', text: 'a clause', next: 'xl info' }],
  facts: {
    host: 'host-b',
    tsremus: '0.1.0',
    hypervisor: '4.17.5',
    cpus: 4,
    processor: 'a processor',
    features: [1, 2 ** 32 - 1],
    mtuBytes: 1500,
  },
  clock: { heardMs: 2 ** 40, saidMs: 2 ** 40 + 1 },
  address: '10.0.0.2',
};

export const helloMessage: Hello = { kind: 'hello', protocol: protocolVersion, ...sampleHello };

export const acceptedMessage: HelloAccepted = {
  kind: 'hello-accepted',
  protocol: protocolVersion,
  ...speakerB,
  pulse: null,
  stream: { codec: 'none', cacheBytes: 0 },
  features: [1, 2 ** 32 - 1],
  checks: true,
};

/** Everything that a link told its listener, in order. */
export class Heard {
  readonly messages: Message[] = [];
  /** Bytes of data that had come before each of `messages`. */
  readonly dataBefore: number[] = [];
  readonly closes: LinkClose[] = [];
  bytes = 0;
  dataBytes = 0;
  #waiting: (() => void)[] = [];
  readonly #link: Link;
  readonly #consume: boolean;

  constructor(link: Link, consume = true) {
    this.#link = link;
    this.#consume = consume;
    link.listen({
      message: (message) => this.#onMessage(message),
      bytes: (count) => {
        this.bytes += count;
      },
      close: (close) => {
        this.closes.push(close);
        this.#wake();
      },
    });
  }

  get kinds(): readonly MessageKind[] {
    return this.messages.map((message) => message.kind);
  }

  /** Resolves when `condition` holds; looked at after every event. */
  async until(condition: (heard: Heard) => boolean): Promise<void> {
    while (!condition(this)) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }

  untilClosed(): Promise<void> {
    return this.until(({ closes }) => closes.length > 0);
  }

  untilKind(kind: MessageKind): Promise<void> {
    return this.until(({ kinds }) => kinds.includes(kind));
  }

  #onMessage(message: Message): void {
    if (message.kind === 'data' || message.kind === 'disk') {
      this.dataBytes += message.chunk.length;
      if (this.#consume) this.#link.consumed(message.chunk.length);
    } else {
      this.messages.push(message);
      this.dataBefore.push(this.dataBytes);
    }
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

export interface Pair {
  readonly primary: Link;
  readonly backup: Link;
  /** The streams themselves, to break them. */
  readonly toBackup: PassThrough;
  readonly toPrimary: PassThrough;
}

/** Two links over two in-memory streams, HELLO not yet exchanged. */
export function linkPair(options: Partial<LinkOptions> = {}): Pair {
  const toBackup = new PassThrough();
  const toPrimary = new PassThrough();
  const common = { clock: systemClock, timers: systemTimers, ...options };
  return {
    primary: new Link(toPrimary, toBackup, { ...common, role: 'primary' }),
    backup: new Link(toBackup, toPrimary, { ...common, role: 'backup' }),
    toBackup,
    toPrimary,
  };
}

/** The same with both HELLOs sent; each side hears the other's as its first message. */
export function greetedPair(options: Partial<LinkOptions> = {}): Pair {
  const pair = linkPair(options);
  pair.primary.send(helloMessage);
  pair.backup.send(acceptedMessage);
  return pair;
}

/** The OperationError that `run` throws or rejects with; anything else fails the test. */
export async function operationError(run: () => unknown): Promise<OperationError> {
  try {
    await run();
  } catch (error) {
    if (error instanceof OperationError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}
