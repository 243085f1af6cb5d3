/**
 * Durable small files. What a function here has reported as written survives a power cut.
 *
 * Writing: a temporary file in the same folder, synced; then rename or link, which is atomic; then
 * the folder is synced, which makes the new name durable. All of it asynchronous: a slow disk must
 * not stop heartbeats.
 *
 * Failures are OperationErrors: `disk-full` for ENOSPC and EDQUOT, else `storage`.
 */
import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readdir, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errnoCode, OperationError, storageError } from './errors.ts';

const fileMode = 0o600;
const dirMode = 0o700;

/** Creates the folder and its parents; the folder itself is for its owner only. */
export async function ensureDir(dir: string): Promise<void> {
  await storing('create', dir, () => mkdir(dir, { recursive: true, mode: dirMode }));
}

/** Makes the names in a folder durable. */
export async function syncDir(dir: string): Promise<void> {
  await storing('sync', dir, async () => {
    const handle = await open(dir, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  });
}

/** Writes or replaces a file: readers see the old or the new one, whole. */
export async function writeDurably(path: string, content: string): Promise<void> {
  const temporary = await writeTemporary(path, content);
  try {
    await storing('write', path, () => rename(temporary, path));
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
  await syncDir(dirname(path));
}

/**
 * Creates a file that must not exist, by link(2): of any number of processes exactly one gets true,
 * and its content is whole from the first moment. The name is durable when this returns, whoever
 * made it.
 */
export async function createExclusively(path: string, content: string): Promise<boolean> {
  const temporary = await writeTemporary(path, content);
  let first = true;
  try {
    await storing('create', path, async () => {
      try {
        await link(temporary, path);
      } catch (error) {
        if (errnoCode(error) !== 'EEXIST') throw error;
        first = false;
      }
    });
  } finally {
    await unlink(temporary).catch(() => {});
  }
  await syncDir(dirname(path));
  return first;
}

/** The text of a file of at most `bytesMax` bytes, or null when there is none. */
export async function readText(path: string, bytesMax: number): Promise<string | null> {
  return storing('read', path, async () => {
    const handle = await open(path, 'r').catch((error: unknown) => {
      if (errnoCode(error) === 'ENOENT') return null;
      throw error;
    });
    if (handle === null) return null;
    try {
      const { size } = await handle.stat();
      if (size > bytesMax) throw new Error(`${size} bytes, limit ${bytesMax}`);
      return await handle.readFile('utf8');
    } finally {
      await handle.close();
    }
  });
}

/** Names in a folder; none when there is no such folder. */
export async function listDir(dir: string): Promise<readonly string[]> {
  return storing('read', dir, () =>
    readdir(dir).catch((error: unknown) => {
      if (errnoCode(error) === 'ENOENT') return [];
      throw error;
    }),
  );
}

/** Removes a file; one that does not exist is removed already. */
export async function removeFile(path: string): Promise<void> {
  await storing('remove', path, () =>
    unlink(path).catch((error: unknown) => {
      if (errnoCode(error) !== 'ENOENT') throw error;
    }),
  );
}

/** When the file was last written, ms of the wall clock; null when there is none. */
export async function modifiedMs(path: string): Promise<number | null> {
  return storing('read', path, () =>
    stat(path).then(
      (found) => found.mtimeMs,
      (error: unknown) => {
        if (errnoCode(error) === 'ENOENT') return null;
        throw error;
      },
    ),
  );
}

/** True for the name of a temporary file of ours, which a crash may have left. */
export function isTemporaryName(name: string): boolean {
  return /^\..*\.[0-9a-f]{16}\.tmp$/.test(name);
}

async function writeTemporary(path: string, content: string): Promise<string> {
  const name = `.${basename(path)}.${randomBytes(8).toString('hex')}.tmp`;
  const temporary = join(dirname(path), name);
  try {
    await storing('write', path, async () => {
      const handle = await open(temporary, 'wx', fileMode);
      try {
        await handle.writeFile(content);
        await handle.sync();
      } finally {
        await handle.close();
      }
    });
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
  return temporary;
}

async function storing<T>(op: string, path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof OperationError) throw error;
    throw storageError(error, op, path);
  }
}
