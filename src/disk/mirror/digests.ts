/**
 * What a disk of this host holds, block by block, as digests (native/disk/hasher.h): for whoever
 * compares it with the one on the other host. Nothing is written here.
 */
import { digestBlockBytes, digestBlocksMax } from '../../core/digests.ts';
import { errorText, OperationError } from '../../host/errors.ts';
import type { NativeEvent } from '../../native/events.ts';
import type { HasherLibrary, HasherSettings } from '../../native/hasher.ts';

export type Hasher = Pick<HasherLibrary, 'hasherOpen' | 'hasherAsk' | 'hasherTake' | 'hasherClose'>;

type Waiting = {
  readonly resolve: (digests: Buffer) => void;
  readonly reject: (error: Error) => void;
};

export class DiskDigests {
  readonly #hasher: Hasher;
  readonly #path: string;
  #handle = -1;
  #waiting: Waiting | null = null;
  #closed: Promise<void> | null = null;

  private constructor(hasher: Hasher, path: string) {
    this.#hasher = hasher;
    this.#path = path;
  }

  /** Opens the disk. Rejects with what the native library says. */
  static async open(hasher: Hasher, settings: HasherSettings): Promise<DiskDigests> {
    const digests = new DiskDigests(hasher, settings.path);
    digests.#handle = await hasher.hasherOpen(settings, (event) => digests.#onEvent(event));
    return digests;
  }

  /**
   * Of `count` blocks from `first` on; one call at a time. Rejects with OperationError('storage')
   * where they cannot be read, ('protocol') where the disk has not got them.
   */
  of(first: number, count: number): Promise<Buffer> {
    if (this.#closed !== null) return Promise.reject(this.#error('it was closed'));
    return new Promise((resolve, reject) => {
      if (this.#hasher.hasherAsk(this.#handle, first, count)) {
        this.#waiting = { resolve, reject };
        return;
      }
      reject(this.#error(`${count} blocks from block ${first} on are not there`, 'protocol'));
    });
  }

  #error(text: string, code: 'storage' | 'protocol' = 'storage'): OperationError {
    const about = { op: 'read-digests', subject: this.#path };
    return new OperationError(code, `${this.#path}: ${text}`, about);
  }

  #onEvent(event: NativeEvent): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    if (event.kind !== 'disk-hashed') {
      waiting?.reject(this.#error(event.kind === 'failed' ? event.text : 'it was closed'));
      return;
    }
    try {
      waiting?.resolve(this.#hasher.hasherTake(this.#handle));
    } catch (error) {
      waiting?.reject(this.#error(errorText(error)));
    }
  }

  /** Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#hasher.hasherClose(this.#handle);
    return this.#closed;
  }
}

/** How many blocks a disk of that size has. */
export function blocksOf(sizeBytes: number): number {
  return Math.ceil(sizeBytes / digestBlockBytes);
}

/** The questions that a whole disk takes: each a range of blocks. */
export function* rangesOf(sizeBytes: number): Generator<{ first: number; count: number }> {
  const blocks = blocksOf(sizeBytes);
  for (let first = 0; first < blocks; first += digestBlocksMax) {
    yield { first, count: Math.min(digestBlocksMax, blocks - first) };
  }
}
