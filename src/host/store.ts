/**
 * Durable small files. What a method here has reported as written survives a power cut.
 *
 * Writing: a temporary file in the same folder, synced; then rename or link, which is atomic; then
 * the folder is synced, which makes the new name durable.
 *
 * Failures are OperationErrors: `disk-full` for ENOSPC and EDQUOT, else `storage`.
 */
import { basename, dirname, join } from 'node:path';
import type { Chance } from './clock.ts';
import { errnoCode, OperationError, storageError } from './errors.ts';
import type { Files, OpenFile } from './files.ts';

export class Store {
  readonly #files: Files;
  readonly #chance: Chance;

  constructor(files: Files, chance: Chance) {
    this.#files = files;
    this.#chance = chance;
  }

  /**
   * Creates the folder and its parents, for their owner only; their names are durable when this
   * returns, whoever made them: each is made once the one above has its name for good, so of those
   * that are there only the last may lack it, where its maker died.
   */
  async ensureDir(dir: string): Promise<void> {
    const parent = dirname(dir);
    await storing('create', dir, async () => {
      const isThere = await orNone(
        this.#files.list(dir).then(() => true),
        false,
      );
      if (!isThere) {
        await this.ensureDir(parent);
        await this.#files.makeDir(dir).catch((error: unknown) => {
          if (errnoCode(error) !== 'EEXIST') throw error; // else: made by another one just now
        });
      }
      await this.#files.syncDir(parent);
    });
  }

  /** Makes the names in a folder durable. */
  async syncDir(dir: string): Promise<void> {
    await storing('sync', dir, () => this.#files.syncDir(dir));
  }

  /** Writes or replaces a file: readers see the old or the new one, whole. */
  async writeDurably(path: string, content: string): Promise<void> {
    const temporary = await this.#writeTemporary(path, content);
    try {
      await storing('write', path, () => this.#files.rename(temporary, path));
    } catch (error) {
      await this.#files.unlink(temporary).catch(() => {});
      throw error;
    }
    await this.syncDir(dirname(path));
  }

  /**
   * Creates a file that must not exist, by link(2): of any number of processes exactly one gets
   * true, and its content is whole from the first moment. The name is durable when this returns,
   * whoever made it.
   */
  async createExclusively(path: string, content: string): Promise<boolean> {
    const temporary = await this.#writeTemporary(path, content);
    let first: boolean;
    try {
      first = await storing('create', path, () => this.#link(temporary, path));
    } finally {
      await this.#files.unlink(temporary).catch(() => {});
    }
    await this.syncDir(dirname(path));
    return first;
  }

  /**
   * A second name for a file of this store, one that must not exist: as createExclusively, but for
   * what was written before, so that it needs next to no room.
   */
  async linkExclusively(from: string, path: string): Promise<boolean> {
    const first = await storing('create', path, () => this.#link(from, path));
    await this.syncDir(dirname(path));
    return first;
  }

  /** The text of a file of at most `bytesMax` bytes, or null when there is none. */
  async readText(path: string, bytesMax: number): Promise<string | null> {
    return storing('read', path, async () => {
      const file = await orNone(this.#files.open(path, 'old'), null);
      if (file === null) return null;
      return closing(file, () => file.read(bytesMax));
    });
  }

  /** Names in a folder; none when there is no such folder. */
  async listDir(dir: string): Promise<readonly string[]> {
    return storing('read', dir, () => orNone(this.#files.list(dir), []));
  }

  /** Removes a file; one that does not exist is removed already. */
  async removeFile(path: string): Promise<void> {
    await storing('remove', path, () => orNone(this.#files.unlink(path), undefined));
  }

  /** When the file was last written, ms of the wall clock; null when there is none. */
  async modifiedMs(path: string): Promise<number | null> {
    return storing('read', path, () => orNone<number | null>(this.#files.modifiedMs(path), null));
  }

  /** False when the name is taken. */
  async #link(from: string, path: string): Promise<boolean> {
    try {
      await this.#files.link(from, path);
      return true;
    } catch (error) {
      if (errnoCode(error) !== 'EEXIST') throw error;
      return false;
    }
  }

  async #writeTemporary(path: string, content: string): Promise<string> {
    const name = `.${basename(path)}.${this.#chance.bytes(8).toString('hex')}.tmp`;
    const temporary = join(dirname(path), name);
    try {
      await storing('write', path, async () => {
        const file = await this.#files.open(temporary, 'new');
        await closing(file, async () => {
          await file.write(content);
          await file.sync();
        });
      });
    } catch (error) {
      await this.#files.unlink(temporary).catch(() => {});
      throw error;
    }
    return temporary;
  }
}

/** True for the name of a temporary file of ours, which a crash may have left. */
export function isTemporaryName(name: string): boolean {
  return /^\..*\.[0-9a-f]{16}\.tmp$/.test(name);
}

async function closing<T>(file: OpenFile, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } finally {
    await file.close();
  }
}

function orNone<T>(work: Promise<T>, none: T): Promise<T> {
  return work.catch((error: unknown) => {
    if (errnoCode(error) === 'ENOENT') return none;
    throw error;
  });
}

async function storing<T>(op: string, path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof OperationError) throw error;
    throw storageError(error, op, path);
  }
}
