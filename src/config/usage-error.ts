/**
 * What was typed, or what the environment says, cannot be used. Thrown before anything is done.
 * `message` and `hint` are sentences without final stop.
 */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly origin: 'arguments' | 'environment';
  readonly hint: string | undefined;

  constructor(message: string, hint?: string, origin: UsageError['origin'] = 'arguments') {
    super(message);
    this.hint = hint;
    this.origin = origin;
  }
}
