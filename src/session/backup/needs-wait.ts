/**
 * The last look before a copy is built: what was there when the session began may have gone since.
 * The hypervisor destroys a copy whose devices it cannot make, and nothing brings that back; as
 * long as the copy is not built it can be kept, and built when a person has made what it lacks.
 *
 * It is kept for a guest that would else be lost. A primary that asks meanwhile has its guest, and
 * waits for this copy: then the build fails at once, and that guest goes on.
 */
import { sleep, type Timers } from '../../host/clock.ts';
import { OperationError } from '../../host/errors.ts';
import type { Log } from '../../host/log.ts';
import type { Lack } from '../../hypervisor/port.ts';

/** How soon what a person has made is found, ms. */
const lookEveryMs = 1_000;

export interface NeedsWaitParts {
  readonly timers: Timers;
  readonly log: Log;
  readonly lacks: () => Promise<readonly Lack[]>;
  /** What is lacking has changed. */
  readonly onChange: () => void;
}

export class NeedsWait {
  readonly #parts: NeedsWaitParts;
  #lacks: readonly Lack[] = [];
  #isAsked = false;

  constructor(parts: NeedsWaitParts) {
    this.#parts = parts;
  }

  /** What the copy waits for; empty: for nothing. */
  get lacks(): readonly Lack[] {
    return this.#lacks;
  }

  /** A primary asks: it lives, and nobody needs this copy as much as it does. */
  asked(): void {
    this.#isAsked = true;
  }

  /** Resolves when nothing lacks; rejects when it was given up. */
  async untilThere(): Promise<void> {
    const { timers, log, lacks, onChange } = this.#parts;
    // A primary that is there asks again.
    this.#isAsked = false;
    for (let said = ''; ; await sleep(timers, lookEveryMs)) {
      const found = await lacks();
      const text = found.map(({ what }) => what).join('; ');
      this.#lacks = found;
      if (text !== said) {
        log.error(text === '' ? 'nothing is lacking any more' : `the copy is not built: ${text}`);
        said = text;
        onChange();
      }
      if (found.length === 0) return;
      if (this.#isAsked) {
        this.#lacks = [];
        const why = `${text}, and the primary asks for leave to go on`;
        throw new OperationError('hypervisor', why, { op: 'build-copy' });
      }
    }
  }
}
