/**
 * The program under test is the one that is released: dist/main.js. Builds it when it is missing or
 * older than its sources; `npm test` has built it already. Test files run in several processes: one
 * builds, the others wait.
 */
import { spawnSync } from 'node:child_process';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

export const repository = join(import.meta.dirname, '../..');
export const main = join(repository, 'dist/main.js');
const lock = join(repository, 'node_modules/.tsremus-e2e');
const nativeRooms = ['common', 'xen', 'plug', 'codec', 'disk'].map((room) => `native/${room}`);
const products = [main, ...['libtsremus.so', 'libsimxl.so', 'simxl'].map(nativeFile)];

export function nativeFile(name: string): string {
  return join(repository, 'native/build', name);
}

function modifiedMs(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function newestMs(dir: string): number {
  const all = readdirSync(join(repository, dir), { recursive: true, withFileTypes: true });
  const files = all.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
  // Nothing is built of these: each build would leave them newer, and the next one would follow.
  const sources = files.filter((path) => !/\/native\/simxl\/check\/|\.md$/.test(path));
  return Math.max(...sources.map(modifiedMs));
}

function isStale(): boolean {
  const sources: Record<string, string[]> = {
    [main]: ['src'],
    [nativeFile('libtsremus.so')]: nativeRooms,
    [nativeFile('libsimxl.so')]: ['native/simxl'],
    [nativeFile('simxl')]: ['native/simxl'],
  };
  return products.some((product) => {
    const newest = Math.max(...(sources[product] ?? []).map(newestMs));
    return modifiedMs(product) < newest;
  });
}

/** True when the lock is ours; a lock whose owner died is removed. */
function takeLock(): boolean {
  try {
    mkdirSync(lock);
    writeFileSync(join(lock, 'pid'), String(process.pid));
    return true;
  } catch {
    try {
      process.kill(Number(readFileSync(join(lock, 'pid'), 'utf8')), 0);
    } catch (error) {
      const gone = (error as NodeJS.ErrnoException).code === 'ESRCH';
      if (gone) rmSync(lock, { recursive: true, force: true });
    }
    return false;
  }
}

/** Call it in beforeAll. */
export async function ensureBuilt(): Promise<void> {
  while (isStale()) {
    if (!takeLock()) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      continue;
    }
    try {
      if (!isStale()) return;
      const script = join(repository, 'scripts/build.mjs');
      const made = spawnSync(process.execPath, [script], { encoding: 'utf8' });
      if (made.status !== 0) throw new Error(`the build failed: ${made.stderr}`);
      // What a change does not concern make leaves as it was: it would look stale to all others,
      // and each of them would build anew, under the tests that run.
      const now = new Date();
      for (const product of products) utimesSync(product, now, now);
      return;
    } finally {
      rmSync(lock, { recursive: true, force: true });
    }
  }
}
