/** Finds the sessions that a command line speaks of. */
import { thisHost, thisRegistry } from '../app/host.ts';
import { adviceLine } from '../core/texts/advice.ts';
import { errnoCode, OperationError } from '../host/errors.ts';
import type { ControlRequest, RequestOptions } from '../registry/control.ts';
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
      throw readable(error);
    }
  }
  if (found.length === 0) throw noSession(domain);
  return found;
}

/**
 * A session that lives says something every few seconds while it carries out an order: one that is
 * silent for so long is stopped, or stuck, ms. The pages name it.
 */
export const orderSilenceMsMax = 25_000;

/**
 * Gives an order to a session. Where it says nothing within `orderSilenceMsMax` the order has
 * lapsed (registry/control.ts), and whoever gave it is told so: exit code 18, for what its guest
 * sends is held meanwhile.
 */
export async function order<Result extends object>(
  io: Io,
  { socketPath, status }: Pick<SessionEntry, 'socketPath' | 'status'>,
  request: ControlRequest,
  options: RequestOptions = {},
): Promise<Result> {
  const limits = { silenceMsMax: orderSilenceMsMax, ...options };
  try {
    return await registryOf(io).request<Result>(socketPath, request, limits);
  } catch (error) {
    if (!(error instanceof OperationError) || error.code !== 'no-answer') throw error;
    const { pid, domain } = status;
    throw new OperationError('no-answer', `process ${pid} of ${domain}: ${error.message}`, {
      ...error.detail,
      subject: domain,
      hint: adviceLine({ kind: 'see-process', pid }),
    });
  }
}

/** An error of the run directory in an administrator's words, with what to do about it. */
export function readable(error: unknown): unknown {
  if (!(error instanceof OperationError)) return error;
  const { code, message, detail } = error;
  const errno = errnoCode(detail.cause);
  if (errno === 'EACCES' || errno === 'EPERM') {
    return new OperationError(code, message, { ...detail, hint: 'the same as root' });
  }
  if (errno !== 'ENOENT') return error;
  const since = `no session has run here since this host was booted (no ${detail.subject})`;
  const hint = adviceLine({ kind: 'protect', domain: 'DOMAIN' });
  return new OperationError(code, since, { ...detail, hint });
}
