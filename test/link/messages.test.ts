import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Answer, DiskFacts } from '../../src/core/vocabulary.ts';
import { encodeFrame, type Frame, type FrameKind } from '../../src/link/frame.ts';
import { FrameDecoder } from '../../src/link/frame-decoder.ts';
import {
  decodeMessage,
  encodeBody,
  frameKindOf,
  type Message,
  peerError,
} from '../../src/link/messages.ts';
import {
  acceptedMessage,
  helloMessage,
  operationError,
  sampleChecked,
  speakerB,
} from './support.ts';

/** Through the wire and back. */
function roundTrip(message: Message): Message {
  const tail = message.kind === 'data' || message.kind === 'disk' ? message.chunk : undefined;
  const head = encodeFrame(frameKindOf(message), 0, encodeBody(message), tail);
  const decoder = new FrameDecoder();
  decoder.push(tail === undefined ? head : Buffer.concat([head, tail]));
  const frame = decoder.next();
  if (frame === null) throw new Error('no frame');
  return decodeMessage(frame);
}

function frame(kind: FrameKind, body: Buffer | string): Frame {
  return { kind, sequence: 0, body: Buffer.from(body), offset: 40 };
}

/** A CONFIG with this head and no bytes of an adapter's. */
function configBody(head: string | Buffer): Buffer {
  const bytes = Buffer.from(head as string);
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32LE(bytes.length);
  return Buffer.concat([prefix, bytes]);
}

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const u64 = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const line = fc.string({ unit: fc.constantFrom(...'abc xyz:._-é€'), maxLength: 100 });
const anyAnswer: fc.Arbitrary<Answer> = fc
  .constantFrom(...(['promised', 'activating', 'running', 'ended', 'absent', 'unknown'] as const))
  .map((kind) => ({ kind }));
const anyDisk: fc.Arbitrary<DiskFacts> = fc.record({
  name: fc.constantFrom('xvda', 'sdb1', '51712'),
  sizeBytes: fc.integer({ min: 1, max: 2 ** 30 }).map((sectors) => sectors * 4096),
  sectorBytes: fc.constantFrom(512, 4096),
  generation: u64,
});
const anyMessage: fc.Arbitrary<Message> = fc.oneof(
  fc.constant<Message>(helloMessage),
  fc.constant<Message>(acceptedMessage),
  fc.record({
    kind: fc.constant('config' as const),
    hypervisor: fc.constant('xen'),
    name: fc.constant('web1'),
    uuid: fc.constant(helloMessage.uuid),
    memoryBytes: u64.map((value) => value % 2 ** 46),
    disks: fc.array(anyDisk, { maxLength: 3 }),
    config: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  }),
  fc.record({
    kind: fc.constant('data' as const),
    epoch: u32,
    chunk: fc.uint8Array({ minLength: 1, maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  }),
  fc.record({
    kind: fc.constant('disk' as const),
    epoch: u32,
    disk: fc.integer({ min: 0, max: 255 }),
    chunk: fc.uint8Array({ minLength: 1, maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  }),
  fc.record({
    kind: fc.constant('disk-end' as const),
    epoch: u32,
    disk: fc.integer({ min: 0, max: 255 }),
    bytes: u64,
    digest: fc.record({ rawBytes: u64, checksum: fc.bigInt(0n, 2n ** 64n - 1n) }),
  }),
  fc.record({
    kind: fc.constant('compare' as const),
    disk: fc.integer({ min: 0, max: 255 }),
    first: u64,
    count: u32,
  }),
  fc.record({
    kind: fc.constant('digests' as const),
    disk: fc.integer({ min: 0, max: 255 }),
    first: u64,
    digests: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  }),
  fc.record({
    kind: fc.constant('epoch-end' as const),
    epoch: u32,
    bytes: u64,
    pages: u64,
    digest: fc.record({
      rawBytes: u64,
      checksum: fc.bigInt(0n, 2n ** 64n - 1n),
      cacheState: fc.bigInt(0n, 2n ** 64n - 1n),
    }),
  }),
  fc.record({ kind: fc.constantFrom('ack' as const, 'activated' as const), epoch: u32 }),
  fc.record({ kind: fc.constant('heartbeat' as const), seq: u64, heldMs: u64 }),
  fc.record({ kind: fc.constant('echo' as const), seq: u64 }),
  fc.record({ kind: fc.constant('credit' as const), bytes: u64 }),
  fc.record({ kind: fc.constant('ask' as const), id: u32 }),
  fc.record({ kind: fc.constant('answer' as const), id: u32, answer: anyAnswer }),
  fc.record({ kind: fc.constantFrom('copy-lost' as const, 'goodbye' as const), reason: line }),
  fc.record({ kind: fc.constantFrom('leaving' as const, 'degraded' as const), reason: line }),
  fc.constant<Message>(sampleChecked),
  fc.record({
    kind: fc.constant('error' as const),
    code: fc.constantFrom('protocol', 'disk-full', 'something-new'),
    text: line,
    hint: fc.option(line),
  }),
);

describe('messages', () => {
  it('come out as they went in', () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        expect(roundTrip(message)).toEqual(message);
      }),
      { numRuns: 1000 },
    );
  });

  it('any body of an allowed length is a message or a protocol error', () => {
    const kinds: readonly FrameKind[] = ['hello', 'config', 'answer', 'goodbye', 'error', 'credit'];
    const lengths: Partial<Record<FrameKind, number>> = { answer: 6, credit: 8 };
    fc.assert(
      fc.property(
        fc.constantFrom(...kinds),
        fc.uint8Array({ minLength: 8, maxLength: 80 }),
        (kind, body) => {
          const bytes = Buffer.from(body).subarray(0, lengths[kind]);
          try {
            decodeMessage(frame(kind, bytes));
          } catch (error) {
            expect(error).toMatchObject({ name: 'OperationError', code: 'protocol' });
          }
        },
      ),
    );
  });

  it('texts are cut and cleaned on their way', () => {
    const reason = `bad\u001b[31m\nnews ${'é'.repeat(2000)}`;
    const goodbye = roundTrip({ kind: 'goodbye', reason });
    if (goodbye.kind !== 'goodbye') throw new Error(goodbye.kind);
    expect(goodbye.reason).toMatch(/^bad \[31m news é+\.\.\.$/);
    expect(Buffer.byteLength(goodbye.reason)).toBeLessThanOrEqual(1024);
  });

  it('a text that a peer did not clean is cleaned here', () => {
    expect(decodeMessage(frame('goodbye', '\u001b]0;x\u0007'))).toEqual({
      kind: 'goodbye',
      reason: ' ]0;x ',
    });
  });
});

describe('wrong bodies', () => {
  it.each<[string, Frame, RegExp]>([
    [
      'u64 above 2^53',
      frame('heartbeat', Buffer.alloc(16, 255)),
      /field seq is 18446744073709551615/,
    ],
    ['answer kind', frame('answer', Buffer.from([0, 0, 0, 0, 9])), /field kind is 9, unknown/],
    ['config no JSON', frame('config', configBody('{')), /CONFIG: the body is not JSON/],
    [
      'config no object',
      frame('config', configBody('[1]')),
      /CONFIG: field \(all\) is \[1\], must be an object/,
    ],
    [
      'config no UTF-8',
      frame('config', configBody(Buffer.from([0x22, 0xff, 0x22]))),
      /not JSON in UTF-8/,
    ],
    ['config cut', frame('config', configBody('{}').subarray(0, 5)), /CONFIG: field head is 2/],
    [
      'config of a later version',
      frame('config', configBody('{"version":2}')),
      /CONFIG: field version is 2/,
    ],
    [
      'config of no guest',
      frame('config', configBody('{"version":1,"hypervisor":"xen","facts":{"name":"../x"}}')),
      /CONFIG: field facts.name is "..\/x"/,
    ],
    ['error code', frame('error', '{"code":"No Code","text":"x"}'), /field code is "No Code"/],
    ['error text', frame('error', '{"code":"x","text":"a\\nb"}'), /field text is/],
  ])('%s', async (_what, wrong, text) => {
    const error = await operationError(() => decodeMessage(wrong));
    expect(error.code).toBe('protocol');
    expect(error.message).toMatch(text);
  });
});

describe('peerError', () => {
  it('keeps a code that we know too', () => {
    const error = peerError('host-b', { code: 'disk-full', text: 'no space', hint: 'df' });
    expect(error.code).toBe('disk-full');
    expect(error.message).toBe('host-b says: no space');
    expect(error.hint).toBe('# on the other host: df');
  });

  it('makes peer-refused of any other', () => {
    const error = peerError('host-b', { code: 'too-new', text: 'no', hint: null });
    expect(error.code).toBe('peer-refused');
  });

  it('carries a refusal over the wire', () => {
    const refused: Message = {
      kind: 'hello-refused',
      protocol: 1,
      ...speakerB,
      code: 'locked',
      message: 'web1 is being received already\n',
      hint: null,
    };
    expect(roundTrip(refused)).toEqual({ ...refused, message: 'web1 is being received already ' });
  });
});
