/**
 * Assertions. A broken invariant is a bug in tsremus, never the world's fault: it is thrown,
 * never caught, and ends the process. That is safe: the output buffer stays closed and the
 * other side decides.
 */

/** A bug in tsremus. Nothing may catch it. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError';
}

/** Throws when `condition` does not hold. `words` names the invariant, for example `P1`. */
export function invariant(condition: boolean, words: string): asserts condition {
  if (!condition) throw new InvariantError(words);
}

/** For the `default` of a switch over a closed union: the compiler proves it unreachable. */
export function unreachable(value: never): never {
  throw new InvariantError(`unreachable: ${JSON.stringify(value)}`);
}
