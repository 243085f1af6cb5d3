import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { systemClock, systemTimers } from '../../src/host/clock.ts';
import { OperationError } from '../../src/host/errors.ts';
import { encodeFrame } from '../../src/link/frame.ts';
import { Link } from '../../src/link/link.ts';
import { encodeBody, frameKindOf, type Message } from '../../src/link/messages.ts';
import {
  acceptedMessage,
  greetedPair,
  Heard,
  helloMessage,
  linkPair,
  ManualTime,
  sampleConfig,
  sampleDigest,
} from './support.ts';

const kib = 1024;

/** A peer that speaks in raw frames, for what no correct peer says. */
function rawPeer(role: 'primary' | 'backup', options = {}) {
  const input = new PassThrough();
  const output = new PassThrough();
  const link = new Link(input, output, {
    role,
    clock: systemClock,
    timers: systemTimers,
    ...options,
  });
  let sequence = 0;
  return {
    link,
    input,
    output,
    say(message: Message): void {
      const isData = message.kind === 'data' || message.kind === 'disk';
      const tail = isData ? message.chunk : undefined;
      input.write(encodeFrame(frameKindOf(message), sequence, encodeBody(message), tail));
      if (tail !== undefined) input.write(tail);
      sequence += 1;
    },
  };
}

// Proves: what comes while nobody listens waits, and so does the end behind it, although Node
// resumes the output of a process that has exited.
it.each([1, 3])('a link that nobody listens to keeps %d chunks and the end', async (chunks) => {
  const { link, input } = rawPeer('primary');
  const parts: readonly Message[] = [acceptedMessage, { kind: 'ack', epoch: 0 }];
  const frames = parts.map((message, sequence) =>
    encodeFrame(frameKindOf(message), sequence, encodeBody(message)),
  );
  const all = Buffer.concat(frames);
  const size = Math.ceil(all.length / chunks);
  for (let at = 0; at < all.length; at += size) input.write(all.subarray(at, at + size));
  input.end();
  input.resume();
  await new Promise((resolve) => setImmediate(resolve));
  expect(link.closed).toBeNull();
  const heard = new Heard(link);
  await heard.untilClosed();
  expect(heard.kinds).toEqual(['hello-accepted', 'ack']);
  expect(heard.closes[0]?.reason).toBe('the other side ended the link');
});

describe('a link', () => {
  it('carries messages in order, both ways', async () => {
    const { primary, backup } = greetedPair();
    const onPrimary = new Heard(primary);
    const onBackup = new Heard(backup);
    await primary.sendConfig(sampleConfig);
    await primary.sendData(0, Buffer.from('seed'));
    await primary.endEpoch(0, 1, sampleDigest);
    primary.send({ kind: 'heartbeat', seq: 1, heldMs: 0 });
    backup.send({ kind: 'ack', epoch: 0 });
    backup.send({ kind: 'echo', seq: 1 });
    await onBackup.untilKind('heartbeat');
    await onPrimary.untilKind('echo');
    expect(onBackup.kinds).toEqual(['hello', 'config', 'epoch-end', 'heartbeat']);
    expect(onPrimary.kinds).toEqual(['hello-accepted', 'ack', 'echo']);
    expect(onBackup.dataBytes).toBe(4);
    expect(primary.counters.bytesSent).toBe(backup.counters.bytesReceived);
    expect(onBackup.bytes).toBe(backup.counters.bytesReceived);
    primary.destroy('done');
    backup.destroy('done');
  });

  it('counts the bytes of an epoch, and hands its digest on', async () => {
    const { primary, backup } = greetedPair({ chunkBytes: 1000 });
    const heard = new Heard(backup);
    new Heard(primary);
    await primary.sendData(3, Buffer.alloc(2500, 'x'));
    await primary.sendData(3, Buffer.alloc(0));
    await primary.sendData(3, Buffer.alloc(7, 'y'));
    await primary.endEpoch(3, 12, sampleDigest);
    await heard.untilKind('epoch-end');
    expect(heard.messages.at(-1)).toEqual({
      kind: 'epoch-end',
      epoch: 3,
      bytes: 2507,
      pages: 12,
      digest: sampleDigest,
    });
    expect(backup.counters.framesReceived).toBe(1 + 4 + 1);
    primary.destroy('done');
  });

  it('counts the bytes of each disk of an epoch', async () => {
    const { primary, backup } = greetedPair({ chunkBytes: 1000 });
    const heard = new Heard(backup);
    new Heard(primary);
    const digest = { rawBytes: 8, checksum: 2n ** 63n };
    const data = (bytes: number) => Buffer.alloc(bytes, 'x');
    await Promise.all([
      primary.sendDisk(3, 1, data(2500)),
      primary.sendData(3, data(10)),
      primary.sendDisk(3, 0, data(20)),
      primary.sendDisk(3, 1, data(30)),
      primary.endDisk(3, 1, digest),
      primary.endDisk(3, 0, digest),
      primary.endEpoch(3, 1, sampleDigest),
      // The next epoch begins anew.
      primary.endDisk(4, 1, digest),
    ]);
    await heard.until(({ kinds }) => kinds.length === 5);
    expect(heard.messages.slice(1)).toEqual([
      { kind: 'disk-end', epoch: 3, disk: 1, bytes: 2530, digest },
      { kind: 'disk-end', epoch: 3, disk: 0, bytes: 20, digest },
      { kind: 'epoch-end', epoch: 3, bytes: 10, pages: 1, digest: sampleDigest },
      { kind: 'disk-end', epoch: 4, disk: 1, bytes: 0, digest },
    ]);
    primary.destroy('done');
  });

  it('sends no more of a disk than the window either', async () => {
    const { primary, backup } = greetedPair();
    new Heard(primary);
    const heard = new Heard(backup, false);
    const sent = primary.sendDisk(0, 0, Buffer.alloc(4 * 1024 * kib));
    const more = primary.sendData(0, Buffer.alloc(4 * 1024 * kib));
    await heard.until(({ dataBytes }) => dataBytes >= 1024 * kib);
    primary.send({ kind: 'heartbeat', seq: 1, heldMs: 0 });
    await heard.untilKind('heartbeat');
    expect(heard.dataBytes).toBe(1024 * kib);
    expect(backup.counters.dataBytesReceived).toBe(1024 * kib);
    primary.destroy('enough');
    expect([await sent, await more]).toEqual([false, false]);
  });

  it('lets a heartbeat overtake all data that is queued', async () => {
    const { primary, backup } = greetedPair();
    new Heard(primary);
    const heard = new Heard(backup);
    const sent = primary.sendData(0, Buffer.alloc(32 * 1024 * kib));
    primary.send({ kind: 'heartbeat', seq: 9, heldMs: 0 });
    await heard.untilKind('heartbeat');
    expect(heard.dataBefore.at(-1)).toBeLessThanOrEqual(256 * kib);
    expect(await sent).toBe(true);
    primary.destroy('done');
  });

  it('sends no more data than the window while nothing is consumed, but heartbeats', async () => {
    const { primary, backup } = greetedPair();
    new Heard(primary);
    const heard = new Heard(backup, false);
    const sent = primary.sendData(0, Buffer.alloc(4 * 1024 * kib));
    await heard.until(({ dataBytes }) => dataBytes >= 1024 * kib);
    primary.send({ kind: 'heartbeat', seq: 1, heldMs: 0 });
    await heard.untilKind('heartbeat');
    expect(heard.dataBytes).toBe(1024 * kib);
    expect(primary.counters.inFlightBytes).toBe(1024 * kib);
    backup.consumed(512 * kib);
    await heard.until(({ dataBytes }) => dataBytes >= 1536 * kib);
    primary.destroy('enough');
    expect(await sent).toBe(false);
  });

  it('replaces a queued heartbeat by a newer one', async () => {
    const { primary, backup } = greetedPair();
    new Heard(primary);
    // The backup does not read yet: the first write waits in the stream, the rest in the queue.
    for (let seq = 1; seq <= 5000; seq++) primary.send({ kind: 'heartbeat', seq, heldMs: 0 });
    const heard = new Heard(backup);
    const last = (message: Message) => message.kind === 'heartbeat' && message.seq === 5000;
    await heard.until(({ messages }) => messages.some(last));
    expect(heard.kinds).toEqual(['hello', 'heartbeat']);
    primary.destroy('done');
  });

  it('gives up on a transport that takes nothing', () => {
    const { primary } = linkPair();
    const heard = new Heard(primary);
    for (let id = 0; id < 5000 && primary.closed === null; id++) primary.send({ kind: 'ask', id });
    expect(heard.closes).toEqual([
      { kind: 'reset', reason: 'the transport takes no bytes', error: null },
    ]);
    primary.destroy('done');
  });

  it('loses nothing between two listeners', async () => {
    const { primary, backup } = greetedPair();
    new Heard(primary);
    const first: Message[] = [];
    await new Promise<void>((resolve) => {
      backup.listen({
        message(message) {
          first.push(message);
          backup.listen(null);
          resolve();
        },
        close() {},
      });
      for (let seq = 0; seq < 3; seq++) primary.send({ kind: 'ask', id: seq });
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(first.map(({ kind }) => kind)).toEqual(['hello']);
    const heard = new Heard(backup);
    await heard.until(({ messages }) => messages.length === 3);
    expect(heard.messages.map((message) => message.kind === 'ask' && message.id)).toEqual([
      0, 1, 2,
    ]);
    primary.destroy('done');
  });
});

describe('the end of a link', () => {
  it('is a goodbye on one side and an end of file on the other, each told once', async () => {
    const { primary, backup } = greetedPair();
    const onPrimary = new Heard(primary);
    const onBackup = new Heard(backup);
    await onBackup.untilKind('hello');
    await primary.close('stopped');
    await onBackup.untilClosed();
    expect(onBackup.messages.at(-1)).toEqual({ kind: 'goodbye', reason: 'stopped' });
    expect(onBackup.closes).toEqual([
      { kind: 'eof', reason: 'the other side ended the link', error: null },
    ]);
    expect(onPrimary.closes).toEqual([{ kind: 'local', reason: 'stopped', error: null }]);
    expect(primary.send({ kind: 'ask', id: 1 })).toBe(false);
    expect(await primary.sendData(0, Buffer.from('late'))).toBe(false);
    await primary.close('again');
    expect(onPrimary.closes.length).toBe(1);
  });

  // Proves: whoever has ended hears why the other one did, though no listener hears anything more.
  it.each(['goodbye', 'error'] as const)('keeps what a %s says that comes later', async (kind) => {
    const { link, input, say } = rawPeer('backup');
    const heard = new Heard(link);
    say(helloMessage);
    await heard.untilKind('hello');
    const closed = link.close('the session is over');
    say({ kind: 'ask', id: 1 });
    const reason = 'the checkpoints ended';
    say(
      kind === 'goodbye'
        ? { kind, reason }
        : { kind, code: 'hypervisor', text: reason, hint: null },
    );
    input.end();
    await closed;
    expect(link.farewell).toBe(reason);
    expect(heard.kinds).toEqual(['hello']);
  });

  // Proves: so where it came in one piece with what made us end.
  it('keeps what a goodbye says that has come behind the last message', async () => {
    const { link, input } = rawPeer('backup');
    const said: readonly Message[] = [helloMessage, { kind: 'goodbye', reason: 'it failed' }];
    const frames = said.map((message, sequence) =>
      encodeFrame(frameKindOf(message), sequence, encodeBody(message)),
    );
    link.listen({ message: () => void link.close('refused'), close: () => {} });
    input.end(Buffer.concat(frames));
    await link.close('refused');
    expect(link.farewell).toBe('it failed');
  });

  // Proves: what is no frame is nobody's affair then.
  it('takes damage that comes after its own end for silence', async () => {
    const { link, input } = rawPeer('backup');
    new Heard(link);
    const closed = link.close('the session is over');
    input.end(Buffer.from('Connection closed by foreign host'));
    await closed;
    expect(link.farewell).toBe('');
  });

  it('lets messages that still wait go out before the goodbye, but no data', async () => {
    const { primary, backup } = greetedPair();
    const heard = new Heard(backup);
    new Heard(primary);
    const sent = primary.sendData(0, Buffer.alloc(4 * 1024 * kib));
    primary.send({ kind: 'ask', id: 1 });
    primary.send({ kind: 'ask', id: 2 });
    await Promise.all([primary.close('stopped'), heard.untilClosed()]);
    expect(heard.kinds).toEqual(['hello', 'ask', 'ask', 'goodbye']);
    expect(await sent).toBe(false);
    expect(heard.closes[0]?.reason).toBe('the other side ended the link');
  });

  it('delivers everything that came before the end of file', async () => {
    const { link, input, say } = rawPeer('primary');
    const heard = new Heard(link);
    say(acceptedMessage);
    say({ kind: 'ack', epoch: 1 });
    say({ kind: 'copy-lost', reason: 'no memory' });
    input.end();
    await heard.untilClosed();
    expect(heard.kinds).toEqual(['hello-accepted', 'ack', 'copy-lost']);
    expect(heard.closes[0]?.kind).toBe('eof');
  });

  it('says so when it ends within a frame', async () => {
    const { link, input, say } = rawPeer('primary');
    const heard = new Heard(link);
    say(acceptedMessage);
    input.end('tsrm');
    await heard.untilClosed();
    expect(heard.closes[0]?.reason).toBe('the link ended within a frame');
  });

  it('is a reset when a stream fails', async () => {
    const { link, input } = rawPeer('primary');
    const heard = new Heard(link);
    const error = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
    input.destroy(error);
    await heard.untilClosed();
    expect(heard.closes).toEqual([
      { kind: 'reset', reason: 'the link was lost: connection reset', error: null },
    ]);
  });

  it('awaits the last words of a peer that reads no more', async () => {
    const time = new ManualTime();
    const { link, input, output, say } = rawPeer('primary', { clock: time, timers: time });
    const heard = new Heard(link);
    say(acceptedMessage);
    output.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    await heard.untilKind('hello-accepted');
    say({ kind: 'copy-lost', reason: 'no memory' });
    input.end();
    await heard.untilClosed();
    expect(heard.kinds).toEqual(['hello-accepted', 'copy-lost']);
  });

  it('does not await them for ever', async () => {
    const time = new ManualTime();
    const { link, output } = rawPeer('primary', { clock: time, timers: time });
    const heard = new Heard(link);
    output.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    await new Promise((resolve) => setImmediate(resolve));
    expect(heard.closes).toEqual([]);
    time.advance(1000);
    expect(heard.closes[0]?.reason).toBe(
      'the link was lost: the other side does not read any more',
    );
  });

  it('ends a closed link whose peer never ends its half', async () => {
    const time = new ManualTime();
    const { link, input } = rawPeer('primary', { clock: time, timers: time });
    new Heard(link);
    const closed = link.close('stopped');
    expect(input.destroyed).toBe(false);
    time.advance(1000);
    await closed;
    expect(input.destroyed).toBe(true);
  });

  it('keeps a close that came while nobody listened', async () => {
    const { link, input, say } = rawPeer('primary');
    say(acceptedMessage);
    input.end();
    link.destroy('changed my mind');
    const heard = new Heard(link);
    expect(heard.closes).toEqual([{ kind: 'local', reason: 'changed my mind', error: null }]);
  });
});

describe('what a peer must not do', () => {
  const cases: readonly [string, 'primary' | 'backup', readonly Message[], RegExp][] = [
    [
      'begin without HELLO',
      'backup',
      [{ kind: 'heartbeat', seq: 1, heldMs: 0 }],
      /first frame must be HELLO/,
    ],
    [
      'say HELLO twice',
      'backup',
      [helloMessage, helloMessage],
      /only the first frame may be HELLO/,
    ],
    [
      'say what is not its to say',
      'backup',
      [helloMessage, { kind: 'ack', epoch: 1 }],
      /is ack, not for the backup/,
    ],
    [
      'send a primary what only a backup takes',
      'primary',
      [acceptedMessage, { kind: 'heartbeat', seq: 1, heldMs: 0 }],
      /not for the primary/,
    ],
    [
      'credit what was not sent',
      'primary',
      [acceptedMessage, { kind: 'credit', bytes: 1 }],
      /field bytes is 1, must be from 0 to 0/,
    ],
    [
      'send without credit',
      'backup',
      [helloMessage, { kind: 'data', epoch: 0, chunk: Buffer.alloc(65 * kib) }],
      /66560 bytes of data without credit, limit 65536/,
    ],
    [
      'send of a disk without credit',
      'backup',
      [helloMessage, { kind: 'disk', epoch: 0, disk: 0, chunk: Buffer.alloc(65 * kib) }],
      /66560 bytes of data without credit, limit 65536/,
    ],
  ];

  it.each(cases)('%s', async (_what, role, messages, text) => {
    const { link, output, say } = rawPeer(role, { unconsumedBytesMax: 64 * kib });
    const heard = new Heard(link, false);
    for (const message of messages) say(message);
    await heard.untilClosed();
    expect(heard.closes.length).toBe(1);
    expect(heard.closes[0]?.kind).toBe('protocol');
    expect(heard.closes[0]?.error?.code).toBe('protocol');
    expect(heard.closes[0]?.reason).toMatch(text);
    // The peer is told why.
    expect((output.read() as Buffer).toString('latin1')).toContain('"code":"protocol"');
    link.destroy('done');
  });

  it('takes an OperationError of the listener for the peer being wrong', async () => {
    const { link, say } = rawPeer('backup');
    const closed = new Promise<string>((resolve) => {
      link.listen({
        message() {
          throw new OperationError('limit', 'epoch 3 is too large', { op: 'test' });
        },
        close: ({ reason }) => resolve(reason),
      });
    });
    say(helloMessage);
    expect(await closed).toBe('epoch 3 is too large');
    link.destroy('done');
  });
});
