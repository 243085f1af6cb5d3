/** Finds the sessions that a command line speaks of. */
import { runDirectory } from '../config/settings.ts';
import { isDomain, listSessions, type SessionEntry } from '../engine/run-directory.ts';
import { errnoCode, OperationError } from '../host/errors.ts';
import type { Io } from './io.ts';

function noSession(domain: string): OperationError {
  return new OperationError('no-such-session', `there is no session of ${domain} on this host`, {
    op: 'find-session',
    subject: domain,
    hint: 'tsremus status shows what there is',
  });
}

/** The sessions of `domain` (name, UUID or number); fails with `no-such-session` for none. */
export function sessionsOf(io: Io, domain: string): SessionEntry[] {
  let found: SessionEntry[] = [];
  try {
    const listing = listSessions(runDirectory(io.env));
    found = listing.sessions.filter(({ status }) => isDomain(status, domain));
  } catch (error) {
    // No run directory: no session has run since this host was booted.
    if (!(error instanceof OperationError) || errnoCode(error.detail.cause) !== 'ENOENT') {
      throw readable(error);
    }
  }
  if (found.length === 0) throw noSession(domain);
  return found;
}

/** An error of the run directory with what to do about it. */
export function readable(error: unknown): unknown {
  if (!(error instanceof OperationError)) return error;
  const errno = errnoCode(error.detail.cause);
  const hints: Record<string, string> = {
    EACCES: 'type it as root: sudo tsremus ...',
    EPERM: 'type it as root: sudo tsremus ...',
    ENOENT: 'no session has run here since this host was booted; tsremus protect starts one',
  };
  const hint = errno === undefined ? undefined : hints[errno];
  if (hint === undefined) return error;
  return new OperationError(error.code, error.message, { ...error.detail, hint });
}
