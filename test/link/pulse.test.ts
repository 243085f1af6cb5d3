import { createSocket, type Socket } from 'node:dgram';
import { afterEach, describe, expect, it } from 'vitest';
import { systemChance as chance } from '../../src/host/clock.ts';
import { type Log, silentLog } from '../../src/host/log.ts';
import type { PulseOffer } from '../../src/link/hello-message.ts';
import {
  addressFromEnvironment,
  followPulse,
  offerPulse,
  type Pulse,
} from '../../src/link/pulse.ts';
import { encodePulse, type PulseSecret } from '../../src/link/pulse-datagram.ts';

const session = '0123456789abcdef0123456789abcdef';
const open: { close(): void }[] = [];
afterEach(() => {
  for (const entry of open.splice(0)) entry.close();
});

/** Numbers heard by one end, to be awaited. */
class Numbers {
  readonly all: number[] = [];
  #wake = () => {};

  readonly onHeard = (seq: number) => {
    this.all.push(seq);
    this.#wake();
  };

  async until(seq: number): Promise<void> {
    while (!this.all.includes(seq)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** A log that keeps its lines. */
function keepingLog(): { readonly log: Log; readonly lines: string[] } {
  const lines: string[] = [];
  const keep = (text: string) => {
    lines.push(text);
  };
  return { log: { debug: keep, info: keep, warning: keep, error: keep }, lines };
}

async function backupEnd(log: Log = silentLog) {
  const numbers = new Numbers();
  const offered = await offerPulse('127.0.0.1', { session, log, chance, onHeard: numbers.onHeard });
  if (offered === null) throw new Error('no pulse on the loopback');
  open.push(offered.pulse);
  return { ...offered, numbers };
}

function primaryEnd(offer: PulseOffer, log: Log = silentLog): { pulse: Pulse; numbers: Numbers } {
  const numbers = new Numbers();
  const pulse = followPulse(offer, { session, log, onHeard: numbers.onHeard });
  if (pulse === null) throw new Error('the offer was not taken');
  open.push(pulse);
  return { pulse, numbers };
}

function stranger(): Socket {
  const socket = createSocket('udp4');
  open.push(socket);
  return socket;
}

function sendTo(socket: Socket, bytes: Buffer, { address, port }: PulseOffer): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(bytes, port, address, (error) => (error ? reject(error) : resolve()));
  });
}

describe('the pulse', () => {
  it('carries heartbeats there and echoes back', async () => {
    const backup = await backupEnd();
    const primary = primaryEnd(backup.offer);
    primary.pulse.send(1);
    await backup.numbers.until(1);
    backup.pulse.send(1);
    await primary.numbers.until(1);
    primary.pulse.send(2);
    await backup.numbers.until(2);
    expect(backup.numbers.all).toEqual([1, 2]);
    expect(primary.pulse.counters).toMatchObject({ sent: 2, received: 1, foreign: 0 });
  });

  it('sends no echo before it has heard anything', async () => {
    const backup = await backupEnd();
    backup.pulse.send(1);
    expect(backup.pulse.counters.sent).toBe(0);
  });

  it('drops and counts what is foreign, stale, reflected or replayed', async () => {
    const backup = await backupEnd();
    const primary = primaryEnd(backup.offer);
    const { key } = backup.offer;
    const secret: PulseSecret = {
      session: Buffer.from(session, 'hex'),
      key: Buffer.from(key, 'hex'),
    };
    const socket = stranger();
    const heartbeat = (seq: number) => encodePulse({ kind: 'heartbeat', seq, heldMs: 0 }, secret);
    const wrongKey = encodePulse(
      { kind: 'heartbeat', seq: 9, heldMs: 0 },
      { ...secret, key: Buffer.alloc(32) },
    );
    primary.pulse.send(5);
    await backup.numbers.until(5);
    const foreign = [Buffer.from('hello'), Buffer.alloc(2000), wrongKey];
    const stale = [heartbeat(5), heartbeat(4)];
    const reflected = [encodePulse({ kind: 'echo', seq: 6, heldMs: 0 }, secret)];
    for (const bytes of [...foreign, ...stale, ...reflected]) {
      await sendTo(socket, bytes, backup.offer);
    }
    primary.pulse.send(6);
    await backup.numbers.until(6);
    expect(backup.numbers.all).toEqual([5, 6]);
    expect(backup.pulse.counters).toMatchObject({ received: 2, foreign: 4, stale: 2 });
    // The replayed heartbeat did not turn the echoes to the stranger.
    backup.pulse.send(6);
    await primary.numbers.until(6);
  });

  it('follows the primary to another port', async () => {
    const backup = await backupEnd();
    const before = primaryEnd(backup.offer);
    before.pulse.send(1);
    await backup.numbers.until(1);
    before.pulse.close();
    const after = primaryEnd(backup.offer);
    after.pulse.send(2);
    await backup.numbers.until(2);
    backup.pulse.send(2);
    await after.numbers.until(2);
  });

  it('says once that nobody answers, and goes on', async () => {
    const { log, lines } = keepingLog();
    const deaf = stranger();
    const port = await new Promise<number>((resolve) => {
      deaf.bind(0, '127.0.0.1', () => resolve(deaf.address().port));
    });
    const { pulse } = primaryEnd({ address: '127.0.0.1', port, key: 'ab'.repeat(32) }, log);
    for (let seq = 0; seq < 60; seq++) pulse.send(seq);
    expect(lines.filter((line) => line.includes('are not answered')).length).toBe(1);
    expect(pulse.counters.sent).toBe(60);
  });

  it('counts what cannot be sent and throws nothing', async () => {
    const { log, lines } = keepingLog();
    // Broadcast without permission: the kernel refuses at once.
    const offer = { address: '255.255.255.255', port: 9, key: 'ab'.repeat(32) };
    const { pulse } = primaryEnd(offer, log);
    pulse.send(1);
    pulse.send(2);
    while (pulse.counters.sendErrors < 2) await new Promise((resolve) => setImmediate(resolve));
    expect(lines).toEqual(['a datagram could not be sent: EACCES']);
    pulse.close();
    pulse.close();
    pulse.send(3);
  });
});

describe('what cannot have a pulse', () => {
  it('is a backup that does not know its address', async () => {
    const { log, lines } = keepingLog();
    expect(await offerPulse(null, { session, log, chance, onHeard() {} })).toBeNull();
    expect(lines[0]).toContain('no SSH_CONNECTION');
  });

  it('is an address that is not ours', async () => {
    const { log, lines } = keepingLog();
    expect(await offerPulse('192.0.2.1', { session, log, chance, onHeard() {} })).toBeNull();
    expect(lines[0]).toContain('no datagram heartbeats: cannot listen on 192.0.2.1');
  });

  it('is an offer that is no address', () => {
    const { log, lines } = keepingLog();
    const offer = { address: 'host-b', port: 1, key: 'ab'.repeat(32) };
    expect(followPulse(offer, { session, log, onHeard() {} })).toBeNull();
    expect(lines[0]).toContain('host-b is no address');
  });
});

describe('addressFromEnvironment', () => {
  it.each([
    ['10.0.0.1 40000 10.0.0.2 22', '10.0.0.2'],
    ['2001:db8::1 40000 2001:db8::2 22', '2001:db8::2'],
    ['::ffff:10.0.0.1 40000 ::ffff:10.0.0.2 22', '10.0.0.2'],
    ['fe80::1%eth0 40000 fe80::2%eth0 22', null],
    ['UNKNOWN 65535 UNKNOWN 65535', null],
    ['', null],
    [undefined, null],
  ])('of %j is %j', (connection, address) => {
    expect(addressFromEnvironment({ SSH_CONNECTION: connection })).toBe(address);
  });
});
