/**
 * The course of a session, drawn from what it publishes anyway: figures of every few seconds, and
 * all that it says at two moments (figures-record.ts). Pure: a status and a time in, records out.
 *
 * A session publishes at least every second, and says what was the worst of the last two or three:
 * so the worst pause of ten seconds is known, and may be that of the seconds before them. Means are
 * exact: they come of sums over all epochs. What waits is what waited when it was looked at.
 */
import type { Figures, FiguresRecord, SessionRecord } from './figures-record.ts';
import type { SessionStatus } from './status.ts';

/** Of a young session, and of an older one, figures are written this often, ms. */
const youngEveryMs = 2_000;
const everyMs = 10_000;
const youngMsMax = 120_000;

/** The largest values since the last record. */
interface Most {
  readonly pauseMs: number | null;
  readonly lagMs: number | null;
  readonly waitingBytes: number | null;
  readonly outputBytes: number | null;
}

export interface Course {
  readonly beganMs: number;
  /** As of the last record. */
  readonly since: { readonly atMs: number; readonly status: SessionStatus };
  readonly most: Most;
  /** States and ends whose session record is written. */
  readonly told: readonly string[];
}

/** What a record has beside what was measured. */
export interface Witnessed {
  readonly nowMs: number;
  readonly time: string;
  readonly host: string;
  readonly tsremus: string;
}

const nothing: Most = { pauseMs: null, lagMs: null, waitingBytes: null, outputBytes: null };

function larger(one: number | null, other: number | null | undefined): number | null {
  if (one === null || other === null || other === undefined) return one ?? other ?? null;
  return Math.max(one, other);
}

function begin(status: SessionStatus, nowMs: number): Course {
  return {
    beganMs: nowMs,
    since: { atMs: nowMs, status },
    most: nothing,
    told: [],
  };
}

function seen(course: Course, status: SessionStatus): Course {
  const { most } = course;
  const { recent, memory, output, ack_age_ms: ageMs } = status;
  return {
    ...course,
    most: {
      pauseMs: larger(most.pauseMs, recent?.pause_ms_max),
      lagMs: larger(larger(most.lagMs, recent?.lag_ms_max), ageMs),
      waitingBytes: larger(most.waitingBytes, memory?.waiting_bytes),
      outputBytes: larger(most.outputBytes, output?.bytes),
    },
  };
}

type Measure = 'pause_ms' | 'raw_bytes' | 'sent_bytes';

/** Of the epochs that came to a histogram between two looks at it; null: there were none. */
function meanOf(measure: Measure, before: SessionStatus, now: SessionStatus): number | null {
  const [was, is] = [before.histograms?.[measure], now.histograms?.[measure]];
  if (is === undefined) return null;
  const count = is.count - (was?.count ?? 0);
  const mean = (is.sum - (was?.sum ?? 0)) / count;
  return count > 0 && mean >= 0 ? Math.round(mean * 10) / 10 : null;
}

function epochsBetween(before: SessionStatus, now: SessionStatus): number {
  if (now.role === 'primary') {
    return (now.histograms?.pause_ms.count ?? 0) - (before.histograms?.pause_ms.count ?? 0);
  }
  return (now.epoch ?? 0) - (before.epoch ?? 0);
}

function figuresOf(course: Course, status: SessionStatus, by: Witnessed): Figures {
  const { since, most } = course;
  const before = since.status;
  const { domain, uuid, session, role, state } = status;
  return {
    ...{ schema: 1, kind: 'figures', time: by.time, host: by.host, domain, uuid, session },
    ...{ role, state, ms: Math.round(by.nowMs - since.atMs) },
    epochs: Math.max(0, epochsBetween(before, status)),
    pause_ms_mean: meanOf('pause_ms', before, status),
    pause_ms_max: most.pauseMs,
    lag_ms_max: most.lagMs,
    epoch_bytes_mean: meanOf('raw_bytes', before, status),
    epoch_sent_bytes_mean: meanOf('sent_bytes', before, status),
    bytes_sent: Math.max(0, status.bytes_sent - before.bytes_sent),
    waiting_bytes_max: most.waitingBytes,
    output_bytes_max: most.outputBytes,
    stalled_ms: Math.max(0, status.stalled_ms - before.stalled_ms),
    dropped: Math.max(0, (status.output?.dropped ?? 0) - (before.output?.dropped ?? 0)),
  };
}

/** A session as it says that it is. */
export function sessionRecord(status: SessionStatus, by: Omit<Witnessed, 'nowMs'>): SessionRecord {
  return { schema: 1, kind: 'session', time: by.time, host: by.host, tsremus: by.tsremus, status };
}

/** From here on its settings are agreed; or it is over. Null: neither. */
function momentOf({ state, outcome }: SessionStatus): string | null {
  if (outcome !== null) return `${outcome} ${state}`;
  return ['protected', 'measuring', 'standby'].includes(state) ? 'whole' : null;
}

/**
 * The session published `status`. `course`: null at first. Of one that is over nothing is measured
 * any more, though its process may watch the guest for months.
 */
export function measured(
  before: Course | null,
  status: SessionStatus,
  by: Witnessed,
): { readonly course: Course; readonly records: readonly FiguresRecord[] } {
  const course = seen(before ?? begin(status, by.nowMs), status);
  const moment = momentOf(status);
  const isNews = moment !== null && !course.told.includes(moment);
  const told = isNews ? [...course.told, moment] : course.told;
  const news = isNews ? [sessionRecord(status, by)] : [];
  const isOver = status.outcome !== null;
  const ms = by.nowMs - course.since.atMs;
  const dueMs = by.nowMs - course.beganMs < youngMsMax ? youngEveryMs : everyMs;
  const isEnd = isOver && course.since.status.outcome === null && ms > 0;
  if (!isEnd && (isOver || ms < dueMs)) return { course: { ...course, told }, records: news };
  const since = { atMs: by.nowMs, status };
  const records = [figuresOf(course, status, by), ...news];
  return { course: { ...course, told, since, most: nothing }, records };
}
