/**
 * The file system as a port: the few calls that durable small files are made of, each one step that
 * can fail or be the last before a power cut. Failures are errors with the system's `code`.
 *
 * What survives a power cut: the content of a file whose `sync` returned, under each of its names
 * that were there when a `syncDir` of their folder returned. Everything else may be there or not.
 */
import { link, mkdir, open, readdir, rename, stat, unlink } from 'node:fs/promises';

export interface OpenFile {
  /** Writes all of `content` behind what was written before. */
  write(content: string): Promise<void>;
  /** fsync(2) */
  sync(): Promise<void>;
  /** The whole content; rejects with EFBIG when it is longer than `bytesMax`. */
  read(bytesMax: number): Promise<string>;
  close(): Promise<void>;
}

export interface Files {
  /** Creates the folder, mode 0700; EEXIST when it is there, ENOENT when its parent is not. */
  makeDir(path: string): Promise<void>;
  /** `new`: creates it, mode 0600, EEXIST when it is there. `old`: to read it. */
  open(path: string, how: 'new' | 'old'): Promise<OpenFile>;
  /** A second name for a file; EEXIST when that is taken. Atomic. */
  link(from: string, to: string): Promise<void>;
  /** Replaces `to`. Atomic. */
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  list(dir: string): Promise<readonly string[]>;
  /** Makes the names in a folder durable. */
  syncDir(dir: string): Promise<void>;
  /** When it was last written, ms of the wall clock. */
  modifiedMs(path: string): Promise<number>;
}

const fileMode = 0o600;
const dirMode = 0o700;

async function openFile(path: string, how: 'new' | 'old'): Promise<OpenFile> {
  const handle = await open(path, how === 'new' ? 'wx' : 'r', fileMode);
  return {
    write: (content) => handle.writeFile(content),
    sync: () => handle.sync(),
    async read(bytesMax) {
      const { size } = await handle.stat();
      if (size > bytesMax) {
        const text = `${size} bytes, limit ${bytesMax}`;
        throw Object.assign(new Error(text), { code: 'EFBIG' });
      }
      return handle.readFile('utf8');
    },
    close: () => handle.close(),
  };
}

/** All of it asynchronous: a slow disk must not stop heartbeats. */
export const systemFiles: Files = {
  async makeDir(path) {
    await mkdir(path, { mode: dirMode });
  },
  open: openFile,
  link,
  rename,
  unlink,
  list: (dir) => readdir(dir),
  async syncDir(dir) {
    const handle = await open(dir, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  modifiedMs: async (path) => (await stat(path)).mtimeMs,
};
