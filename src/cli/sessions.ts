/** Finds the sessions that a command line speaks of. */
import { thisHost, thisRegistry } from '../app/host.ts';
import { adviceLine } from '../core/texts/advice.ts';
import { ambiguousText, describeGuest, guestsOf, type Named, whoIsMeant } from '../core/who.ts';
import { errnoCode, OperationError } from '../host/errors.ts';
import type { ControlRequest, RequestOptions } from '../registry/control.ts';
import {
  isSettled,
  namedBy,
  type Registry,
  type SessionEntry,
  sessionsSinceBoot,
} from '../registry/port.ts';
import type { SessionStatus } from '../registry/status.ts';
import { exit } from './exit-codes.ts';
import type { Io } from './io.ts';
import { CommandFailure } from './output/errors.ts';

function noSession(domain: string): OperationError {
  return new OperationError('no-such-session', `there is no session of ${domain} on this host`, {
    op: 'find-session',
    subject: domain,
    hint: adviceLine({ kind: 'show-all' }),
  });
}

/** The other host of the newest session of `domain` here; null: none tells. */
export function peerOf(io: Io, domain: string): string | null {
  const found = meantBy(io, domain, listed(io));
  const [newest] = found.toSorted((one, other) =>
    other.status.updated.localeCompare(one.status.updated),
  );
  return newest?.status.peer ?? null;
}

/** The sessions of this host. */
export function registryOf(io: Io): Registry {
  return thisRegistry(thisHost(io.env));
}

/** What was typed may mean two guests: the same command line for each, by its UUID. */
export function ambiguous(io: Io, domain: string, all: readonly Named[]): CommandFailure {
  const hints = guestsOf(all)
    .filter(({ uuid }) => uuid !== '')
    .map((guest) => {
      // The last one: the word before it may be --vouch's, which wants the name.
      const argv = io.argv.with(io.argv.lastIndexOf(domain), guest.uuid);
      return adviceLine({ kind: 'again-of', argv, who: describeGuest({ ...guest, uuid: '' }) });
    });
  const message = ambiguousText(domain, all);
  return new CommandFailure({ code: 'ambiguous', message, hints, exit: exit.noSuchDomain });
}

/** Those that `domain` means, of one guest or of several that are called so; throws `ambiguous`. */
export function meantBy<One extends { readonly status: SessionStatus }>(
  io: Io,
  domain: string,
  sessions: readonly One[],
  others: readonly Named[] = [],
): One[] {
  const entries = sessions.map((one) => ({ ...namedBy(one.status), one }));
  const meant = whoIsMeant<Named & { readonly one?: One }>(domain, [...entries, ...others]);
  if (meant.kind === 'ambiguous') throw ambiguous(io, domain, meant.all);
  if (meant.kind === 'nobody') return [];
  return meant.all.flatMap(({ one }) => (one === undefined ? [] : [one]));
}

/** What is not over comes first; of two guests with one name that are not, neither is meant. */
function ofOneGuest(io: Io, domain: string, found: readonly SessionEntry[]): SessionEntry[] {
  const open = found
    .filter(({ status }) => !isSettled(status))
    .map(({ status }) => namedBy(status));
  const [guest, ...more] = guestsOf(open);
  if (guest === undefined) return [...found];
  if (more.length > 0) throw ambiguous(io, domain, open);
  return found.filter(({ status }) => guestsOf([guest, namedBy(status)]).length === 1);
}

/** The sessions of this host; none where none has run since it was booted. */
function listed(io: Io): readonly SessionEntry[] {
  try {
    return sessionsSinceBoot(registryOf(io));
  } catch (error) {
    throw readable(error, io);
  }
}

/**
 * The sessions of `domain` (name, UUID or number), and of `left`, output buffers without one. Fails
 * with `no-such-session` for none, and with `ambiguous` where two guests may be meant.
 */
export async function sessionsOf(
  io: Io,
  domain: string,
  left: readonly SessionEntry[] = [],
): Promise<SessionEntry[]> {
  const { guestsByNumber } = await import('../app/who.ts');
  const others = await guestsByNumber(domain, io.env);
  const found = meantBy(io, domain, [...listed(io), ...left], others);
  if (found.length === 0) throw noSession(domain);
  return ofOneGuest(io, domain, found);
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
export function readable(error: unknown, { argv }: Pick<Io, 'argv'>): unknown {
  if (!(error instanceof OperationError)) return error;
  const { code, message, detail } = error;
  const errno = errnoCode(detail.cause);
  if (errno === 'EACCES' || errno === 'EPERM') {
    const hint = adviceLine({ kind: 'as-root', argv });
    return new OperationError('not-root', message, { ...detail, hint });
  }
  if (errno !== 'ENOENT') return error;
  const since = `no session has run here since this host was booted (no ${detail.subject})`;
  const hint = adviceLine({ kind: 'see-help', command: 'tsremus protect' });
  return new OperationError(code, since, { ...detail, hint });
}
