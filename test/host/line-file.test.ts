/** A file of lines that several processes write and nobody waits for. */
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { LineFile } from '../../src/host/line-file.ts';

let dir: string;
let path: string;
let olderPath: string;
let failures: string[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tsremus-lines-'));
  path = join(dir, 'state/x.1');
  olderPath = join(dir, 'state/x.2');
  failures = [];
});

afterEach(() => rmSync(dir, { recursive: true }));

function open(options: { bytesMax?: number; queueMax?: number } = {}): LineFile {
  return new LineFile({
    ...{ path, olderPath, bytesMax: 1_000_000, queueMax: 1_000, ...options },
    lost: (count) => `lost ${count}`,
    onLost: (error) => void failures.push(error.message),
  });
}

const lines = (at = path) => readFileSync(at, 'utf8').split('\n').slice(0, -1);

it('has its lines in order, for its owner alone', async () => {
  const file = open();
  for (const text of ['a', 'b', 'c']) file.add(text);
  await file.settled();
  file.add('d');
  await file.settled();
  expect(lines()).toEqual(['a', 'b', 'c', 'd']);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(join(dir, 'state')).mode & 0o777).toBe(0o700);
});

// Proves: what a power cut tore takes no other line with it.
it('ends a line that was torn', async () => {
  mkdirSync(join(dir, 'state'));
  writeFileSync(path, 'a\n{"half');
  const file = open();
  file.add('b');
  await file.settled();
  expect(lines()).toEqual(['a', '{"half', 'b']);
});

// Proves: the file and the older one together are bounded, and the newest lines are there.
it('is bounded', async () => {
  const file = open({ bytesMax: 1_000, queueMax: 10_000 });
  for (let at = 0; at < 500; at += 1) file.add(`line ${at}`);
  await file.settled();
  expect(statSync(path, { throwIfNoEntry: false })?.size ?? 0).toBeLessThanOrEqual(1_000);
  expect(statSync(olderPath).size).toBeLessThanOrEqual(1_020);
  const all = [...lines(olderPath), ...(existsSync(path) ? lines() : [])];
  expect(all.at(-1)).toBe('line 499');
  expect(all.length).toBeGreaterThan(90);
  expect(existsSync(`${path}.turning`)).toBe(false);
});

// Proves: several that write at once lose none, though each of them turns the file.
it('is written by many at once', async () => {
  const bytesMax = 30_000;
  const files = Array.from({ length: 4 }, () => open({ bytesMax }));
  for (let at = 0; at < 200; at += 1) {
    files.forEach((file, who) => void file.add(`writer ${who}, line ${at}, ${'x'.repeat(30)}`));
  }
  await Promise.all(files.map((file) => file.settled()));
  const all = [...lines(olderPath), ...(existsSync(path) ? lines() : [])];
  expect(all).toHaveLength(800);
  expect(new Set(all).size).toBe(800);
  expect(failures).toEqual([]);
});

// Proves: one that died while it turned the file keeps nobody from it for ever.
it('is turned by another one where the first died at it', async () => {
  mkdirSync(join(dir, 'state'));
  writeFileSync(`${path}.turning`, '');
  utimesSync(`${path}.turning`, 1, 1);
  const file = open({ bytesMax: 20 });
  for (let at = 0; at < 5; at += 1) file.add(`line ${at}`);
  await file.settled();
  // The first that finds the mark takes it away, the next one turns the file.
  expect(lines(olderPath)).toEqual(['line 0', 'line 1', 'line 2', 'line 3']);
  expect(lines()).toEqual(['line 4']);
});

// Proves: a disk that takes nothing costs the lines, is told once, and the gap is counted.
it('counts what a disk does not take', async () => {
  const file = open({ queueMax: 3 });
  mkdirSync(path, { recursive: true });
  for (const text of ['a', 'b', 'c', 'd', 'e']) file.add(text);
  await file.settled();
  expect(failures).toHaveLength(1);
  rmSync(path, { recursive: true });
  file.add('f');
  await file.settled();
  file.add('g');
  await file.settled();
  expect(lines()).toEqual(['lost 5', 'f', 'g']);
});

it('says so of a file that cannot be put by', async () => {
  mkdirSync(olderPath, { recursive: true });
  appendFileSync(join(olderPath, 'x'), '');
  const file = open({ bytesMax: 10 });
  for (let at = 0; at < 10; at += 1) file.add(`line ${at}`);
  await file.settled();
  expect(failures.length).toBeGreaterThan(0);
  expect(statSync(path).size).toBeLessThan(50);
});
