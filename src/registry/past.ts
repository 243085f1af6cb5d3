/** The sessions that are or were on a host, as far as what was written down of them tells. Pure. */
import type { EventRecord } from './event-record.ts';
import type { Figures, FiguresRecord, SessionRecord } from './figures-record.ts';
import type { SessionReport } from './report.ts';
import type { SessionStatus } from './status.ts';

/** All that is left of a session. */
export interface PastSession {
  readonly session: string;
  readonly role: SessionStatus['role'];
  readonly uuid: string;
  /** RFC 3339: the first and the last that is known of it. */
  readonly from: string;
  readonly to: string;
  /** As it is; null: its status is not here any more. */
  readonly report: SessionReport | null;
  /** The last that it said of itself in whole; null: nothing. */
  readonly record: SessionRecord | null;
  /** The oldest first. */
  readonly figures: readonly Figures[];
}

type Draft = { -readonly [Key in keyof Omit<PastSession, 'figures'>]: PastSession[Key] } & {
  readonly figures: Figures[];
};

class Drafts {
  readonly all = new Map<string, Draft>();

  at(of: Pick<SessionStatus, 'session' | 'role' | 'uuid'>, time: string): Draft {
    const { session, role, uuid } = of;
    const key = `${session} ${role}`;
    const known = this.all.get(key);
    const draft = known ?? {
      ...{ session, role, uuid, from: time, to: time },
      ...{ report: null, record: null, figures: [] },
    };
    if (time < draft.from) draft.from = time;
    if (time > draft.to) draft.to = time;
    if (known === undefined) this.all.set(key, draft);
    return draft;
  }
}

function began(figures: Figures): string {
  return new Date(Date.parse(figures.time) - figures.ms).toISOString();
}

/** The newest first. */
export function pastSessions(
  reports: readonly SessionReport[],
  records: readonly FiguresRecord[],
  events: readonly EventRecord[],
): readonly PastSession[] {
  const drafts = new Drafts();
  for (const event of events) drafts.at(event, event.time);
  for (const record of records) {
    if (record.kind === 'session') drafts.at(record.status, record.time).record = record;
    else {
      drafts.at(record, began(record)).figures.push(record);
      drafts.at(record, record.time);
    }
  }
  for (const report of reports) {
    drafts.at(report.status, report.status.started).report = report;
    drafts.at(report.status, report.status.updated);
  }
  return [...drafts.all.values()].sort((one, other) => (one.from < other.from ? 1 : -1));
}
