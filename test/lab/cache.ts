/**
 * The cache of built things: folders named by a digest of everything they are made from.
 *
 * Guarantees: a folder that has its final name is complete (it is made under another name and
 * renamed); a change of one input rebuilds only what depends on it; what an interrupted build
 * left is swept by the next one; of each kind only the newest few are kept.
 */
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs';
import { join } from 'node:path';
import { LabError } from './command.ts';
import { cacheDir, labDir } from './settings.ts';

/** Old artifacts kept of each kind, so that two checkouts do not undo each other's work. */
const keptPerKind = 2;
const temporaryPrefix = '.making-';

/** A digest of texts; order and boundaries count. */
export function digest(inputs: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(inputs)).digest('hex').slice(0, 16);
}

/** A digest of files below the lab's folder, for artifacts that are made from or by them. */
export function digestFiles(paths: readonly string[]): string {
  return digest(paths.flatMap((path) => [path, readFileSync(join(labDir, path), 'utf8')]));
}

/** Creates the cache and removes what an interrupted build left in it. */
export function openCache(): void {
  mkdirSync(cacheDir, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(cacheDir)) {
    if (name.startsWith(temporaryPrefix)) removeTree(join(cacheDir, name));
  }
}

/**
 * The folder of an artifact, made by `make` if it is not there yet.
 * `make` gets an empty folder to fill; when it fails nothing remains.
 */
export async function artifact(
  kind: string,
  inputs: readonly string[],
  make: (dir: string) => Promise<void>,
): Promise<string> {
  const target = join(cacheDir, `${kind}-${digest(inputs)}`);
  if (!existsSync(target)) {
    const dir = mkdtempSync(join(cacheDir, `${temporaryPrefix}${kind}-`));
    try {
      await make(dir);
      renameSync(dir, target);
    } catch (error) {
      removeTree(dir);
      if (!existsSync(target)) throw error;
    }
  }
  const now = new Date();
  utimesSync(target, now, now); // what is used last is pruned last
  prune(kind, target);
  return target;
}

function prune(kind: string, keep: string): void {
  const pattern = new RegExp(`^${kind}-[0-9a-f]{16}$`);
  const old = readdirSync(cacheDir)
    .filter((name) => pattern.test(name) && join(cacheDir, name) !== keep)
    .map((name) => ({ path: join(cacheDir, name), usedMs: statSync(join(cacheDir, name)).mtimeMs }))
    .sort((x, y) => y.usedMs - x.usedMs);
  for (const { path } of old.slice(keptPerKind - 1)) removeTree(path);
}

function removeTree(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch (cause) {
    throw new LabError(`cannot remove ${path}`, { cause, hint: 'is something mounted below it?' });
  }
}
