/**
 * Keeps a session's status file true: written at every change and at least every second, so that
 * a reader never believes an old state for longer than that.
 */
import { errorText } from '../host/errors.ts';
import type { Log } from '../host/log.ts';
import { ownProcessId } from '../host/process-id.ts';
import type { Claim } from './run-directory.ts';
import type { SessionStatus } from './status.ts';

const periodMs = 1_000;
/** Changes come in bursts; one write serves them all. */
const settleMs = 20;

type Owned = 'schema' | 'started' | 'updated' | 'pid' | 'pid_start' | 'boot_id';
/** What the session itself knows; the writer adds who and when. */
export type StatusFacts = Omit<SessionStatus, Owned>;

export class StatusWriter {
  readonly #claim: Claim;
  readonly #facts: () => StatusFacts;
  readonly #log: Log;
  readonly #started = new Date().toISOString();
  readonly #owner = ownProcessId();
  readonly #timer: NodeJS.Timeout;
  #soon: NodeJS.Timeout | null = null;
  #failing = false;

  constructor(claim: Claim, log: Log, facts: () => StatusFacts) {
    this.#claim = claim;
    this.#facts = facts;
    this.#log = log;
    this.#timer = setInterval(() => this.write(), periodMs);
    this.write();
  }

  /** Something changed. */
  changed(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = null;
      this.write();
    }, settleMs);
  }

  /** Writes now. A full disk must not end protection: it is said once, and tried again. */
  write(): void {
    const error = this.#claim.publish(this.current());
    if (error !== null && !this.#failing) this.#log.error(`status: ${errorText(error)}`);
    this.#failing = error !== null;
  }

  current(): SessionStatus {
    return {
      ...this.#facts(),
      schema: 1,
      started: this.#started,
      updated: new Date().toISOString(),
      pid: this.#owner.pid,
      pid_start: this.#owner.startTicks,
      boot_id: this.#owner.bootId,
    };
  }

  /** The last write; nothing is written afterwards. */
  close(): void {
    clearInterval(this.#timer);
    if (this.#soon !== null) clearTimeout(this.#soon);
    this.write();
  }
}
