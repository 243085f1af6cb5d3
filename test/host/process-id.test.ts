import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  isProcessAlive,
  ownProcessId,
  parseStat,
  processState,
  sameProcess,
} from '../../src/host/process-id.ts';
import { operationError } from '../link/support.ts';

/** A /proc with one process in it. */
function fakeProc(pid: number, stat: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'tsremus-proc-'));
  mkdirSync(join(dir, 'sys/kernel/random'), { recursive: true });
  writeFileSync(join(dir, 'sys/kernel/random/boot_id'), 'this-boot\n');
  mkdirSync(join(dir, String(pid)));
  writeFileSync(join(dir, String(pid), 'stat'), stat);
  return dir;
}

/** Fields 3 to 22 of proc(5). */
function stat(name: string, state: string, threads: number, startTicks: number): string {
  const between = '1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0';
  return `7 (${name}) ${state} ${between} ${threads} 0 ${startTicks} 1000 100\n`;
}

describe('parseStat', () => {
  it.each(['node', 'a b', 'odd) S 1 (name', '))))'])('reads past the name %j', (name) => {
    expect(parseStat(stat(name, 'S', 11, 4711))).toEqual({
      state: 'S',
      threads: 11,
      startTicks: 4711,
    });
  });

  it('refuses what is no stat line', () => {
    expect(() => parseStat('7 (x) S 1')).toThrow('not a stat line');
  });
});

describe('processState', () => {
  const id = { pid: 7, startTicks: 4711, bootId: 'this-boot' };

  it.each<[string, string, object, string]>([
    ['runs', stat('x', 'R', 1, 4711), {}, 'alive'],
    ['sleeps in the disk', stat('x', 'D', 1, 4711), {}, 'alive'],
    ['is stopped', stat('x', 'T', 1, 4711), {}, 'alive'],
    ['is a zombie', stat('x', 'Z', 1, 4711), {}, 'dead'],
    ['is a zombie with a living thread', stat('x', 'Z', 2, 4711), {}, 'alive'],
    ['is a later one with the same pid', stat('x', 'R', 1, 9999), {}, 'dead'],
    ['was before the reboot', stat('x', 'R', 1, 4711), { bootId: 'last-boot' }, 'other-boot'],
    ['has gone', stat('x', 'R', 1, 4711), { pid: 8 }, 'dead'],
  ])('a process that %s', (_what, text, changes, state) => {
    const procDir = fakeProc(7, text);
    expect(processState({ ...id, ...changes }, { procDir })).toBe(state);
    expect(isProcessAlive({ ...id, ...changes }, { procDir })).toBe(state === 'alive');
  });

  it('is not guessed when /proc cannot tell', async () => {
    const error = await operationError(() => processState(id, { procDir: '/nowhere' }));
    expect(error.code).toBe('storage');
    const procDir = fakeProc(7, 'garbage');
    expect((await operationError(() => processState(id, { procDir }))).code).toBe('storage');
  });

  it('tells a real process from its end', async () => {
    const own = ownProcessId();
    expect(processState(own)).toBe('alive');
    expect(sameProcess(own, ownProcessId())).toBe(true);
    const child = spawn('sleep', ['600']);
    const id = { ...own, pid: child.pid ?? 0 };
    expect(processState({ ...id, startTicks: own.startTicks - 1 })).toBe('dead');
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
    expect(processState(id)).toBe('dead');
  });
});
