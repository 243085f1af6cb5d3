/**
 * The disk guard as a process. Proves: its descriptors are where its arguments say, all of them.
 */
import { closeSync, fstatSync, mkdtempSync, openSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { guardDescriptors, spawnGuard } from '../../../src/disk/mirror/host.ts';

const { leg, session, log, pace } = guardDescriptors;

function start(script: string, onLine: (line: string) => void = () => {}) {
  const path = join(mkdtempSync(join(tmpdir(), 'tsremus-guard-')), 'leg');
  writeFileSync(path, 'the leg');
  const given = { leg: openSync(path, 'r'), pace: openSync(path, 'r') };
  const guard = spawnGuard('/bin/sh', ['-c', script], given, onLine);
  return { guard, given };
}

it('has the leg, hears that it is to end, and is heard line by line', async () => {
  const lines: string[] = [];
  const script = `printf 'event=' >&${log}; cat <&${leg} >&${log}; cat <&${pace} >&${log};
    echo >&${log}; head -c1 <&${session} >&${log}; echo ' told' >&${log}; exit 3`;
  const { guard, given } = start(script, (line) => lines.push(line));
  for (const fd of [given.leg, given.pace]) expect(() => fstatSync(fd)).toThrow('EBADF');
  guard.tell();
  expect(await guard.gone).toBe('exit code 3');
  expect(lines).toEqual(['event=the legthe leg', '. told']);
});

it('sees the end of its session where that dies', async () => {
  const { guard } = start(`exec cat <&${session}`);
  guard.kill();
  expect(await guard.gone).toBe('SIGKILL');
});

it('is gone where it cannot be started, and the leg is closed all the same', async () => {
  const given = { leg: openSync('/dev/null', 'r'), pace: openSync('/dev/null', 'r') };
  const guard = spawnGuard('/no/such/program', [], given, () => {});
  expect(await guard.gone).toContain('ENOENT');
  expect(guard.pid).toBeNull();
  guard.tell();
  for (const fd of [given.leg, given.pace]) expect(() => closeSync(fd)).toThrow('EBADF');
});
