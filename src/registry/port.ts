/**
 * The registry: which sessions there are on this host, what they say of themselves, how to ask
 * them, and who watches which guest. It is as old as the host's last boot.
 */
import type { Liveness } from '../core/health/facts.ts';
import type { Named } from '../core/who.ts';
import { errnoCode, OperationError } from '../host/errors.ts';
import type { Log } from '../host/log.ts';
import type { ProcessId } from '../host/process-id.ts';
import type { ControlHandler, ControlRequest, ControlServer, RequestOptions } from './control.ts';
import type { ResyncStatus } from './resync-status.ts';
import type { SessionStatus } from './status.ts';

export type Role = SessionStatus['role'];

export interface SessionEntry {
  readonly status: SessionStatus;
  readonly liveness: Liveness;
  readonly statusPath: string;
  readonly socketPath: string;
}

/** A status file that cannot be used, and why. */
export interface BrokenEntry {
  readonly statusPath: string;
  readonly reason: string;
}

export interface Listing {
  readonly sessions: readonly SessionEntry[];
  readonly broken: readonly BrokenEntry[];
}

/** Ownership of one domain in one role, until `release` or the end of the process. */
export interface Claim {
  readonly socketPath: string;
  /**
   * What an earlier session left that is not settled (its process died, or it ended held): to be
   * cleaned up first, `tsremus stop`. Null when there is nothing of that kind.
   */
  readonly unsettled: SessionStatus | null;
  /** Replaces the status file. A failure is returned, not thrown: it must not end protection. */
  publish(status: SessionStatus): OperationError | null;
  /** The same of a resync that has the claim, beside the status; it goes with `release`. */
  publishResync(status: ResyncStatus): OperationError | null;
  /**
   * Gives the domain back. `forget` removes the status file too: an end that was ordered.
   * `as-before` puts back what stood there at the claim: a session that could not even begin
   * must not hide how the one before it ended.
   */
  release(what: 'keep-status' | 'forget' | 'as-before'): void;
}

export interface Registry {
  /**
   * Makes this process the owner of a domain in one role. Fails with `already-protected` while
   * another process that lives owns it; what dead ones left is taken over.
   */
  claimSession(subject: {
    readonly uuid: string;
    readonly domain: string;
    readonly role: Role;
  }): Promise<Claim>;
  /** Every session. Throws OperationError('storage') when they cannot be listed. */
  sessions(): Listing;
  /** Those of processes that live. Throws as `sessions` does. */
  resyncs(): readonly ResyncStatus[];
  /** Where the session of a guest in that role answers, whatever its status says of it. */
  socketOf(subject: {
    readonly uuid: string;
    readonly domain: string;
    readonly role: Role;
  }): string;
  /** The same session as it is now; null when its status is gone. */
  refreshed(entry: SessionEntry): SessionEntry | null;
  /** Removes a session's status: what it says was seen. */
  forget(entry: SessionEntry): void;
  /** Changes what a session of the guest left here, whose owner is gone; nothing when that is. */
  amend(
    which: { readonly uuid: string; readonly session: string },
    change: (status: SessionStatus) => SessionStatus,
  ): void;
  /**
   * Makes this process the one that watches the guest's own end. Returns what gives the watch back;
   * null when another process that lives has it.
   */
  claimWatch(guest: { readonly uuid: string; readonly name: string }): Promise<(() => void) | null>;
  /** The process of tsremus that watches the guest's own end; null: none does. */
  watcherOf(uuid: string): ProcessId | null;
  /**
   * Answers requests at `socketPath` (a claim's) until closed. One whose time is over when this
   * process comes to it, because it was stopped, is refused, and `log` says so.
   */
  serve(socketPath: string, handler: ControlHandler, log: Log): Promise<ControlServer>;
  /**
   * Sends a request to the session at `socketPath`; resolves with the result it gives. Rejects with
   * `no-answer` when that says nothing for so long as the options have it; the request has lapsed
   * then, unless it was begun.
   */
  request<Result extends object>(
    socketPath: string,
    request: ControlRequest,
    options?: RequestOptions,
  ): Promise<Result>;
}

/** By what its guest can be named. Of a buffer that was found without its session the number. */
export function namedBy({ domain, uuid, domid }: SessionStatus): Named {
  return { name: uuid === '' ? '' : domain, uuid, id: domid };
}

/** True when a session ended and left nothing to do: its status is only there to be seen. */
export function isSettled(status: SessionStatus): boolean {
  // A copy that took over stays so, whatever becomes of the process that watches it.
  if (status.state === 'active') return true;
  return status.outcome !== null && status.outcome !== 'held';
}

/** The sessions of this host; none where nothing of ours has run since it was booted. */
export function sessionsSinceBoot(registry: Pick<Registry, 'sessions'>): readonly SessionEntry[] {
  try {
    return registry.sessions().sessions;
  } catch (error) {
    if (error instanceof OperationError && errnoCode(error.detail.cause) === 'ENOENT') return [];
    throw error;
  }
}
