/**
 * Loads libtsremus and binds its functions for the wrappers of its rooms (xen.ts, plug.ts,
 * codec.ts). Every failure becomes a NativeError that carries the library's own sentence.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CType, type ForeignFunction, type ForeignLibrary, openLibrary } from './ffi.ts';

const abiVersion = 11;
const xlBase = 10_000;

/** A call of the native library that failed. */
export class NativeError extends Error {
  override readonly name = 'NativeError';
  /** libxl's negative error number, or null if the system refused. */
  readonly xlCode: number | null;
  /** The system's errno, or null if libxl refused. */
  readonly errno: number | null;

  constructor(op: string, code: number, text: string) {
    super(text === '' ? `${op} failed with ${code}` : text);
    this.xlCode = code < -xlBase ? code + xlBase : null;
    this.errno = code < -xlBase ? null : -code;
  }
}

/** native/common/tsremus.h. */
const commonSignatures = {
  tsr_abi_version: [],
  tsr_error_text: ['int', 'pointer', 'size_t'],
} as const satisfies Record<string, readonly CType[]>;

/** native/build/libtsremus.so, wherever this file was bundled to. */
function findNative(): string {
  let dir = dirname(fileURLToPath(import.meta.url));
  for (let up = 0; up < 4; up++) {
    const path = join(dir, 'native/build/libtsremus.so');
    if (existsSync(path)) return path;
    dir = dirname(dir);
  }
  throw new NativeError('open', -2, 'libtsremus.so is missing; build it with `npm run build`');
}

/** The path of `name` beside the library: a program of ours that is native, too. */
export function besideNative(name: string, path?: string): string {
  return join(dirname(path ?? findNative()), name);
}

/**
 * What was loaded, by the path that was asked for. A process that opens another room hours later
 * gets the library that it began with: an upgrade may have taken the file away since.
 */
const loaded = new Map<string, ForeignLibrary>();

function libraryAt(path: string | undefined): ForeignLibrary {
  const key = path ?? '';
  const library = loaded.get(key) ?? openLibrary(path ?? findNative());
  loaded.set(key, library);
  return library;
}

/** The functions of one room, bound when they are called first: each costs milliseconds. */
export class NativeRoom<Name extends string> {
  readonly #library: ForeignLibrary;
  readonly #signatures: Readonly<Record<Name, readonly CType[]>>;
  readonly #bound = new Map<string, ForeignFunction>();

  /**
   * Loads libtsremus, from `path` where one is given. Throws NativeError when it is missing or of
   * another build.
   */
  constructor(signatures: Readonly<Record<Name, readonly CType[]>>, path?: string) {
    this.#signatures = signatures;
    this.#library = libraryAt(path);
    const version = this.#bind('tsr_abi_version', commonSignatures.tsr_abi_version).call();
    if (version !== abiVersion) {
      throw new NativeError('open', -8, `libtsremus.so is of build ${version}, not ${abiVersion}`);
    }
  }

  #bind(name: string, types: readonly CType[]): ForeignFunction {
    let fn = this.#bound.get(name);
    if (fn === undefined) {
      fn = this.#library.bind(name, types);
      this.#bound.set(name, fn);
    }
    return fn;
  }

  fn(name: Name): ForeignFunction {
    return this.#bind(name, this.#signatures[name]);
  }

  /** `code`, unless it is a failure: then a NativeError with the sentence that belongs to it. */
  checked(op: string, code: number, handle = -1): number {
    if (code >= 0) return code;
    const text = Buffer.alloc(1024);
    const errorText = this.#bind('tsr_error_text', commonSignatures.tsr_error_text);
    // Calls off this thread fail there: without a handle the code tells which failure is meant.
    const length = errorText.call(handle < 0 ? code : handle, text, text.length);
    throw new NativeError(op, code, text.toString('utf8', 0, Math.max(0, length)));
  }
}
