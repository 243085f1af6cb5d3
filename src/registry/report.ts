/** The sessions of a host, each judged (core/health.ts) and put in order. Pure. */

import type { Liveness } from '../core/health/facts.ts';
import { judge, type Level, levels, type Verdict } from '../core/health/health.ts';
import type { BootClock, Clock } from '../host/clock.ts';
import type { SessionStatus } from './status.ts';

/** A session as it is to be shown; `status` is what it last said. */
export interface SessionReport extends Verdict {
  readonly status: SessionStatus;
  readonly liveness: Liveness;
}

/** Now, as the age of a status is told: by the time of day, and by the time since the boot. */
export interface Moment {
  readonly wallMs: number;
  readonly sinceBootMs: number;
}

export function momentNow(ports: { readonly clock: Clock; readonly bootClock: BootClock }): Moment {
  return { wallMs: ports.clock.wall().getTime(), sinceBootMs: ports.bootClock.sinceBootMs() };
}

/**
 * How long ago the session wrote its status. Of a process that lives, so is of this boot, by a
 * clock that never steps: a time of day put back by hours would make one that is stuck look well
 * for as long. A time of day that stepped back counts as now.
 */
function ageMs(status: SessionStatus, liveness: Liveness, now: Moment): number {
  const { updated, updated_uptime_ms: uptimeMs } = status;
  const isOfThisBoot = liveness === 'alive' && uptimeMs !== undefined;
  const age = isOfThisBoot ? now.sinceBootMs - uptimeMs : now.wallMs - Date.parse(updated);
  return Math.max(0, age);
}

/** A session's report as of `now`. */
export function judgeSession(
  status: SessionStatus,
  liveness: Liveness,
  now: Moment,
): SessionReport {
  return { status, liveness, ...judge(status, liveness, ageMs(status, liveness, now)) };
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
  now: Moment,
): SessionReport[] {
  const reports = sessions.map(({ status, liveness }) => judgeSession(status, liveness, now));
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
