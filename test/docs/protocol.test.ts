/**
 * docs/PROTOCOL.md, held against the code. Its tables are not compared with the sources' text where
 * the code can be asked instead: layouts are read back from what the encoders write, the values of
 * JSON fields are given to the parsers at and beyond their stated limits, and who may send a frame
 * is what a link lets through.
 */
import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CheckLine } from '../../src/core/check/line.ts';
import { OperationError } from '../../src/host/errors.ts';
import { encodeChecked, parseChecked } from '../../src/link/checked-message.ts';
import { encodeConfig, parseConfig } from '../../src/link/config-message.ts';
import {
  encodeFrame,
  type FrameKind,
  frameHeaderBytes,
  frameMagic,
  frameTypes,
  protocolVersion,
} from '../../src/link/frame.ts';
import { encodeHello, parseHello } from '../../src/link/hello-message.ts';
import { Link, type LinkRole } from '../../src/link/link.ts';
import { decodeMessage, encodeBody, frameKindOf, type Message } from '../../src/link/messages.ts';
import { encodePulse } from '../../src/link/pulse-datagram.ts';
import { epochLimits, wireLimits } from '../../src/stream/assembler.ts';
import {
  batchHeaderBytes,
  batchKinds,
  encodedBytesMax,
  readBatchHeader,
} from '../../src/stream/codec/batch.ts';
import { batchBytesMax, codecNames } from '../../src/stream/codec/codec.ts';
import {
  acceptedMessage,
  Heard,
  helloMessage,
  ManualTime,
  sampleChecked,
  sampleConfig,
  sampleDisk,
  speakerB,
} from '../link/support.ts';
import { numberOf, read, tableOf } from './markdown.ts';

const text = read('docs/PROTOCOL.md');

/** `epoch-end` -> `EPOCH_END`. */
function nameOf(kind: string): string {
  return kind.toUpperCase().replaceAll('-', '_');
}

/** One of each frame, with values that no two fields share. */
const samples: Readonly<Record<FrameKind, Message>> = {
  hello: helloMessage,
  config: sampleConfig,
  data: { kind: 'data', epoch: 0, chunk: Buffer.from('page') },
  'epoch-end': {
    kind: 'epoch-end',
    epoch: 17,
    bytes: 2 ** 40 + 1,
    pages: 2 ** 40 + 2,
    digest: { rawBytes: 2 ** 40 + 3, checksum: 2n ** 63n + 4n, cacheState: 2n ** 63n + 5n },
  },
  disk: { kind: 'disk', epoch: 22, disk: 3, chunk: Buffer.from('sector') },
  'disk-end': {
    kind: 'disk-end',
    epoch: 23,
    disk: 4,
    bytes: 2 ** 40 + 9,
    digest: { rawBytes: 2 ** 40 + 10, checksum: 2n ** 63n + 11n },
  },
  compare: { kind: 'compare', disk: 5, first: 2 ** 40 + 15, count: 24 },
  digests: { kind: 'digests', disk: 6, first: 2 ** 40 + 16, digests: Buffer.from('digest') },
  ack: { kind: 'ack', epoch: 18 },
  heartbeat: { kind: 'heartbeat', seq: 2 ** 40 + 6, heldMs: 2 ** 40 + 14 },
  echo: { kind: 'echo', seq: 2 ** 40 + 7 },
  credit: { kind: 'credit', bytes: 2 ** 40 + 8 },
  ask: { kind: 'ask', id: 19 },
  answer: { kind: 'answer', id: 20, answer: { kind: 'running' } },
  'copy-lost': { kind: 'copy-lost', reason: 'reason' },
  activated: { kind: 'activated', epoch: 21 },
  goodbye: { kind: 'goodbye', reason: 'reason' },
  error: { kind: 'error', code: 'protocol', text: 'text', hint: null },
  leaving: { kind: 'leaving', reason: 'reason' },
  degraded: { kind: 'degraded', reason: 'reason' },
  checked: sampleChecked,
};

/** The field at `at`, read as the document says. */
function fieldOf(bytes: Buffer, at: number, type: string): number | bigint | Buffer {
  const count = /^(\d+) bytes$/.exec(type)?.[1];
  if (count !== undefined) return bytes.subarray(at, at + Number(count));
  switch (type) {
    case 'u8':
      return bytes.readUInt8(at);
    case 'u16':
      return bytes.readUInt16LE(at);
    case 'u32':
      return bytes.readUInt32LE(at);
    case 'u64':
      return bytes.readBigUInt64LE(at);
    default:
      throw new Error(`no such type: ${type}`);
  }
}

function widthOf(type: string): number {
  const bits = /^u(\d+)$/.exec(type)?.[1];
  return bits === undefined ? Number(/^(\d+) bytes$/.exec(type)?.[1]) : Number(bits) / 8;
}

/** A layout of the document: every field, each where the one before it ends. */
function layoutOf(rows: readonly (readonly string[])[]) {
  let end = 0;
  const fields = rows.map(([at = '', type = '', name = '', what = '']) => {
    expect(numberOf(at), name).toBe(end);
    end += type === '' ? 0 : widthOf(type);
    return { at: numberOf(at), type, name, what };
  });
  return { fields: fields.filter(({ type }) => type !== ''), bytes: end };
}

describe('the version', () => {
  it('is that of this build', () => {
    expect(/This is version (\d+)\./.exec(text)?.[1]).toBe(String(protocolVersion));
  });
});

describe('the frame', () => {
  it('is laid out so', () => {
    const { fields, bytes } = layoutOf(tableOf(text, 'Frame', 'at').rows);
    expect(bytes).toBe(frameHeaderBytes);
    const frame = encodeFrame('goodbye', 0x0a0b0c0d, Buffer.from('seven b'));
    const expected: Readonly<Record<string, unknown>> = {
      magic: frameMagic,
      version: protocolVersion,
      type: 13,
      flags: 0,
      sequence: 0x0a0b0c0d,
      length: 7,
      checksum: frame.readUInt32LE(16),
    };
    expect(fields.map(({ name }) => name)).toEqual(Object.keys(expected));
    for (const { at, type, name } of fields) {
      expect(fieldOf(frame, at, type), name).toEqual(expected[name]);
    }
    expect(text).toContain(`| magic | \`${frameMagic.toString('latin1')}\` |`);
  });

  it('has these types, numbers and limits, and no others', () => {
    const rows = tableOf(text, 'Frame', 'type', 'frame').rows.map(([type, name, , body = '']) => {
      const [min = '', max = min] = body.split(' to ');
      return { type: Number(type), name, bodyMin: numberOf(min), bodyMax: numberOf(max) };
    });
    const known = frameTypes.map(({ type, kind, bodyMin, bodyMax }) => {
      return { type, name: nameOf(kind), bodyMin, bodyMax };
    });
    expect(rows).toEqual(known);
  });
});

/** What a message's fields are called in the document. */
function valuesOf(message: Message): Readonly<Record<string, unknown>> {
  switch (message.kind) {
    case 'epoch-end': {
      const { epoch, bytes, pages, digest } = message;
      return { epoch, bytes, pages, ...digest };
    }
    case 'disk-end':
      return { ...message, ...message.digest };
    case 'answer':
      return { id: message.id, kind: 2, running: 1 };
    default:
      return { ...message };
  }
}

describe('a body of one length', () => {
  const { rows } = tableOf(text, 'Frame', 'frame', 'at');
  const fixed = frameTypes.filter(({ bodyMin, bodyMax }) => bodyMin === bodyMax);

  it('is shown of every such frame', () => {
    expect([...new Set(rows.map(([name]) => name))]).toEqual(fixed.map(({ kind }) => nameOf(kind)));
  });

  it.each(fixed)('is laid out so: $kind', ({ kind, bodyMax }) => {
    const own = rows.filter(([name]) => name === nameOf(kind)).map(([, ...row]) => row);
    const { fields, bytes } = layoutOf(own);
    expect(bytes).toBe(bodyMax);
    const body = encodeBody(samples[kind]);
    for (const { at, type, name } of fields) {
      expect(BigInt(fieldOf(body, at, type) as number), name).toBe(
        BigInt(valuesOf(samples[kind])[name] as number),
      );
    }
  });
});

/** Whether a link of this side takes the frame: as the first one, or after HELLO. */
async function takes(role: LinkRole, message: Message): Promise<boolean> {
  const input = new PassThrough();
  const time = new ManualTime();
  const link = new Link(input, new PassThrough(), { role, clock: time, timers: time });
  const heard = new Heard(link, false);
  let sequence = 0;
  const write = (one: Message) => {
    const tail = one.kind === 'data' || one.kind === 'disk' ? one.chunk : undefined;
    input.write(encodeFrame(frameKindOf(one), sequence, encodeBody(one), tail));
    if (tail !== undefined) input.write(tail);
    sequence += 1;
  };
  if (frameKindOf(message) !== 'hello') write(role === 'backup' ? helloMessage : acceptedMessage);
  write(message);
  // Allowed to both: when it is there, the frame before it was taken.
  write({ kind: 'goodbye', reason: 'the end of the test' });
  await heard.until(({ closes, kinds }) => closes.length > 0 || kinds.at(-1) === 'goodbye');
  const [close] = heard.closes;
  link.destroy('done');
  if (close !== undefined) expect(close.reason).toContain(`not for the ${role}`);
  return close === undefined;
}

describe('who sends a frame', () => {
  const { rows } = tableOf(text, 'Frame', 'type', 'frame');
  const from = new Map(rows.map(([, name = '', side]) => [name, side]));

  it.each(frameTypes)('is what a link lets through: $kind', async ({ kind }) => {
    const message: Message = kind === 'credit' ? { kind, bytes: 0 } : samples[kind];
    const reply: Message = kind === 'hello' ? acceptedMessage : message;
    const byPrimary = await takes('backup', message);
    const byBackup = await takes('primary', reply);
    const side = byPrimary && byBackup ? 'both' : byPrimary ? 'primary' : 'backup';
    expect(byPrimary || byBackup).toBe(true);
    expect(from.get(nameOf(kind))).toBe(side);
  });
});

type Json = Record<string, unknown>;

/** A body with one field replaced; `a.b` reaches inside; undefined takes it out. */
function changed(body: Json, path: string, value: unknown): Json {
  const [key = '', ...rest] = path.split('.');
  const inner = rest.length === 0 ? value : changed(body[key] as Json, rest.join('.'), value);
  return { ...body, [key]: inner };
}

/** Paths of all that is no object. */
function leavesOf(body: Json, before = ''): readonly string[] {
  return Object.entries(body).flatMap(([key, value]) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? leavesOf(value as Json, `${before}${key}.`)
      : [`${before}${key}`],
  );
}

interface JsonShape {
  readonly body: Json;
  readonly parse: (body: Json) => unknown;
}

/** Whether the parser takes this value there, whatever it then says of other fields. */
function accepts({ body, parse }: JsonShape, path: string, value: unknown): boolean {
  try {
    parse(changed(body, path, value));
    return true;
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    expect(error.code).toBe('protocol');
    return error.detail.subject !== path;
  }
}

/** Values that the document's words for a value allow, and values that they do not. */
function examplesOf(value: string): { readonly good: unknown[]; readonly bad: unknown[] } {
  const bad: unknown[] = [undefined, {}, []];
  const integer = /^integer (.+) to ([^,]+(?:,\d+)*)(, or null)?$/.exec(value);
  if (integer !== null) {
    const [min, max] = [numberOf(integer[1] ?? ''), numberOf(integer[2] ?? '')];
    const wrong = [min - 1, max + 1, min + 0.5, String(min)];
    if (integer[3] === undefined) return { good: [min, max], bad: [...bad, null, ...wrong] };
    return { good: [min, max, null, undefined], bad: [{}, [], ...wrong] };
  }
  const numbers = /^up to (\d+) numbers(, or null)?$/.exec(value);
  if (numbers !== null) {
    const list = (count: number) => Array.from({ length: count }, (_, at) => at);
    const max = Number(numbers[1]);
    const wrong = [list(max + 1), [-1], [0.5], [2 ** 32], ['1'], 1];
    const good = [list(max), [], [2 ** 32 - 1]];
    if (numbers[2] === undefined) return { good, bad: [undefined, null, {}, ...wrong] };
    return { good: [...good, null, undefined], bad: [{}, ...wrong] };
  }
  const length = /^text up to ([\d,]+)(, or null)?$/.exec(value);
  if (length !== null) {
    const max = numberOf(length[1] ?? '');
    const wrong = ['x'.repeat(max + 1), 'a\nb', 'a\u001bb', 1];
    const good = ['x'.repeat(max), ''];
    if (length[2] === undefined) return { good, bad: [...bad, null, ...wrong] };
    return { good: [...good, null, undefined], bad: [{}, [], ...wrong] };
  }
  const words = /^up to (\d+) words$/.exec(value);
  if (words !== null) {
    const max = Number(words[1]);
    const list = (count: number) => Array.from({ length: count }, (_, at) => `w-${at}`);
    const wrong = [list(max + 1), ['A'], [''], ['a b'], ['x'.repeat(33)], [1], 'w'];
    return { good: [list(max), [], ['x'.repeat(32)]], bad: [undefined, null, {}, ...wrong] };
  }
  const choice = /^one of (.+)$/.exec(value);
  if (choice !== null) {
    const good = (choice[1] ?? '').split(', ');
    return { good, bad: [...bad, null, '', 'status', 'Primary'] };
  }
  if (value === 'true or false') return { good: [true, false], bad: [...bad, null, 0, 'true'] };
  if (value === 'true or false, or null') {
    return { good: [true, false, null, undefined], bad: [{}, [], 0, 'true'] };
  }
  throw new Error(`what is "${value}"?`);
}

/** The pattern in a cell that is one. */
function patternIn(value: string): RegExp | null {
  const source = /^`(.+)`(?:, or null)?$/.exec(value)?.[1];
  return source === undefined ? null : new RegExp(`^${source}$`);
}

/** Text that matches, and text that nearly does. */
function nearly(pattern: RegExp): fc.Arbitrary<string> {
  const odd = fc.constantFrom('', ' ', '/', '-', '.', 'A', 'g', '0', '\n', '\0', 'é');
  return fc
    .tuple(fc.stringMatching(pattern), odd, fc.nat(), fc.boolean())
    .map(([good, extra, at, isCut]) => {
      const place = good.length === 0 ? 0 : at % (good.length + 1);
      return good.slice(0, place) + extra + good.slice(isCut ? place + 1 : place);
    });
}

/** The pattern with one of its counts at its least, its most, one below and one beyond. */
function atTheBounds(source: string): RegExp[] {
  return [...source.matchAll(/\{(\d+)(?:,(\d+))?\}/g)].flatMap((count) => {
    const [whole, least = '', most = least] = count;
    const counts = [Number(least), Number(least) - 1, Number(most), Number(most) + 1];
    return counts
      .filter((one) => one >= 0)
      .map((one) => {
        const after = source.slice(count.index + whole.length);
        return new RegExp(`^${source.slice(0, count.index)}{${one}}${after}$`);
      });
  });
}

function holdField(shape: JsonShape, path: string, value: string): void {
  const pattern = patternIn(value);
  if (pattern === null) {
    const { good, bad } = examplesOf(value);
    for (const one of good) {
      expect(accepts(shape, path, one), `${path}: ${String(one).slice(0, 40)}`).toBe(true);
    }
    for (const one of bad) {
      expect(accepts(shape, path, one), `${path}: ${JSON.stringify(one)}`).toBe(false);
    }
    return;
  }
  const mayLack = value.endsWith(', or null');
  for (const one of [undefined, null]) expect(accepts(shape, path, one)).toBe(mayLack);
  for (const one of [1, {}]) expect(accepts(shape, path, one)).toBe(false);
  const bounds = atTheBounds(pattern.source.slice(1, -1)).map((one) => fc.stringMatching(one));
  fc.assert(
    fc.property(fc.oneof(fc.stringMatching(pattern), nearly(pattern), ...bounds), (one) => {
      expect(accepts(shape, path, one)).toBe(pattern.test(one));
    }),
    { numRuns: 300 },
  );
}

const jsonOf = (bytes: Uint8Array) => JSON.parse(Buffer.from(bytes).toString()) as Json;
const bytesOf = (body: Json) => Buffer.from(JSON.stringify(body));
const parseHelloJson = (body: Json) => parseHello(bytesOf(body));

const hellos: Readonly<Record<string, JsonShape>> = {
  primary: { body: jsonOf(encodeHello(helloMessage)), parse: parseHelloJson },
  accepted: {
    body: jsonOf(
      encodeHello({
        ...acceptedMessage,
        pulse: { address: '10.0.0.2', port: 4000, key: 'ab'.repeat(32) },
      }),
    ),
    parse: parseHelloJson,
  },
  refused: {
    body: jsonOf(
      encodeHello({
        kind: 'hello-refused',
        protocol: protocolVersion,
        ...speakerB,
        code: 'locked',
        message: 'a sentence',
        hint: null,
      }),
    ),
    parse: parseHelloJson,
  },
};

describe('HELLO', () => {
  const { rows } = tableOf(text, 'HELLO', 'field', 'in', 'value');
  const sidesOf: Readonly<Record<string, readonly string[]>> = {
    primary: ['both', 'primary'],
    accepted: ['both', 'backup', 'accepted'],
    refused: ['both', 'backup', 'refused'],
  };
  const cases = Object.entries(sidesOf).flatMap(([side, places]) =>
    rows
      .filter(([, place = '']) => places.includes(place))
      .map(([field = '', , value = '']) => ({ side, field, value })),
  );

  it.each(Object.keys(sidesOf))('has these fields and no others: %s', (side) => {
    const said = cases.filter((one) => one.side === side).map(({ field }) => field);
    expect(said.sort()).toEqual([...leavesOf(hellos[side]?.body ?? {})].sort());
  });

  it.each(cases)('$side $field is $value', ({ side, field, value }) => {
    const shape = hellos[side];
    if (shape === undefined) throw new Error(side);
    holdField(shape, field, value);
  });

  it('may lack pulse and stream, or have null there', () => {
    const { body } = hellos['accepted'] as JsonShape;
    for (const none of [null, undefined]) {
      const reply = parseHelloJson({ ...body, pulse: none, stream: none });
      expect(reply).toMatchObject({ kind: 'hello-accepted', pulse: null, stream: null });
    }
  });

  it('names the codecs that there are', () => {
    expect(text).toContain(`Codecs are ${codecNames.map((name) => `\`${name}\``).join(' and ')};`);
  });
});

describe('CONFIG', () => {
  const encoded = encodeConfig({ ...sampleConfig, disks: [sampleDisk] });
  const headBytes = encoded.readUInt32LE(0);
  const inFrame = (head: Buffer) => {
    const prefix = Buffer.alloc(4);
    prefix.writeUInt32LE(head.length);
    return Buffer.concat([prefix, head, Buffer.from('the adapter')]);
  };
  const shape: JsonShape = {
    body: jsonOf(encoded.subarray(4, 4 + headBytes)),
    parse: (body) => parseConfig(inFrame(bytesOf(body))),
  };
  const cases = tableOf(text, 'CONFIG', 'field', 'value').rows.map(([field = '', value = '']) => {
    return { field, value };
  });

  const diskShape: JsonShape = {
    body: { facts: { disks: { 0: { ...sampleDisk } } } },
    parse: (body) => {
      const { disks } = body['facts'] as { disks: Json };
      return shape.parse(changed(shape.body, 'facts.disks', Object.values(disks)));
    },
  };

  it('has these fields and no others in its head', () => {
    const ofDisk = Object.keys(sampleDisk).map((key) => `facts.disks.${key}`);
    const leaves = leavesOf(shape.body).flatMap((leaf) => (leaf === 'facts.disks' ? ofDisk : leaf));
    expect(cases.map(({ field }) => field)).toEqual(leaves);
  });

  it.each(cases)('$field is $value', ({ field, value }) => {
    const isOfDisk = field.startsWith('facts.disks.');
    holdField(isOfDisk ? diskShape : shape, field.replace('facts.disks.', 'facts.disks.0.'), value);
  });

  it('has at most so many disks, of whole sectors', () => {
    const max = numberOf(/facts\.disks are at most (\d+)/.exec(text)?.[1] ?? '');
    const parse = (disks: readonly object[]) =>
      shape.parse(changed(shape.body, 'facts.disks', disks));
    expect(() => parse(new Array(max).fill(sampleDisk))).not.toThrow();
    expect(() => parse(new Array(max + 1).fill(sampleDisk))).toThrow(/facts\.disks/);
    const odd = { ...sampleDisk, sectorBytes: 4096, sizeBytes: 2 ** 30 + 512 };
    expect(() => parse([odd])).toThrow(/sizeBytes is 1073742336, must be whole sectors/);
  });

  it('has a head of at most 64 KiB, then the adapter’s bytes', () => {
    const max = numberOf(/length of the head \(at most (.+?)\)/.exec(text)?.[1] ?? '');
    const head = (bytes: number) => Buffer.from(JSON.stringify(shape.body).padEnd(bytes));
    expect(parseConfig(inFrame(head(max))).config.toString()).toBe('the adapter');
    expect(() => parseConfig(inFrame(head(max + 1)))).toThrow(/field head/);
  });
});

describe('CHECKED', () => {
  const shape: JsonShape = {
    body: jsonOf(encodeChecked(sampleChecked)),
    parse: (body) => parseChecked(bytesOf(body)),
  };
  const cases = tableOf(text, 'CHECKED', 'field', 'value').rows.map(([field = '', value = '']) => {
    return { field, value };
  });
  const line = sampleChecked.lines[0] as CheckLine;
  const lineShape: JsonShape = {
    body: { lines: { 0: { ...line } } },
    parse: (body) => {
      const [first] = Object.values(body['lines'] as Json);
      return parseChecked(bytesOf({ ...shape.body, lines: [first] }));
    },
  };

  it('has these fields and no others', () => {
    const all = [...leavesOf(shape.body), ...Object.keys(line).map((key) => `lines.${key}`)];
    const fields = all.filter((field) => field !== 'lines');
    expect(cases.map(({ field }) => field).sort()).toEqual(fields.sort());
  });

  it.each(cases)('$field is $value', ({ field, value }) => {
    const ofLine = field.startsWith('lines.');
    holdField(ofLine ? lineShape : shape, field.replace('lines.', 'lines.0.'), value);
  });

  it('has at most so many lines', () => {
    const max = numberOf(/at most (\d+) lines/.exec(text)?.[1] ?? '');
    const many = (count: number) => ({ ...shape.body, lines: new Array(count).fill({ ...line }) });
    expect(shape.parse(many(max))).toMatchObject({ kind: 'checked' });
    expect(() => shape.parse(many(max + 1))).toThrow(/field lines/);
  });
});

describe('ERROR', () => {
  const frame = (body: Json) =>
    ({ kind: 'error', sequence: 0, offset: 0, body: bytesOf(body) }) as const;
  const shape: JsonShape = {
    body: jsonOf(encodeBody(samples.error)),
    parse: (body) => decodeMessage(frame(body)),
  };
  const cases = tableOf(text, 'ERROR', 'field', 'value').rows.map(([field = '', value = '']) => {
    return { field, value };
  });

  it('has these fields and no others', () => {
    expect(cases.map(({ field }) => field)).toEqual(leavesOf(shape.body));
  });

  it.each(cases)('$field is $value', ({ field, value }) => holdField(shape, field, value));
});

describe('a batch', () => {
  const { fields, bytes } = layoutOf(tableOf(text, 'The stream in DATA', 'at').rows);
  const at = new Map(fields.map((field) => [field.name, field.at]));
  const place = (name: string) => at.get(name) ?? Number.NaN;

  function header(values: Readonly<Record<string, number>>): Buffer {
    const out = Buffer.alloc(batchHeaderBytes);
    out.write('TSrb', place('magic'), 'latin1');
    out.writeUInt8(1, place('version'));
    for (const { type, name } of fields) {
      const value = values[name];
      if (value === undefined) continue;
      if (type === 'u8') out.writeUInt8(value, place(name));
      else out.writeUInt32LE(value, place(name));
    }
    return out;
  }

  it('has a header that is laid out so', () => {
    expect(bytes).toBe(batchHeaderBytes);
    const values = {
      kind: batchKinds.zstd,
      rawBytes: 3000,
      encodedBytes: 2000,
      payloadBytes: 1000,
    };
    expect(readBatchHeader(header(values))).toEqual(values);
    expect(Object.values(batchKinds)).toEqual([0, 1, 2]);
  });

  it('has these limits', () => {
    const most = /^1 to (.+)$/.exec(fields.find(({ name }) => name === 'rawBytes')?.what ?? '');
    expect(numberOf(most?.[1] ?? '')).toBe(batchBytesMax);
    expect(text).toContain('at most rawBytes + rawBytes / 512 + 64 |');
    expect(encodedBytesMax(1024)).toBe(1024 + 1024 / 512 + 64);
    const sizes = { kind: 0, rawBytes: 1024, encodedBytes: 1090, payloadBytes: 1090 };
    expect(readBatchHeader(header(sizes))).toEqual(sizes);
    for (const [name, value] of [
      ['rawBytes', 0],
      ['rawBytes', batchBytesMax + 1],
      ['encodedBytes', 1091],
      ['payloadBytes', 1091],
    ] as const) {
      expect(() => readBatchHeader(header({ ...sizes, [name]: value })), name).toThrow(/a batch/);
    }
  });
});

describe('an epoch', () => {
  it('may be as large as in the example', () => {
    const [row = []] = tableOf(text, 'The stream in DATA', 'memoryBytes').rows;
    const [memoryBytes = 0, ...sizes] = row.map(numberOf);
    const raw = epochLimits(memoryBytes);
    const wire = wireLimits(raw);
    const { epochBytesMax, seedBytesMax } = raw;
    expect(sizes).toEqual([epochBytesMax, seedBytesMax, wire.epochBytesMax, wire.seedBytesMax]);
  });
});

describe('a datagram of the pulse', () => {
  it('is laid out so', () => {
    const { fields, bytes } = layoutOf(tableOf(text, 'Signs of life, and credit', 'at').rows);
    const session = Buffer.from('0123456789abcdef');
    const key = Buffer.alloc(32, 7);
    for (const [kind, number] of [
      ['heartbeat', 1],
      ['echo', 2],
    ] as const) {
      const datagram = encodePulse(
        { kind, seq: 2 ** 40 + 1, heldMs: 2 ** 40 + 2 },
        { session, key },
      );
      expect(datagram.length).toBe(bytes);
      expect(text).toContain(`one datagram is ${bytes} bytes`);
      expect(text).toContain(`${number} ${kind}`);
      const expected: Readonly<Record<string, unknown>> = {
        magic: Buffer.from('tsrp'),
        version: 2,
        kind: number,
        reserved: 0,
        session,
        seq: 2n ** 40n + 1n,
        heldMs: 2n ** 40n + 2n,
        mac: datagram.subarray(40),
      };
      expect(fields.map(({ name }) => name)).toEqual(Object.keys(expected));
      for (const { at, type, name } of fields) {
        expect(fieldOf(datagram, at, type), name).toEqual(expected[name]);
      }
    }
  });
});

describe('an answer', () => {
  it('has these numbers', () => {
    const rows = tableOf(text, 'Permission', 'kind', 'answer').rows;
    const known = rows.map(([number, kind]) => [Number(number), kind]);
    const answers = [
      { kind: 'promised' },
      { kind: 'activating' },
      { kind: 'running' },
      { kind: 'ended' },
      { kind: 'absent' },
      { kind: 'unknown' },
    ] as const;
    const written = answers.map((answer) => {
      const body = encodeBody({ kind: 'answer', id: 1, answer });
      return [body.readUInt8(4), answer.kind];
    });
    expect(known).toEqual(written);
    const beyond = Buffer.from([1, 0, 0, 0, answers.length]);
    const frame = { kind: 'answer', sequence: 0, offset: 0, body: beyond } as const;
    expect(() => decodeMessage(frame)).toThrow(/unknown/);
  });
});

/** The value of `NAME = 4 * 1024;` or `NAME: 4 * 1024,` in a source. */
function constantIn(path: string, name: string): number {
  const found = [...read(path).matchAll(new RegExp(`\\b${name}(?: =|:) ([\\d_* ]+)[;,]`, 'g'))];
  expect(found.length, `${name} in ${path}`).toBe(1);
  const factors = (found[0]?.[1] ?? '').split('*');
  return factors.reduce((product, one) => product * Number(one.replaceAll('_', '')), 1);
}

describe('limits and times', () => {
  const { rows } = tableOf(text, 'Limits and times');

  it.each(rows)('%s: %s', (_what, value = '', where = '') => {
    const [, path = '', name = ''] = /^`(.+)` (\w+)$/.exec(where) ?? [];
    expect(constantIn(path, name)).toBe(numberOf(value));
  });
});

describe('a frame that the text speaks of', () => {
  it('is one, and every one is spoken of beyond its table', () => {
    const prose = text.split('\n').filter((line) => !line.startsWith('|'));
    const names = frameTypes.map(({ kind }) => nameOf(kind));
    for (const name of names) expect(prose.join('\n')).toMatch(new RegExp(`\\b${name}\\b`));
    const inFigures = prose.filter((line) => line.startsWith('      |')).join('\n');
    const drawn = [...inFigures.matchAll(/\b[A-Z]+(?:_[A-Z]+)*\b/g)].map(([name]) => name);
    expect(drawn.length).toBeGreaterThan(10);
    for (const name of drawn) expect(names, name).toContain(name);
  });
});
