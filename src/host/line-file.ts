/**
 * A file that grows by lines, from several processes of this host, and is kept below a limit: past
 * it the file becomes the older one, and that which was the older one goes.
 *
 * It never throws and never waits: lines are written one after the other in the background, each by
 * one write(2) to a file that is opened for it, and synced. What a full disk or one that hangs does
 * not take is lost and counted. A line that was torn, by a power cut or a full disk, is ended by
 * whoever writes next, so that it takes no other with it.
 */
import { mkdir, open, rename, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoCode } from './errors.ts';

export interface LineFileOptions {
  readonly path: string;
  /** Where the older lines go. */
  readonly olderPath: string;
  readonly bytesMax: number;
  /** Lines that may wait. */
  readonly queueMax: number;
  /** What is written first once lines were lost; without an end of line. */
  readonly lost: (count: number) => string;
  /** Hears why a line is lost, at the first of several. */
  readonly onLost: (error: Error) => void;
}

const fileMode = 0o600;
const dirMode = 0o700;
/** A process that turns the file takes far less, ms: one that has taken longer has died at it. */
const turnMsMax = 60_000;
const newline = 0x0a;

export class LineFile {
  readonly #options: LineFileOptions;
  readonly #queue: string[] = [];
  #lost = 0;
  #isFailing = false;
  #work: Promise<void> | null = null;

  constructor(options: LineFileOptions) {
    this.#options = options;
  }

  /** `text` has no end of line. */
  add(text: string): void {
    if (this.#queue.length >= this.#options.queueMax) {
      this.#lost += 1;
      return;
    }
    this.#queue.push(text);
    this.#work ??= this.#writeAll().finally(() => {
      this.#work = null;
    });
  }

  /** Resolves when what was added is written or lost. */
  async settled(): Promise<void> {
    await this.#work;
  }

  async #writeAll(): Promise<void> {
    for (let text = this.#queue.shift(); text !== undefined; text = this.#queue.shift()) {
      try {
        const before = this.#lost === 0 ? '' : `${this.#options.lost(this.#lost)}\n`;
        await this.#write(`${before}${text}\n`);
        this.#lost = 0;
        this.#isFailing = false;
      } catch (error) {
        if (!this.#isFailing) this.#options.onLost(error as Error);
        this.#isFailing = true;
        this.#lost += 1;
      }
    }
  }

  async #write(text: string): Promise<void> {
    const { path, bytesMax } = this.#options;
    await mkdir(dirname(path), { recursive: true, mode: dirMode });
    const file = await open(path, 'a+', fileMode);
    try {
      const { size } = await file.stat();
      const last = Buffer.alloc(1);
      if (size > 0) await file.read(last, 0, 1, size - 1);
      if (size > 2 * bytesMax) throw new Error(`${path} is full, and cannot be put by`);
      const isTorn = size > 0 && last[0] !== newline;
      const bytes = Buffer.from(isTorn ? `\n${text}` : text);
      const { bytesWritten } = await file.write(bytes);
      if (bytesWritten < bytes.length) throw new Error('the disk took a part of a line');
      await file.datasync();
      // The line is there, whatever becomes of this; the next one tries again.
      if (size + bytes.length > bytesMax) await this.#turn().catch(() => {});
    } finally {
      await file.close();
    }
  }

  /** One process at a time, for two would throw away what the first has just put by. */
  async #turn(): Promise<void> {
    const { path, olderPath, bytesMax } = this.#options;
    const mark = `${path}.turning`;
    try {
      await (await open(mark, 'wx', fileMode)).close();
    } catch (error) {
      if (errnoCode(error) !== 'EEXIST') throw error;
      const { mtimeMs } = await stat(mark);
      const nowMs = (await stat(path)).mtimeMs; // of the line that was just written
      if (nowMs - mtimeMs > turnMsMax) await unlink(mark);
      return;
    }
    try {
      if ((await stat(path)).size > bytesMax) await rename(path, olderPath);
    } finally {
      await unlink(mark);
    }
  }
}
