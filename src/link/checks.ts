/**
 * Hand-written checks of JSON that came from a peer or a file. Each returns the value with its
 * type, or throws an OperationError `protocol` that names the field, the value and the rule.
 * Fields that nobody asks for are ignored: that is how a version adds one without breaking the
 * version before it.
 */
import { OperationError } from '../host/errors.ts';
import { hasControl } from '../host/text.ts';

export type JsonObject = { readonly [key: string]: unknown };

/** Longest excerpt of a wrong value in an error text. */
const shownMax = 60;

function wrong(what: string, field: string, value: unknown, rule: string): OperationError {
  const text = JSON.stringify(value) ?? 'missing';
  const shown = text.length > shownMax ? `${text.slice(0, shownMax)}...` : text;
  return new OperationError('protocol', `${what}: field ${field} is ${shown}, ${rule}`, {
    op: 'check-message',
    subject: field,
  });
}

/** A reader of one object's fields; `what` begins every error text. */
export class Fields {
  readonly #what: string;
  readonly #object: JsonObject;
  readonly #path: string;

  constructor(what: string, value: unknown, path = '') {
    this.#what = what;
    this.#path = path;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw wrong(what, path || '(all)', value, 'must be an object');
    }
    this.#object = value as JsonObject;
  }

  #get(key: string): unknown {
    // Own fields only: "constructor" and its like are no answers of the peer's.
    return Object.hasOwn(this.#object, key) ? this.#object[key] : undefined;
  }

  #wrong(key: string, rule: string): OperationError {
    return wrong(this.#what, this.#path + key, this.#get(key), rule);
  }

  has(key: string): boolean {
    const value = this.#get(key);
    return value !== undefined && value !== null;
  }

  object(key: string): Fields {
    return new Fields(this.#what, this.#get(key), `${this.#path}${key}.`);
  }

  boolean(key: string): boolean {
    const value = this.#get(key);
    if (typeof value !== 'boolean') throw this.#wrong(key, 'must be true or false');
    return value;
  }

  /** A whole number from `min` to `max`. */
  integer(key: string, min: number, max: number): number {
    const value = this.#get(key);
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
      throw this.#wrong(key, `must be a whole number from ${min} to ${max}`);
    }
    return value;
  }

  /** Text of at most `lengthMax` characters without control characters. */
  text(key: string, lengthMax: number): string {
    const value = this.#get(key);
    if (typeof value !== 'string' || value.length > lengthMax || hasControl(value)) {
      throw this.#wrong(key, `must be text of at most ${lengthMax} printable characters`);
    }
    return value;
  }

  textOrNull(key: string, lengthMax: number): string | null {
    return this.has(key) ? this.text(key, lengthMax) : null;
  }

  /** Text that matches `pattern`; `rule` says so in words. */
  matching(key: string, pattern: RegExp, rule: string): string {
    const value = this.#get(key);
    if (typeof value !== 'string' || !pattern.test(value)) throw this.#wrong(key, rule);
    return value;
  }

  oneOf<T extends string | number>(key: string, allowed: readonly T[]): T {
    const value = this.#get(key);
    const found = allowed.find((entry) => entry === value);
    if (found === undefined) throw this.#wrong(key, `must be one of ${allowed.join(', ')}`);
    return found;
  }

  /** A list of at most `countMax` objects. */
  objects(key: string, countMax: number): readonly Fields[] {
    const value = this.#get(key);
    if (!Array.isArray(value) || value.length > countMax) {
      throw this.#wrong(key, `must be a list of at most ${countMax} objects`);
    }
    return value.map((one, at) => new Fields(this.#what, one, `${this.#path}${key}.${at}.`));
  }

  /** A list of at most `countMax` whole numbers from 0 to `max`. */
  integers(key: string, countMax: number, max: number): readonly number[] {
    const value = this.#get(key);
    const isOne = (entry: unknown) =>
      typeof entry === 'number' && Number.isSafeInteger(entry) && entry >= 0 && entry <= max;
    if (!Array.isArray(value) || value.length > countMax || !value.every(isOne)) {
      throw this.#wrong(key, `must be a list of at most ${countMax} numbers up to ${max}`);
    }
    return value as number[];
  }

  /** A list of at most `countMax` short lower-case words. */
  words(key: string, countMax: number): readonly string[] {
    const value = this.#get(key);
    const isWord = (entry: unknown) => typeof entry === 'string' && /^[a-z0-9-]{1,32}$/.test(entry);
    if (!Array.isArray(value) || value.length > countMax || !value.every(isWord)) {
      throw this.#wrong(key, `must be a list of at most ${countMax} words`);
    }
    return value as string[];
  }
}

/** Strict UTF-8 and JSON, or an OperationError `protocol`. */
export function parseJson(what: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new OperationError('protocol', `${what}: the body is not JSON in UTF-8`, {
      op: 'check-message',
      subject: 'body',
      cause,
    });
  }
}
