/**
 * What was typed, or what the environment or a file of settings says, cannot be used. Thrown before
 * anything is done. `message` is a sentence without final stop.
 */

/** One thing in what was typed that is to be otherwise; whoever knows all of it makes the line. */
export interface Correction {
  /** `--interval`, `interval` or TSREMUS_INTERVAL. */
  readonly name: string;
  /** What stands between name and value. */
  readonly joint: ' ' | '=';
  /** Null: it is to be left out. */
  readonly value: string | null;
  /** Of a variable that is to be left out: what was meant, with its value. */
  readonly instead?: string;
}

export class UsageError extends Error {
  override readonly name = 'UsageError';
  /** Where it was said; `file`: the message names it, with its line. */
  readonly origin: 'arguments' | 'environment' | 'file';
  /** A line of core/texts/advice.ts, or what to put right; undefined: the help says it. */
  readonly hint: string | Correction | undefined;

  constructor(
    message: string,
    hint?: string | Correction,
    origin: UsageError['origin'] = 'arguments',
  ) {
    super(message);
    this.hint = hint;
    this.origin = origin;
  }
}
