/**
 * A session as a service: what it says to whoever runs it by sd_notify(3), heard on a real socket.
 * What systemd does with that is shown by test/systemd.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { it } from './fixture.ts';
import { cleanUp, type Pair, prepare } from './pair.ts';
import { signal, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

/** Appends each datagram, with the pid that it came from by the kernel. Node has none of these. */
const listener = `
import os, socket, struct, sys
path, log = sys.argv[1:]
heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
heard.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
heard.bind(path)
while True:
    text, more, _, _ = heard.recvmsg(4096, 64)
    pid = struct.unpack('iii', more[0][2])[0]
    with open(log, 'a') as out:
        out.write(''.join('%d %s\\n' % (pid, line) for line in text.decode().splitlines()))
`;

interface Heard {
  readonly pid: number;
  readonly line: string;
}

/** A service manager's ear in the folder of the test. */
async function ear(pair: Pair) {
  const [socket, log] = [join(pair.dir, 'notify'), join(pair.dir, 'heard')];
  const child = spawn('python3', ['-c', listener, socket, log], { stdio: 'inherit' });
  await until('somebody listens', () => existsSync(socket));
  const heard = (): Heard[] => {
    if (!existsSync(log)) return [];
    const lines = readFileSync(log, 'utf8').split('\n').slice(0, -1);
    return lines.map((text) => {
      const at = text.indexOf(' ');
      return { pid: Number(text.slice(0, at)), line: text.slice(at + 1) };
    });
  };
  return { socket, heard, close: () => child.kill() };
}

// Proves: ready is protected and no earlier; the words come from the session's own process, which
// alone is believed; the watchdog's beats go on; the end is said, and nothing after it.
it('says when it is protected, that it lives, and that it ends', async ({ pair }) => {
  const manager = await ear(pair);
  try {
    pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
    const env = { NOTIFY_SOCKET: manager.socket, WATCHDOG_USEC: '400000' };
    const protect = await pair.protected({ env });
    const beats = () => manager.heard().filter(({ line }) => line === 'WATCHDOG=1').length;
    await until('it is ready', () => manager.heard().some(({ line }) => line === 'READY=1'));
    const seen = beats();
    await until('it beats on', () => beats() > seen + 3);
    signal(protect.pid, 'SIGTERM');
    expect((await protect.ended).code).toBe(143);
    await until('its end is heard', () => manager.heard().at(-1)?.line === 'STOPPING=1');
    const heard = manager.heard();
    expect(new Set(heard.map(({ pid }) => pid))).toEqual(new Set([protect.pid]));
    const lines = heard.map(({ line }) => line);
    const connected = lines.findIndex((line) => /^STATUS=connected to /.test(line));
    expect(connected).toBeGreaterThanOrEqual(0);
    expect(lines.indexOf('READY=1')).toBeGreaterThan(connected);
  } finally {
    manager.close();
  }
});

// Proves: a manager that does not read costs a session nothing.
it('waits for nobody who does not read', async ({ pair }) => {
  const manager = await ear(pair);
  try {
    manager.close();
    pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
    const protect = await pair.protected({ env: { NOTIFY_SOCKET: manager.socket } });
    await pair.moreEpochs(pair.a, 'g1', 5);
    expect(protect.said('service')).toBe(true);
    signal(protect.pid, 'SIGTERM');
    expect((await protect.ended).code).toBe(143);
  } finally {
    manager.close();
  }
});

// Proves: at boot a guest may come later than its service, and one that never comes is no hang.
it('waits for its guest, for as long as it was told', async ({ pair }) => {
  const protect = pair.protect({ args: ['--await-guest', '300'] });
  await until('it says so', () => protect.said('awaiting'));
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  await pair.acknowledged(pair.a, 'g1', 1);
  signal(protect.pid, 'SIGTERM');
  expect((await protect.ended).code).toBe(143);
  const never = await pair.protect({ guest: 'g2', args: ['--await-guest', '1'] }).ended;
  expect(never.code).toBe(12);
});
