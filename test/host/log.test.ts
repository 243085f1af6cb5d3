import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { formatLine, isJournal, openLog } from '../../src/host/log.ts';
import { bundleFixture } from '../fixtures/bundle.ts';
import { operationError } from '../link/support.ts';

const clock = { nowMs: () => 0, wall: () => new Date('2026-11-22T10:11:12.345Z') };

function freshPath(): string {
  return join(mkdtempSync(join(tmpdir(), 'tsremus-log-')), 'log');
}

/** One turn of the event loop. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** True while this process has the file open. */
function isOpen(path: string): boolean {
  return readdirSync('/proc/self/fd').some((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false;
    }
  });
}

/** False when a pipe has no room for so much as a byte. */
function isWritable(path: string): boolean {
  const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  try {
    writeSync(fd, 'x');
    return true;
  } catch {
    return false;
  } finally {
    closeSync(fd);
  }
}

describe('a line of the log', () => {
  it.each([
    ['error', true, '<3>it broke\n'],
    ['warning', true, '<4>it broke\n'],
    ['info', true, '<6>it broke\n'],
    ['debug', true, '<7>it broke\n'],
    ['error', false, 'ERROR 2026-11-22T10:11:12.345Z it broke\n'],
    ['info', false, 'INFO 2026-11-22T10:11:12.345Z it broke\n'],
  ] as const)('of level %s (journal: %s)', (level, journal, line) => {
    expect(formatLine(level, 'it broke', clock.wall(), journal)).toBe(line);
  });

  it('is one line, of bounded length, without escapes', () => {
    const line = formatLine('info', `a\nb\u001b[2J${'x'.repeat(9000)}`, clock.wall(), true);
    expect(line).toMatch(/^<6>a b \[2Jx+\.\.\.\n$/);
    expect(line.length).toBe(3 + 2048 + 1);
  });
});

describe('isJournal', () => {
  it('compares device and inode of the file descriptor', () => {
    const fd = openSync(freshPath(), 'w');
    const { dev, ino } = fstatSync(fd);
    expect(isJournal(fd, { JOURNAL_STREAM: `${dev}:${ino}` })).toBe(true);
    expect(isJournal(fd, { JOURNAL_STREAM: `${dev}:${ino + 1}` })).toBe(false);
    expect(isJournal(fd, {})).toBe(false);
    expect(isJournal(9999, { JOURNAL_STREAM: '1:2' })).toBe(false);
  });
});

describe('a log', () => {
  it('appends to its file, from its level up', async () => {
    const path = freshPath();
    for (const text of ['first', 'second']) {
      const log = openLog({ clock, level: 'warning', path, env: {} });
      log.info('not this');
      log.warning(text);
      log.close();
      log.error('too late');
      while (!readFileSync(path, 'utf8').includes(text)) await turn();
    }
    while (isOpen(path)) await turn();
    expect(readFileSync(path, 'utf8')).toBe(
      'WARNING 2026-11-22T10:11:12.345Z first\nWARNING 2026-11-22T10:11:12.345Z second\n',
    );
  });

  it('drops lines past its limit and says how many', async () => {
    const path = freshPath();
    const log = openLog({ clock, level: 'info', path, env: {}, queueMax: 3 });
    for (let line = 0; line < 10; line++) log.info(`line ${line}`);
    while (!readFileSync(path, 'utf8').includes('dropped')) {
      await turn();
    }
    log.close();
    // One is being written, three wait.
    expect(readFileSync(path, 'utf8')).toContain('the log was too slow: 6 lines were dropped');
  });

  // Proves: after logrotate moved the file away, what was said before is in the old one, what is
  // said later in a new one; while none can be made the old one is written on.
  it('goes to a new file when it is reopened', async () => {
    const path = freshPath();
    const log = openLog({ clock, level: 'info', path, env: {} });
    log.info('before');
    while (!readFileSync(path, 'utf8').includes('before')) await turn();
    renameSync(path, `${path}.1`);
    mkdirSync(path);
    log.reopen();
    while (!readFileSync(`${path}.1`, 'utf8').includes('cannot open')) await turn();
    rmdirSync(path);
    log.reopen();
    while (!existsSync(path)) await turn();
    while (isOpen(`${path}.1`)) await turn();
    log.info('after');
    log.close();
    while (isOpen(path)) await turn();
    expect(readFileSync(path, 'utf8')).toMatch(/^INFO \S+ after\n$/);
    expect(readFileSync(`${path}.1`, 'utf8')).toMatch(/ before\nERROR \S+ cannot open .*\n$/);
  });

  it('that is closed is not opened again', async () => {
    const path = freshPath();
    const log = openLog({ clock, level: 'info', path, env: {} });
    log.reopen();
    log.close();
    for (let count = 0; count < 20; count += 1) await turn();
    while (isOpen(path)) await turn();
  });

  // Proves: a disk that hangs in a write keeps nobody from closing the log, and the process from
  // nothing that comes after.
  it('is closed at once when its file hangs', async () => {
    const path = freshPath();
    execFileSync('mkfifo', [path]);
    const reader = openSync(path, 'r+');
    let nowMs = 0;
    const log = openLog({ clock: { ...clock, nowMs: () => nowMs }, level: 'info', path, env: {} });
    const more = 'x'.repeat(2_000);
    for (let line = 0; line < 100; line += 1) log.info(more);
    // More than a pipe holds: by then a write waits for the reader.
    while (isWritable(path)) await turn();
    nowMs = 60_000;
    log.close();
    closeSync(reader);
  });

  it('never throws when the disk is full', async () => {
    const log = openLog({ clock, level: 'info', path: '/dev/full', env: {} });
    for (let line = 0; line < 5; line++) log.info('lost');
    await new Promise((resolve) => setTimeout(resolve, 10));
    log.close();
  });

  it('says when its file cannot be opened', async () => {
    const error = await operationError(() =>
      openLog({ clock, level: 'info', path: '/no/dir/log' }),
    );
    expect(error.message).toBe('cannot open /no/dir/log: no such file or directory');
  });

  it('has written everything when a process flushes and exits', async () => {
    const logger = await bundleFixture('logger');
    const texts = Array.from({ length: 50 }, (_, index) => `text ${index}`);
    const { status, stderr } = spawnSync(process.execPath, [logger, ...texts], {
      encoding: 'utf8',
    });
    expect(status).toBe(7);
    const seen = stderr
      .trim()
      .split('\n')
      .map((line) => line.replace(/^INFO \S+ /, ''));
    expect(seen.sort()).toEqual(texts.sort());
  });

  it('survives a reader that has gone', async () => {
    const logger = await bundleFixture('logger');
    const script = `{ ${process.execPath} ${logger} one two; echo $? >&3; } 2>&1 >/dev/null | true`;
    const result = spawnSync('/bin/sh', ['-c', `(${script}) 3>&1`], { encoding: 'utf8' });
    expect(result.stdout).toBe('7\n');
  });
});
