/**
 * zstd without libzstd: zstd-codec (WebAssembly) in a worker thread of its own. There, because one
 * batch takes it milliseconds, and because its start-up code replaces the process's handlers of
 * uncaught errors, which in a worker are only the worker's.
 *
 * Frames do not carry a checksum and zstd-codec does not notice a flipped bit: whoever calls this
 * has checked the bytes.
 */
import { Worker } from 'node:worker_threads';

/** zstd-codec's heap is fixed at 16 MiB; these inputs are known to fit. */
export const zstdBytesMax = 2 << 20;

export interface ZstdCodec {
  /** One frame, or null if zstd-codec gives up. */
  compress(bytes: Uint8Array, level: number): Promise<Buffer | null>;
  /** Exactly `size` bytes, or null if `bytes` is not a frame of them. */
  decompress(bytes: Uint8Array, size: number): Promise<Buffer | null>;
  /** Ends the thread; calls under way resolve to null. */
  close(): void;
}

interface Answer {
  readonly id: number;
  readonly bytes: Uint8Array | null;
}

/**
 * The worker: source text, so that it needs no file beside the bundle. `decompress` would make room
 * for whatever size the frame names, so that is compared first.
 */
const source = `
const { parentPort, workerData } = require('node:worker_threads');
const { createRequire } = require('node:module');
const { ZstdCodec } = createRequire(workerData.from)('zstd-codec');
ZstdCodec.run((zstd) => {
  const simple = new zstd.Simple();
  const generic = new zstd.Generic();
  const tasks = {
    compress: (bytes, level) => simple.compress(bytes, level),
    decompress: (bytes, size) =>
      generic.contentSize(bytes) === size ? simple.decompress(bytes) : null,
  };
  parentPort.on('message', ({ id, task, bytes, number }) => {
    let result = null;
    try {
      result = tasks[task](bytes, number);
    } catch {
      // Out of its heap or not a frame: null is the answer to both.
    }
    parentPort.postMessage({ id, bytes: result }, result ? [result.buffer] : []);
  });
  parentPort.postMessage({ id: 0, bytes: null });
});
`;

/** Starts the thread; rejects if zstd-codec cannot be loaded. */
export async function openZstdCodec(): Promise<ZstdCodec> {
  const worker = new Worker(source, {
    eval: true,
    workerData: { from: import.meta.url },
    execArgv: [],
  });
  const waiting = new Map<number, (bytes: Uint8Array | null) => void>();
  let failure: Error | null = null;
  let lastId = 0;

  const endAll = () => {
    for (const resolve of waiting.values()) resolve(null);
    waiting.clear();
  };
  const started = new Promise<void>((resolve, reject) => {
    worker.on('message', ({ id, bytes }: Answer) => {
      if (id === 0) resolve();
      const done = waiting.get(id);
      waiting.delete(id);
      if (waiting.size === 0) worker.unref();
      done?.(bytes);
    });
    worker.on('error', (error) => {
      failure = error;
      reject(error);
    });
    worker.on('exit', () => {
      failure ??= new Error('the thread of zstd-codec ended');
      reject(failure);
      endAll();
    });
  });
  await started;
  worker.unref();

  const ask = (task: string, bytes: Uint8Array, number: number) =>
    new Promise<Buffer | null>((resolve) => {
      if (failure !== null || bytes.length > zstdBytesMax) return resolve(null);
      lastId += 1;
      waiting.set(lastId, (result) => {
        resolve(result === null ? null : Buffer.from(result.buffer, 0, result.length));
      });
      worker.ref();
      worker.postMessage({ id: lastId, task, bytes, number });
    });
  return {
    compress: (bytes, level) => ask('compress', bytes, level),
    decompress: (bytes, size) => ask('decompress', bytes, size),
    close: () => {
      failure ??= new Error('closed');
      void worker.terminate();
    },
  };
}
