import { mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isTemporaryName, systemStore } from '../../src/host/store.ts';
import { operationError } from '../link/support.ts';

function freshDir(): string {
  return mkdtempSync(join(tmpdir(), 'tsremus-store-'));
}

describe('the store', () => {
  it('writes, replaces, and leaves nothing else', async () => {
    const dir = freshDir();
    const path = join(dir, 'status.json');
    await systemStore.writeDurably(path, 'one');
    await systemStore.writeDurably(path, 'two');
    expect(readFileSync(path, 'utf8')).toBe('two');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(dir)).toEqual(['status.json']);
  });

  it('never shows a half-written file, whatever the number of writers', async () => {
    const path = join(freshDir(), 'file');
    const contents = Array.from({ length: 8 }, (_, index) => String(index).repeat(100_000));
    await systemStore.writeDurably(path, contents[0] ?? '');
    const writers = Promise.all(contents.map((content) => systemStore.writeDurably(path, content)));
    for (let reads = 0; reads < 50; reads++) {
      expect(contents).toContain(await systemStore.readText(path, 200_000));
    }
    await writers;
  });

  it('creates exclusively', async () => {
    const dir = freshDir();
    const path = join(dir, 'decision');
    const won = await Promise.all(
      ['a', 'b', 'c', 'd'].map((text) => systemStore.createExclusively(path, text)),
    );
    expect(won.filter(Boolean).length).toBe(1);
    expect(readFileSync(path, 'utf8')).toBe('abcd'[won.indexOf(true)]);
    expect(readdirSync(dir)).toEqual(['decision']);
  });

  it('reads within a limit', async () => {
    const path = join(freshDir(), 'big');
    writeFileSync(path, 'x'.repeat(11));
    expect(await systemStore.readText(path, 11)).toBe('x'.repeat(11));
    const error = await operationError(() => systemStore.readText(path, 10));
    expect(error.message).toBe(`cannot read ${path}: 11 bytes, limit 10`);
  });

  it('takes what is not there for absent, not for an error', async () => {
    const path = join(freshDir(), 'nothing');
    expect(await systemStore.readText(path, 10)).toBeNull();
    expect(await systemStore.modifiedMs(path)).toBeNull();
    expect(await systemStore.listDir(path)).toEqual([]);
    await systemStore.removeFile(path);
  });

  it('names the file when it fails', async () => {
    const path = join(freshDir(), 'no', 'such', 'dir', 'file');
    const error = await operationError(() => systemStore.writeDurably(path, 'x'));
    expect(error.code).toBe('storage');
    expect(error.message).toBe(`cannot write ${path}: no such file or directory`);
  });

  it('makes folders for their owner only', async () => {
    const dir = join(freshDir(), 'a', 'b');
    await systemStore.ensureDir(dir);
    await systemStore.ensureDir(dir);
    expect(statSync(dir).mode & 0o777).toBe(0o700);
  });

  it('knows its temporary files by name', () => {
    expect(isTemporaryName('.x.0123456789abcdef.tmp')).toBe(true);
    expect(isTemporaryName('x.0123456789abcdef.tmp')).toBe(false);
    expect(isTemporaryName('.x.tmp')).toBe(false);
  });
});
