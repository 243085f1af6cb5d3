/**
 * The one module that knows ffi-napi. Four methods: open a library, bind a function, call it, call
 * it off the main thread. koffi or node:ffi could stand in for it in this file alone.
 *
 * Rules that follow from measurements: main thread only (worker threads crash at exit); bind
 * lazily (every bound symbol costs milliseconds); no function returns a pointer (each would cost
 * ~3 ms in ref-napi); buffers of a call under way stay referenced here until it is done.
 */
import { createRequire } from 'node:module';

/** Types that our C interface uses. Buffers are passed as `pointer`. */
export type CType = 'int' | 'uint32' | 'uint64' | 'size_t' | 'pointer';
export type CValue = number | Buffer | null;

export interface ForeignFunction {
  /** Calls on this thread; for functions that return in microseconds. */
  call(...args: CValue[]): number;
  /** Calls on a thread of libuv's pool; for functions that may block. */
  callAsync(...args: CValue[]): Promise<number>;
}

export interface ForeignLibrary {
  bind(name: string, args: readonly CType[]): ForeignFunction;
}

interface FfiFunction {
  (...args: CValue[]): number;
  async(...args: unknown[]): void;
}

interface FfiModule {
  DynamicLibrary: new (path: string, mode: number) => { get(name: string): unknown };
  ForeignFunction: (pointer: unknown, returns: string, args: readonly string[]) => FfiFunction;
}

const rtldNow = 2;

/** Opens the shared library at `path`. Throws what dlopen says. */
export function openLibrary(path: string): ForeignLibrary {
  const require = createRequire(import.meta.url);
  const ffi = require('ffi-napi') as FfiModule;
  const library = new ffi.DynamicLibrary(path, rtldNow);
  return {
    bind(name, args) {
      const fn = ffi.ForeignFunction(library.get(name), 'int', args);
      return {
        call: (...values) => fn(...values),
        callAsync: (...values) =>
          new Promise((resolve, reject) => {
            // `values` is captured by the callback, so the buffers outlive the call.
            fn.async(...values, (error: Error | null, result: number) => {
              if (error && values) reject(error);
              else resolve(result);
            });
          }),
      };
    },
  };
}

/** A NUL-terminated copy of `text`, for `const char *`. */
export function cString(text: string): Buffer {
  return Buffer.from(`${text}\0`, 'utf8');
}
