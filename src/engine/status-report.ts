/**
 * Judges sessions by what they say of themselves and by whether their process lives. Pure.
 *
 * Rules, each tested:
 *   R1  a session that is protected or on standby, and reports, is OK
 *   R2  a session on its way (connecting, seeding, ending, activating) or late is WARNING
 *   R3  a guest that runs without a copy, or is held, is CRITICAL, whatever led to it
 *   R4  a session that ended otherwise than by an order stays CRITICAL until somebody says seen
 *   R5  a dead process is judged by what its death does to the guest
 *   R6  a process that lives but does not report is WARNING, soon CRITICAL
 */
import type { Liveness } from './run-directory.ts';
import type { SessionState, SessionStatus } from './session-status.ts';
import { deathOf } from './status-death.ts';
import { nextFor, reasonFor } from './status-texts.ts';
import { formatMs } from './units.ts';

export type Level = 'ok' | 'warning' | 'unknown' | 'critical';

/** From best to worst; the worst session decides. */
export const levels: readonly Level[] = ['ok', 'warning', 'unknown', 'critical'];

/** A session as it is to be shown. */
export interface SessionReport {
  readonly status: SessionStatus;
  readonly liveness: Liveness;
  /** As judged; `status.state` is what the session last said. */
  readonly state: SessionState;
  readonly level: Level;
  /** Age of the newest acknowledged epoch now, ms. */
  readonly ackAgeMs: number | null;
  /** What happened, a sentence without final stop; null while all is well. */
  readonly reason: string | null;
  /** What to type next. */
  readonly next: readonly string[];
}

/** A session writes at least every second; three missed ones are no accident. */
const silentMs = 3_500;
const stuckMs = 10_000;

const levelOfState: Readonly<Record<Exclude<SessionState, 'ended'>, Level>> = {
  connecting: 'warning',
  seeding: 'warning',
  protected: 'ok',
  late: 'warning',
  ending: 'warning',
  held: 'critical',
  unprotected: 'critical',
  standby: 'ok',
  activating: 'warning',
  // The guest runs here, and that is all: there is no copy any more.
  active: 'critical',
};

function levelOf(status: SessionStatus, state: SessionState): Level {
  if (state !== 'ended') return levelOfState[state];
  if (status.outcome === 'stopped') return 'ok';
  // The copy was given up because the primary goes on; how it goes on, the primary says.
  return status.outcome === 'promised' ? 'warning' : 'critical';
}

/** How long ago the session wrote, ms; a wall clock that stepped back counts as now. */
function silence(status: SessionStatus, nowMs: number): number {
  return Math.max(0, nowMs - Date.parse(status.updated));
}

/**
 * The age as the session measured it, on a clock that does not step. Time that passed since is
 * added only when the session is silent: it writes every second, but is acknowledged more often.
 */
function ackAge(status: SessionStatus, liveness: Liveness, nowMs: number): number | null {
  if (status.ack_age_ms === null) return null;
  const since = silence(status, nowMs);
  const silent = liveness !== 'alive' || since > silentMs;
  return status.ack_age_ms + (silent ? since : 0);
}

/** R6 */
function silentReport(status: SessionStatus, nowMs: number): SessionReport {
  const since = silence(status, nowMs);
  return {
    status,
    liveness: 'alive',
    state: 'late',
    level: since > stuckMs ? 'critical' : 'warning',
    ackAgeMs: ackAge(status, 'alive', nowMs),
    reason: `its process ${status.pid} has not reported for ${formatMs(since)}: stopped, or stuck`,
    next: [`ps -o pid,stat,wchan:20,cmd -p ${status.pid}`],
  };
}

/** One session, judged. */
export function judge(status: SessionStatus, liveness: Liveness, nowMs: number): SessionReport {
  const ackAgeMs = ackAge(status, liveness, nowMs);
  const over = status.outcome !== null;
  if (liveness === 'alive' && !over && silence(status, nowMs) > silentMs) {
    return silentReport(status, nowMs);
  }
  const death = deathOf(status, liveness);
  if (death !== null) return { status, liveness, level: 'critical', ackAgeMs, ...death };
  const { state } = status;
  return {
    status,
    liveness,
    state,
    level: levelOf(status, state),
    ackAgeMs,
    reason: reasonFor(status),
    next: status.next.length > 0 ? status.next : nextFor(status),
  };
}

function isOver(status: SessionStatus): boolean {
  return status.outcome !== null || status.state === 'active' || status.state === 'ended';
}

/** True when `report` is the past of a guest of which `others` show the present. */
function superseded(report: SessionReport, others: readonly SessionReport[]): boolean {
  if (!isOver(report.status)) return false;
  return others.some(
    (other) =>
      other !== report &&
      other.status.uuid === report.status.uuid &&
      other.liveness === 'alive' &&
      !isOver(other.status) &&
      other.status.started > report.status.started,
  );
}

function rank(report: SessionReport): number {
  return levels.indexOf(report.level);
}

/** All sessions, judged; the best first and the worst last. */
export function judgeAll(
  sessions: readonly { readonly status: SessionStatus; readonly liveness: Liveness }[],
  nowMs: number,
): SessionReport[] {
  const reports = sessions.map(({ status, liveness }) => judge(status, liveness, nowMs));
  return reports
    .filter((report) => !superseded(report, reports))
    .sort(
      (one, other) =>
        rank(one) - rank(other) || one.status.domain.localeCompare(other.status.domain, 'en'),
    );
}

/** The worst of some levels; `ok` of none. */
export function worst(some: readonly Level[]): Level {
  return some.reduce<Level>(
    (bad, level) => (levels.indexOf(level) > levels.indexOf(bad) ? level : bad),
    'ok',
  );
}
