/** Tells how far a resync is, for whoever looks into the run directory. */
import { type Cancel, every, type Time } from '../host/clock.ts';
import { errorText } from '../host/errors.ts';
import type { Log } from '../host/log.ts';
import type { ProcessId } from '../host/process-id.ts';
import type { Claim } from './port.ts';
import type { ResyncFigures, ResyncStatus } from './resync-status.ts';

const periodMs = 1_000;

export interface ResyncTellerParts extends Time {
  readonly claim: Pick<Claim, 'publishResync'>;
  readonly log: Log;
  /** This process. */
  readonly owner: ProcessId;
  readonly of: Pick<ResyncStatus, 'domain' | 'uuid' | 'role' | 'peer' | 'compare_only'>;
  readonly figures: () => ResyncFigures;
}

/** Tells every second, until it is closed. */
export class ResyncTeller {
  readonly #parts: ResyncTellerParts;
  readonly #started: string;
  readonly #cancel: Cancel;
  #isFailing = false;

  constructor(parts: ResyncTellerParts) {
    this.#parts = parts;
    this.#started = parts.clock.wall().toISOString();
    this.#cancel = every(parts.timers, periodMs, () => this.#tell());
    // What it puts under a volume is nothing that was left, from the first moment on.
    this.#tell();
  }

  /** A full disk must not end it: that is said once. */
  #tell(): void {
    const { claim, log, owner, of, figures, clock } = this.#parts;
    const error = claim.publishResync({
      ...{ schema: 1, ...of, ...figures() },
      ...{ started: this.#started, updated: clock.wall().toISOString() },
      ...{ pid: owner.pid, pid_start: owner.startTicks, boot_id: owner.bootId },
    });
    if (error !== null && !this.#isFailing) log.error(`status: ${errorText(error)}`);
    this.#isFailing = error !== null;
  }

  /** Nothing more is told; what was goes with the claim. */
  close(): void {
    this.#cancel();
  }
}
