/**
 * Keeps a session's status file true: written at every change and at least every second, so that
 * a reader never believes an old state for longer than that.
 */
import { type BootClock, type Cancel, every, type Time } from '../host/clock.ts';
import { errorText } from '../host/errors.ts';
import type { Log } from '../host/log.ts';
import type { ProcessId } from '../host/process-id.ts';
import type { Claim } from './port.ts';
import type { SessionStatus } from './status.ts';

const periodMs = 1_000;
/** Changes come in bursts; one write serves them all. */
const settleMs = 20;

type Owned =
  | 'schema'
  | 'started'
  | 'updated'
  | 'updated_uptime_ms'
  | 'pid'
  | 'pid_start'
  | 'boot_id'
  | 'host_refusals';
/** What the session itself knows; the writer adds who and when. */
export type StatusFacts = Omit<SessionStatus, Owned>;

export interface StatusWriterParts extends Time {
  readonly bootClock: BootClock;
  readonly claim: Claim;
  readonly log: Log;
  /** This process. */
  readonly owner: ProcessId;
  /** What the host refused to it. */
  readonly refusals: readonly string[];
  readonly facts: () => StatusFacts;
}

export class StatusWriter {
  readonly #parts: StatusWriterParts;
  readonly #started: string;
  readonly #cancel: Cancel;
  #soon: Cancel | null = null;
  #failing = false;

  constructor(parts: StatusWriterParts) {
    this.#parts = parts;
    this.#started = parts.clock.wall().toISOString();
    this.#cancel = every(parts.timers, periodMs, () => this.write());
    this.write();
  }

  /** Something changed. */
  changed(): void {
    this.#soon ??= this.#parts.timers.after(settleMs, () => {
      this.#soon = null;
      this.write();
    });
  }

  /** Writes now. A full disk must not end protection: it is said once, and tried again. */
  write(): void {
    const { claim, log } = this.#parts;
    const error = claim.publish(this.current());
    if (error !== null && !this.#failing) log.error(`status: ${errorText(error)}`);
    this.#failing = error !== null;
  }

  current(): SessionStatus {
    const { facts, owner, refusals, clock, bootClock } = this.#parts;
    return {
      ...facts(),
      schema: 1,
      started: this.#started,
      updated: clock.wall().toISOString(),
      updated_uptime_ms: bootClock.sinceBootMs(),
      pid: owner.pid,
      pid_start: owner.startTicks,
      boot_id: owner.bootId,
      host_refusals: refusals,
    };
  }

  /** The last write; nothing is written afterwards. */
  close(): void {
    this.#cancel();
    this.#soon?.();
    this.write();
  }
}
