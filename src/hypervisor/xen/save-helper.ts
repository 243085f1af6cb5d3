/**
 * libxl's save helper with tsremus's library in front of libxc (native/pause), or without it. libxl
 * runs the program that LIBXL_SAVE_HELPER names, else the one whose path was compiled into it
 * (libxl_save_callout.c, run_helper); the wrapper beside libtsremus starts that one.
 */
import { existsSync, readFileSync } from 'node:fs';
import type { SaveHelper } from '../../core/save-helper.ts';
import { errorText } from '../../host/errors.ts';
import { besideNative } from '../../native/loader.ts';
import type { SaveEvent } from '../port.ts';

const variable = 'LIBXL_SAVE_HELPER';
/** What the wrapper is told: the program that it is to be. */
const stockVariable = '_TSREMUS_STOCK_HELPER';
/** What may wait in the helper to be written after the resume, bytes (native/pause/pause.c). */
const bytesVariable = '_TSREMUS_PAUSE_BYTES';

const name = 'libxl-save-helper';

/** Of what may wait, this share does so in the helper, and no more than that. */
const ownShare = 0.25;
const ownBytesMax = 64 * 1024 * 1024;

type HelperEvent = Extract<SaveEvent, { kind: 'save-helper' }>;

/** How a save begins. */
export interface ChosenHelper {
  /** Of the limit, what the helper has. */
  readonly ownBytes: number;
  /** What is known beforehand; null: the helper will say. */
  readonly event: HelperEvent | null;
}

/** The path of the save helper that is compiled into libxenlight. */
function compiledIn(library: string): string | null {
  const bytes = readFileSync(library);
  const end = bytes.indexOf(`/${name}\0`, 0, 'latin1');
  if (end < 0) return null;
  const start = bytes.lastIndexOf(0, end) + 1;
  const path = bytes.toString('latin1', start, end + name.length + 1);
  return /^\/[\x21-\x7e]+$/.test(path) ? path : null;
}

/** Chooses the helper of the saves of one process. */
export class SaveHelpers {
  readonly #env: NodeJS.ProcessEnv;
  readonly #library: string;
  readonly #ours: string;
  /** What LIBXL_SAVE_HELPER was before it was ours. */
  readonly #before: string | undefined;

  /**
   * `env`: this process's own, in which libxl looks. `library`: the libxenlight that was opened;
   * `nativePath`: libtsremus, where it is not beside us.
   */
  constructor(env: NodeJS.ProcessEnv, library: string, nativePath?: string) {
    this.#env = env;
    this.#library = library;
    this.#ours = besideNative(name, nativePath);
    this.#before = env[variable];
  }

  /** For the save that begins now, of which `limitBytes` may wait. */
  choose(wanted: SaveHelper, limitBytes: number): ChosenHelper {
    const reason = wanted === 'stock' ? null : this.#useOwn(limitBytes);
    if (wanted === 'own' && reason === null) {
      return { ownBytes: ownBytesWithin(limitBytes), event: null };
    }
    if (this.#before === undefined) delete this.#env[variable];
    else this.#env[variable] = this.#before;
    return { ownBytes: 0, event: { kind: 'save-helper', helper: 'stock', reason } };
  }

  /** Why it cannot be, a clause; null: it is. */
  #useOwn(limitBytes: number): string | null {
    if (!existsSync(this.#ours)) return `${this.#ours} is missing`;
    let stock: string | null;
    try {
      stock = this.#before || compiledIn(this.#library);
    } catch (error) {
      return `${this.#library} cannot be read: ${errorText(error)}`;
    }
    if (stock === null) return `${this.#library} does not say where its save helper is`;
    this.#env[stockVariable] = stock;
    this.#env[bytesVariable] = `${ownBytesWithin(limitBytes)}`;
    this.#env[variable] = this.#ours;
    return null;
  }
}

function ownBytesWithin(limitBytes: number): number {
  return Math.min(ownBytesMax, Math.floor(limitBytes * ownShare));
}

/** What the library in the helper says through libxl's logger (native/pause/pause.c, say). */
const said = /^tsremus: \w+: checkpoints are (written after|libxc's own)[^:]*(?:: (.*))?$/;

/** A line of libxl's log that says what makes the checkpoints; null: it says something else. */
export function helperEventIn(line: string): HelperEvent | null {
  const [, word, reason = null] = said.exec(line) ?? [];
  if (word === undefined) return null;
  const helper = word === 'written after' ? 'own' : 'stock';
  return { kind: 'save-helper', helper, reason };
}
