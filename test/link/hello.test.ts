import { describe, expect, it } from 'vitest';
import { systemTimers as timers } from '../../src/host/clock.ts';
import { encodeFrame, protocolVersion } from '../../src/link/frame.ts';
import { greetBackup, greetPrimary } from '../../src/link/hello.ts';
import { encodeHello } from '../../src/link/hello-message.ts';
import {
  acceptedMessage,
  Heard,
  helloMessage,
  linkPair,
  ManualTime,
  operationError,
  sampleHello,
  speakerB,
} from './support.ts';

const stream = { codec: 'none', cacheBytes: 0 };
const { features } = acceptedMessage;
const accept = () => ({ accept: true as const, pulse: null, stream, features, checks: true });

describe('HELLO', () => {
  it('opens the link when the backup accepts', async () => {
    const { primary, backup } = linkPair();
    const [reply, hello] = await Promise.all([
      greetBackup(primary, 'host-b', sampleHello, { timers }),
      greetPrimary(backup, speakerB, accept, { timers }),
    ]);
    expect(reply).toEqual(acceptedMessage);
    expect(hello).toEqual(helloMessage);
    const heard = new Heard(backup);
    primary.send({ kind: 'ask', id: 5 });
    await heard.untilKind('ask');
    primary.destroy('done');
    backup.destroy('done');
  });

  it('gives the primary the refusal of the backup', async () => {
    const { primary, backup } = linkPair();
    const decide = () => ({
      accept: false as const,
      code: 'already-protected',
      message: 'web1 is being received already',
      hint: 'tsremus status web1',
    });
    const [onPrimary, onBackup] = await Promise.all([
      operationError(() => greetBackup(primary, 'host-b', sampleHello, { timers })),
      operationError(() => greetPrimary(backup, speakerB, decide, { timers })),
    ]);
    expect(onPrimary.code).toBe('already-protected');
    expect(onPrimary.message).toBe('host-b says: web1 is being received already');
    // A line for the host that says it; here nobody knows the way there.
    expect(onPrimary.hint).toBe('# on the other host: tsremus status web1');
    expect(onBackup.hint).toBe('tsremus status web1');
    expect(onBackup.code).toBe('already-protected');
    primary.destroy('done');
  });

  it.each(['primary', 'backup'] as const)('a %s refuses another version', async (role) => {
    const { primary, backup, toBackup, toPrimary } = linkPair();
    const body = encodeHello(role === 'backup' ? helloMessage : acceptedMessage);
    const frame = encodeFrame('hello', 0, body);
    frame.writeUInt16LE(7, 4);
    (role === 'backup' ? toBackup : toPrimary).write(frame);
    const error = await operationError(() =>
      role === 'backup'
        ? greetPrimary(backup, speakerB, accept, { timers })
        : greetBackup(primary, 'host-b', sampleHello, { timers }),
    );
    expect(error.code).toBe('version-mismatch');
    expect(error.message).toBe(
      `the peer speaks protocol 7, this tsremus speaks protocol ${protocolVersion}`,
    );
    expect(error.hint).toContain('install');
    primary.destroy('done');
    backup.destroy('done');
  });

  it('refuses a HELLO whose body names another version than its frame', async () => {
    const { backup, toBackup } = linkPair();
    toBackup.write(
      encodeFrame('hello', 0, encodeHello({ ...helloMessage, protocol: protocolVersion + 1 })),
    );
    const error = await operationError(() => greetPrimary(backup, speakerB, accept, { timers }));
    expect(error.code).toBe('version-mismatch');
    backup.destroy('done');
  });

  it('tells the primary what is wrong with its HELLO', async () => {
    const { primary, backup } = linkPair();
    const wrong = { ...sampleHello, domain: '../etc' };
    const [onPrimary, onBackup] = await Promise.all([
      operationError(() => greetBackup(primary, 'host-b', wrong, { timers })),
      operationError(() => greetPrimary(backup, speakerB, accept, { timers })),
    ]);
    expect(onBackup.message).toContain('field domain is "../etc"');
    expect(onPrimary.message).toBe(`host-b says: ${onBackup.message}`);
    primary.destroy('done');
    backup.destroy('done');
  });

  it('does not wait for ever', async () => {
    const time = new ManualTime();
    const { primary } = linkPair({ timers: time, clock: time });
    const error = operationError(() =>
      greetBackup(primary, 'host-b', sampleHello, { timers: time, timeoutMs: 5000 }),
    );
    time.advance(5000);
    expect((await error).message).toBe('cannot reach host-b: no answer within 5000 ms');
    expect((await error).code).toBe('peer-unreachable');
  });

  it('ends when it is aborted, at once and later', async () => {
    const { primary } = linkPair();
    const controller = new AbortController();
    const options = { timers, signal: controller.signal };
    const error = operationError(() => greetBackup(primary, 'host-b', sampleHello, options));
    controller.abort();
    expect((await error).code).toBe('aborted');
    const again = await operationError(() => greetPrimary(primary, speakerB, accept, options));
    expect(again.code).toBe('aborted');
    primary.destroy('done');
  });

  it('reports a link that ended instead', async () => {
    const { primary, toPrimary } = linkPair();
    toPrimary.end();
    const error = await operationError(() =>
      greetBackup(primary, 'host-b', sampleHello, { timers }),
    );
    expect(error.message).toBe('cannot reach host-b: the other side ended the link');
  });
});
