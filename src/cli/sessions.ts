/** Finds the sessions that a command line speaks of. */
import { thisHost, thisRegistry } from '../app/host.ts';
import { adviceLine } from '../core/texts/advice.ts';
import { errnoCode, OperationError } from '../host/errors.ts';
import { isDomain, type Registry, type SessionEntry } from '../registry/port.ts';
import type { Io } from './io.ts';

function noSession(domain: string): OperationError {
  return new OperationError('no-such-session', `there is no session of ${domain} on this host`, {
    op: 'find-session',
    subject: domain,
    hint: adviceLine({ kind: 'show-all' }),
  });
}

/** The sessions of this host. */
export function registryOf(io: Io): Registry {
  return thisRegistry(thisHost(io.env));
}

/** The sessions of `domain` (name, UUID or number); fails with `no-such-session` for none. */
export function sessionsOf(io: Io, domain: string): SessionEntry[] {
  let found: SessionEntry[] = [];
  try {
    const listing = registryOf(io).sessions();
    found = listing.sessions.filter(({ status }) => isDomain(status, domain));
  } catch (error) {
    // No run directory: no session has run since this host was booted.
    if (!(error instanceof OperationError) || errnoCode(error.detail.cause) !== 'ENOENT') {
      throw readable(error, io);
    }
  }
  if (found.length === 0) throw noSession(domain);
  return found;
}

/** An error of the run directory in an administrator's words, with what to do about it. */
export function readable(error: unknown, { argv }: Pick<Io, 'argv'>): unknown {
  if (!(error instanceof OperationError)) return error;
  const { code, message, detail } = error;
  const errno = errnoCode(detail.cause);
  if (errno === 'EACCES' || errno === 'EPERM') {
    const hint = adviceLine({ kind: 'as-root', argv });
    return new OperationError(code, message, { ...detail, hint });
  }
  if (errno !== 'ENOENT') return error;
  const since = `no session has run here since this host was booted (no ${detail.subject})`;
  const hint = adviceLine({ kind: 'see-help', command: 'tsremus protect' });
  return new OperationError(code, since, { ...detail, hint });
}
