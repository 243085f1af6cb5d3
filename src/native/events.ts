/**
 * The event pipe of libtsremus: 64-byte records (struct tsr_event), each followed by its text.
 * Native threads write, Node reads: no callback ever comes from a foreign thread.
 */
import { Socket } from 'node:net';

const eventBytes = 64;
const textBytesMax = 1024;

const kindNames = {
  1: 'log',
  2: 'failed',
  3: 'data',
  4: 'checkpoint',
  5: 'epoch-end',
  6: 'ended',
  7: 'fed',
  8: 'stalled',
  9: 'output',
  10: 'lost',
  20: 'disk-filling',
  21: 'disk-full',
  22: 'disk-more',
  23: 'disk-copied',
  24: 'disk-compare',
  30: 'disk-room',
  31: 'disk-settled',
  34: 'disk-hashed',
} as const;

export type NativeEventKind = (typeof kindNames)[keyof typeof kindNames];

export interface NativeEvent {
  readonly kind: NativeEventKind;
  /** CLOCK_MONOTONIC when it happened, ms. */
  readonly timeMs: number;
  /** Meaning by kind: xen/events.h, plug/plug.h and those of disk/ in native. */
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
  readonly e: number;
  readonly f: number;
  readonly text: string;
}

/** Takes the first event out of `data`; null when it is not all there yet. */
export function decodeEvent(data: Buffer): { event: NativeEvent; used: number } | null {
  if (data.length < eventBytes) return null;
  const textLength = data.readUInt32LE(4);
  if (textLength > textBytesMax) throw new Error(`event text of ${textLength} bytes`);
  const used = eventBytes + textLength;
  if (data.length < used) return null;
  const kind = kindNames[data.readUInt32LE(0) as keyof typeof kindNames];
  if (kind === undefined) throw new Error(`event of unknown kind ${data.readUInt32LE(0)}`);
  return {
    event: {
      kind,
      timeMs: Number(data.readBigUInt64LE(8)) / 1e6,
      a: Number(data.readBigInt64LE(16)),
      b: Number(data.readBigUInt64LE(24)),
      c: Number(data.readBigUInt64LE(32)),
      d: Number(data.readBigUInt64LE(40)),
      e: Number(data.readBigUInt64LE(48)),
      f: Number(data.readBigUInt64LE(56)),
      text: data.toString('utf8', eventBytes, used),
    },
    used,
  };
}

/** Reads events from the pipe's read end until it closes; owns the descriptor. */
export function readEvents(fd: number, onEvent: (event: NativeEvent) => void): { close(): void } {
  const socket = new Socket({ fd, readable: true, writable: false });
  let rest: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (;;) {
      const next = decodeEvent(rest);
      if (next === null) return;
      rest = rest.subarray(next.used);
      onEvent(next.event);
    }
  });
  // The writer is a thread of this process: an error here can only follow our own close.
  socket.on('error', () => socket.destroy());
  return { close: () => socket.destroy() };
}
