/**
 * What the hypervisor logs of an operation, in the session's log: its errors as warnings, because
 * they say why an operation that fails does; all else, and more errors than tell anything, for
 * whoever has asked for all.
 */
import type { Log } from '../host/log.ts';

/** Of one operation. The first ones name the cause. */
const errorsMax = 20;

export class HypervisorLog {
  readonly #log: Log;
  #errors = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  /** `expected`: the operation was told to end, so that it fails. */
  take({ isError, text }: { readonly isError: boolean; readonly text: string }, expected: boolean) {
    if (!isError || expected) return this.#log.debug(`hypervisor: ${text}`);
    this.#errors += 1;
    if (this.#errors > errorsMax) return this.#log.debug(`hypervisor: ${text}`);
    this.#log.warning(`hypervisor: ${text}`);
    if (this.#errors === errorsMax) this.#log.warning('hypervisor: further errors as debug only');
  }
}
