/** The sessions of a host, each judged (core/health.ts) and put in order. Pure. */

import type { Liveness } from '../core/health/facts.ts';
import { judge, type Level, levels, type Verdict } from '../core/health/health.ts';
import type { SessionStatus } from './status.ts';

/** A session as it is to be shown; `status` is what it last said. */
export interface SessionReport extends Verdict {
  readonly status: SessionStatus;
  readonly liveness: Liveness;
}

/** A session's report as of `nowMs`, wall time. */
export function judgeSession(
  status: SessionStatus,
  liveness: Liveness,
  nowMs: number,
): SessionReport {
  // A wall clock that stepped back counts as now.
  const reportAgeMs = Math.max(0, nowMs - Date.parse(status.updated));
  return { status, liveness, ...judge(status, liveness, reportAgeMs) };
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
  const reports = sessions.map(({ status, liveness }) => judgeSession(status, liveness, nowMs));
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
