/**
 * A registry that notes what becomes of sessions (core/health/history.ts) and what is measured of
 * them (measuring.ts), of what passes through it anyway: the status that a session publishes, and
 * what is changed in that of a dead one. Sessions know nothing of it, and wait for nothing of it.
 */
import { version } from '../config/version.ts';
import { judge } from '../core/health/health.ts';
import { type HistoryEvent, newHistory, noteAmended, noteFacts } from '../core/health/history.ts';
import type { StopResult } from '../core/outcomes.ts';
import { stopText } from '../core/texts/outcomes.ts';
import type { Clock } from '../host/clock.ts';
import { cleanText } from '../host/text.ts';
import type { EventRecord } from './event-record.ts';
import type { FiguresRecord } from './figures-record.ts';
import { type Course, measured, sessionRecord } from './measuring.ts';
import type { Claim, Registry, SessionEntry } from './port.ts';
import type { SessionStatus } from './status.ts';

const textBytesMax = 2_048;

export interface NotingParts {
  readonly clock: Clock;
  /** This host's name. */
  readonly host: string;
  /** Takes a record; neither throws nor waits. */
  readonly note: (record: EventRecord) => void;
  /** The same of figures. */
  readonly measure: (record: FiguresRecord) => void;
}

type Subject = Pick<
  SessionStatus,
  'domain' | 'uuid' | 'session' | 'role' | 'peer' | 'epoch' | 'pid'
>;

function recordOf(parts: NotingParts, event: HistoryEvent, status: Subject): EventRecord {
  const { domain, uuid, session, role, peer, epoch, pid } = status;
  return {
    schema: 1,
    time: parts.clock.wall().toISOString(),
    host: parts.host,
    ...{ domain, uuid, session, role, peer },
    ...{ event: event.kind, text: cleanText(event.text, textBytesMax) },
    ...{ epoch, pid },
  };
}

/** By whom and when something was seen. */
function witnessed({ clock, host }: NotingParts) {
  return { nowMs: clock.nowMs(), time: clock.wall().toISOString(), host, tsremus: version };
}

function notingClaim(claim: Claim, parts: NotingParts): Claim {
  let history = newHistory;
  let course: Course | null = null;
  return {
    socketPath: claim.socketPath,
    unsettled: claim.unsettled,
    publish(status) {
      const noted = noteFacts(history, status, parts.clock.nowMs());
      history = noted.history;
      for (const event of noted.events) parts.note(recordOf(parts, event, status));
      const drawn = measured(course, status, witnessed(parts));
      course = drawn.course;
      for (const record of drawn.records) parts.measure(record);
      return claim.publish(status);
    },
    publishResync: (status) => claim.publishResync(status),
    release: (what) => claim.release(what),
  };
}

/** `registry`, with what passes through it noted. */
export function notingRegistry(registry: Registry, parts: NotingParts): Registry {
  return {
    claimSession: async (subject) => notingClaim(await registry.claimSession(subject), parts),
    sessions: () => registry.sessions(),
    resyncs: () => registry.resyncs(),
    socketOf: (subject) => registry.socketOf(subject),
    refreshed: (entry) => registry.refreshed(entry),
    forget: (entry) => registry.forget(entry),
    amend(which, change) {
      registry.amend(which, (before) => {
        const status = change(before);
        const events = noteAmended(before, status);
        for (const event of events) parts.note(recordOf(parts, event, status));
        if (events.length > 0) parts.measure(sessionRecord(status, witnessed(parts)));
        return status;
      });
    },
    claimWatch: (guest) => registry.claimWatch(guest),
    watcherOf: (uuid) => registry.watcherOf(uuid),
    serve: (path, handler, log) => registry.serve(path, handler, log),
    request: (path, request, options) => registry.request(path, request, options),
  };
}

/** A session's process has gone without a word: what that means for its guest. */
export function noteDeath({ status }: SessionEntry, parts: NotingParts): void {
  if (status.outcome !== null) return;
  const { reason, state } = judge(status, 'dead', 0);
  parts.note(recordOf(parts, { kind: 'died', text: reason ?? state }, status));
}

/** What a person ordered for what a dead session left; that it stays held is no news. */
export function noteStopped(result: StopResult, status: Subject, parts: NotingParts): void {
  if (result.outcome.kind === 'held') return;
  const { message: text } = stopText(result, status);
  parts.note(recordOf(parts, { kind: result.outcome.kind, text }, status));
}
