/** A report as a JSON document. Pure. */
import type { Report } from '../../../app/report.ts';
import type { PastSession } from '../../../registry/past.ts';

function sessionDocument({ session, role, uuid, from, to, report, record }: PastSession): object {
  const last = report?.status ?? record?.status ?? null;
  return {
    ...{ session, role, uuid, from, to },
    ...{ state: report?.state ?? null, level: report?.level ?? null },
    ...{ tsremus: record?.tsremus ?? null, status: last },
  };
}

/** What `tsremus report --json` prints. */
export function reportDocument(report: Report): object {
  const { host, domain, made, subject, sessions, events, settings, parts } = report;
  return {
    ...{ host, domain, made, session: subject.session, role: subject.role },
    sessions: sessions.map(sessionDocument),
    figures: subject.figures,
    events,
    settings: typeof settings === 'string' ? null : settings,
    settings_problem: typeof settings === 'string' ? settings : null,
    versions: Object.fromEntries(parts.map(({ name, version }) => [name, version])),
  };
}
