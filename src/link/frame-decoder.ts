/**
 * Bytes in, whole checked frames out. Strict: the first wrong bit ends the stream.
 *
 * Holds at most one incomplete frame, whose length was checked against the limit of its type before
 * a byte was set aside for it. A frame that lies whole within one chunk is not copied.
 */
import { adviceLine } from '../core/texts/advice.ts';
import { OperationError } from '../host/errors.ts';
import {
  type Frame,
  type FrameType,
  frameChecksum,
  frameHeaderBytes,
  frameMagic,
  frameTypeOfNumber,
  nextSequence,
  protocolVersion,
} from './frame.ts';

interface Header {
  readonly bytes: Buffer;
  readonly entry: FrameType;
  readonly sequence: number;
  readonly length: number;
  readonly offset: number;
}

const noBytes = Buffer.alloc(0);

export class FrameDecoder {
  #chunk: Buffer = noBytes;
  #at = 0;
  /** Stream offset of the next byte to be read. */
  #offset = 0;
  readonly #headerBytes = Buffer.alloc(frameHeaderBytes);
  #headerFilled = 0;
  #header: Header | null = null;
  #body: Buffer | null = null;
  #bodyFilled = 0;
  #sequence = 0;
  #failed: OperationError | null = null;

  /** Bytes taken into account so far. */
  get offset(): number {
    return this.#offset;
  }

  /** True when the stream may end here. */
  get betweenFrames(): boolean {
    return this.#headerFilled === 0 && this.#header === null;
  }

  /** True while `next` has not used up the bytes pushed last. */
  get hasBytes(): boolean {
    return this.#at < this.#chunk.length;
  }

  /** Hands in the next bytes of the stream; `next` must have returned null before. */
  push(chunk: Buffer): void {
    if (this.hasBytes) throw new Error('push before the last bytes were used up');
    this.#chunk = chunk;
    this.#at = 0;
  }

  /**
   * The next whole frame, or null when more bytes are needed. Throws an OperationError `protocol`
   * or `version-mismatch` at the first wrong field, and the same one ever after.
   */
  next(): Frame | null {
    if (this.#failed) throw this.#failed;
    try {
      return this.#next();
    } catch (error) {
      if (error instanceof OperationError) this.#failed = error;
      throw error;
    }
  }

  #next(): Frame | null {
    this.#header ??= this.#readHeader();
    const header = this.#header;
    if (header === null) return null;
    const body = this.#readBody(header.length);
    if (body === null) return null;
    const expected = frameChecksum(header.bytes, body);
    const found = header.bytes.readUInt32LE(16);
    if (found !== expected) {
      throw fieldError(header.offset, 'checksum', hex(found), `${hex(expected)} was computed`);
    }
    this.#header = null;
    this.#body = null;
    this.#bodyFilled = 0;
    this.#sequence = nextSequence(this.#sequence);
    return { kind: header.entry.kind, sequence: header.sequence, body, offset: header.offset };
  }

  #readHeader(): Header | null {
    const count = Math.min(frameHeaderBytes - this.#headerFilled, this.#chunk.length - this.#at);
    if (count > 0) {
      this.#chunk.copy(this.#headerBytes, this.#headerFilled, this.#at, this.#at + count);
      this.#headerFilled += count;
      this.#checkMagic(count);
      this.#at += count;
      this.#offset += count;
    }
    if (this.#headerFilled < frameHeaderBytes) return null;
    this.#headerFilled = 0;
    return this.#parseHeader(this.#headerBytes, this.#offset - frameHeaderBytes);
  }

  /**
   * Looks at every byte of the magic as soon as it is there: garbage may be shorter than a header.
   */
  #checkMagic(count: number): void {
    const seen = Math.min(this.#headerFilled, frameMagic.length);
    if (this.#headerBytes.compare(frameMagic, 0, seen, 0, seen) === 0) return;
    const before = this.#headerFilled - count;
    const found = Buffer.concat([
      this.#headerBytes.subarray(0, before),
      this.#chunk.subarray(this.#at, this.#at + 60),
    ]);
    throw garbageError(this.#offset - before, found);
  }

  #parseHeader(bytes: Buffer, offset: number): Header {
    const version = bytes.readUInt16LE(4);
    if (bytes[4] === echoedControl) throw terminalError(offset);
    if (version !== protocolVersion) throw versionError(version);
    const type = bytes.readUInt8(6);
    const entry = frameTypeOfNumber(type);
    if (entry === undefined) throw fieldError(offset, 'type', type, 'unknown');
    const flags = bytes.readUInt8(7);
    if (flags !== 0) throw fieldError(offset, 'flags', flags, 'must be 0');
    const sequence = bytes.readUInt32LE(8);
    if (sequence !== this.#sequence) {
      throw fieldError(offset, 'sequence', sequence, `must be ${this.#sequence}`);
    }
    const length = bytes.readUInt32LE(12);
    if (length < entry.bodyMin || length > entry.bodyMax) {
      const range = `${entry.kind} allows ${entry.bodyMin} to ${entry.bodyMax}`;
      throw fieldError(offset, 'length', length, range);
    }
    return { bytes, entry, sequence, length, offset };
  }

  #readBody(length: number): Buffer | null {
    const available = this.#chunk.length - this.#at;
    if (this.#body === null && available >= length) {
      const body = this.#chunk.subarray(this.#at, this.#at + length);
      this.#skip(length);
      return body;
    }
    this.#body ??= Buffer.allocUnsafe(length);
    const count = Math.min(length - this.#bodyFilled, available);
    this.#chunk.copy(this.#body, this.#bodyFilled, this.#at, this.#at + count);
    this.#bodyFilled += count;
    this.#skip(count);
    return this.#bodyFilled === length ? this.#body : null;
  }

  #skip(count: number): void {
    this.#at += count;
    this.#offset += count;
  }
}

function fieldError(offset: number, field: string, value: number | string, why: string) {
  return new OperationError(
    'protocol',
    `protocol error at byte ${offset} of the stream: field ${field} is ${value}, ${why}`,
    { op: 'read-frame', subject: field },
  );
}

/** The subject of an error whose bytes a terminal has changed, or sent back. */
export const terminalFound = 'terminal';

/** `^`: how a terminal shows a control character that it sends back (termios(3), ECHOCTL). */
const echoedControl = 0x5e;

/** Of our own HELLO only the letters of the magic come back as they went. */
export function terminalError(offset: number): OperationError {
  return new OperationError(
    'protocol',
    `protocol error at byte ${offset} of the stream: what was sent comes back, ` +
      'as from a terminal (a pty) in between',
    { op: 'read-frame', subject: terminalFound, hint: readTransport },
  );
}

/** For a way between the hosts that is none; whoever knows the way says more. */
const readTransport = adviceLine({
  kind: 'read-page',
  page: 'tsremus-protect',
  why: '-s: what the way to the other host has to be',
});

/** Two versions that do not fit; both are named, and what to do. */
export function versionError(peerVersion: number): OperationError {
  return new OperationError(
    'version-mismatch',
    `the peer speaks protocol ${peerVersion}, this tsremus speaks protocol ${protocolVersion}`,
    {
      op: 'read-frame',
      subject: 'version',
      hint: adviceLine({ kind: 'same-version' }),
    },
  );
}

/** At the very start of a stream text is nearly always a login greeting: then show it. */
function garbageError(offset: number, found: Buffer): OperationError {
  // A greeting may be followed by the first frame, which is no text.
  const text = found.toString('latin1').split(frameMagic.toString('latin1'))[0] ?? '';
  const readable = /^[\x20-\x7e\r\n\t]+$/.test(text);
  const shown = readable ? JSON.stringify(text.trim()) : found.subarray(0, 16).toString('hex');
  // What `receive` itself says where it finds a terminal (stdio.ts).
  const isTerminal = text.includes('is a terminal: no primary is there');
  return new OperationError(
    'protocol',
    `protocol error at byte ${offset} of the stream: no frame begins here, found ${shown}`,
    {
      op: 'read-frame',
      subject: isTerminal ? terminalFound : 'magic',
      hint: offset === 0 && readable ? readTransport : undefined,
    },
  );
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}
