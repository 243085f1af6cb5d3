/**
 * THE judgement of a session: how well it is, why, and what to type next. `tsremus status` shows it
 * of what sessions report, the simulator holds it against the truth (invariant 5). Pure.
 *
 * Rules, each tested:
 *   R1  a session that is protected or on standby, and reports, is OK
 *   R2  a session on its way (connecting, seeding, ending, activating) or late is WARNING
 *   R3  a guest that runs without a copy, or is held, is CRITICAL, whatever led to it
 *   R4  a session that ended otherwise than by an order stays CRITICAL until somebody says seen
 *   R5  a dead process is judged by what its death does to the guest
 *   R6  a process that lives but does not report is WARNING, soon CRITICAL, and never better than
 *       what it said last
 *   R7  a session that would be OK but is degraded is WARNING, and says why
 */

import { adviceLine } from '../texts/advice.ts';
import { nextFor, reasonFor } from '../texts/states.ts';
import { formatMs } from '../units.ts';
import { deathOf } from './death.ts';
import type { Liveness, SessionFacts, SessionState } from './facts.ts';

export type Level = 'ok' | 'warning' | 'unknown' | 'critical';

/** From best to worst; the worst session decides. */
export const levels: readonly Level[] = ['ok', 'warning', 'unknown', 'critical'];

export interface Verdict {
  /** As judged; the facts have what the session last said. */
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
  measuring: 'warning',
  ending: 'warning',
  held: 'critical',
  unprotected: 'critical',
  standby: 'ok',
  activating: 'warning',
  // The guest runs here, and that is all: there is no copy any more.
  active: 'critical',
};

function levelOf(facts: SessionFacts): Level {
  if (facts.state !== 'ended') return levelOfState[facts.state];
  if (facts.outcome === 'stopped') return 'ok';
  // The copy was given up because the primary goes on; how it goes on, the primary says.
  return facts.outcome === 'promised' ? 'warning' : 'critical';
}

/**
 * The age as the session measured it, on a clock that does not step. Time that passed since is
 * added only when the session is silent: it writes every second, but is acknowledged more often.
 */
function ackAge(facts: SessionFacts, liveness: Liveness, reportAgeMs: number): number | null {
  if (facts.ack_age_ms === null) return null;
  const isSilent = liveness !== 'alive' || reportAgeMs > silentMs;
  return facts.ack_age_ms + (isSilent ? reportAgeMs : 0);
}

/** R6. What it said last, and what to type then, stays where that was worse than late (R3). */
function silentVerdict(facts: SessionFacts, reportAgeMs: number): Verdict {
  const { pid } = facts;
  const age = formatMs(reportAgeMs);
  const why = 'stopped or stuck, or without room for its status';
  const silent = `its process ${pid} has not reported for ${age}: ${why}`;
  const look = adviceLine({ kind: 'see-process', pid });
  const ackAgeMs = ackAge(facts, 'alive', reportAgeMs);
  const level = levelOf(facts);
  if (level === 'critical') {
    const said = reasonFor(facts);
    const reason = said === null ? silent : `${said}; ${silent}`;
    return { state: facts.state, level, ackAgeMs, reason, next: [...nextOf(facts), look] };
  }
  const isStuck = reportAgeMs > stuckMs;
  return {
    state: 'late',
    level: isStuck ? 'critical' : 'warning',
    ackAgeMs,
    reason: silent,
    next: [look],
  };
}

function nextOf(facts: SessionFacts): readonly string[] {
  return facts.next.length > 0 ? facts.next : nextFor(facts);
}

/**
 * One session, judged. `liveness`: of the process that owns it; `reportAgeMs`: how long ago it said
 * `facts`, at least 0.
 */
export function judge(facts: SessionFacts, liveness: Liveness, reportAgeMs: number): Verdict {
  if (liveness === 'alive' && facts.outcome === null && reportAgeMs > silentMs) {
    return silentVerdict(facts, reportAgeMs);
  }
  const ackAgeMs = ackAge(facts, liveness, reportAgeMs);
  const death = deathOf(facts, liveness);
  if (death !== null) return { level: 'critical', ackAgeMs, ...death };
  const level = levelOf(facts);
  const isWorse = level === 'ok' && facts.outcome === null && facts.degraded !== null;
  return {
    state: facts.state,
    level: isWorse ? 'warning' : level,
    ackAgeMs,
    reason: isWorse ? facts.degraded : reasonFor(facts),
    next: nextOf(facts),
  };
}
