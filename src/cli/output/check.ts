/** The one line that Nagios and its kin read: `SERVICE STATE - text | performance data`. */
import type { Level } from '../../core/health/health.ts';
import { formatMs } from '../../core/units.ts';
import type { MissingGuest } from '../../registry/missing.ts';
import type { SessionReport } from '../../registry/report.ts';
import { printable } from './table.ts';

/** What the line says. */
interface Judged {
  readonly level: Level;
  readonly reports: readonly SessionReport[];
  readonly missing: readonly MissingGuest[];
  /** Where there is nothing else to say. */
  readonly empty: string;
}

/** Text without the characters that mean something in a plug-in line. */
function plain(text: string): string {
  return printable(text).replaceAll('|', '/');
}

function summary(report: SessionReport): string {
  const { domain, epoch } = report.status;
  const parts = [`${domain} ${report.state}`];
  if (report.level === 'ok') {
    if (epoch !== null) parts.push(`epoch ${epoch}`);
    if (report.ackAgeMs !== null) parts.push(`acknowledged ${formatMs(report.ackAgeMs)} ago`);
  } else if (report.reason !== null) parts.push(report.reason);
  return plain(parts.join(', '));
}

function label(domain: string, what: string): string {
  // The guidelines: quotes are doubled, and '=' may not stand in a label.
  return `'${plain(`${domain}_${what}`).replaceAll("'", "''").replaceAll('=', '_')}'`;
}

function figures(report: SessionReport): string[] {
  const { domain, epoch, late_after_ms: lateAfterMs, epochs } = report.status;
  const last = epochs.at(-1);
  const sent = epochs.findLast((one) => one.sent_bytes !== null);
  const found: string[] = [];
  if (report.ackAgeMs !== null) {
    const age = Math.round(report.ackAgeMs);
    found.push(`${label(domain, 'ack_age')}=${age}ms;${Math.round(lateAfterMs)};;0`);
  }
  if (epoch !== null) found.push(`${label(domain, 'epoch')}=${epoch}c`);
  if (last !== undefined) {
    found.push(`${label(domain, 'pause')}=${last.pause_ms}ms;;;0`);
  }
  if (sent !== undefined) found.push(`${label(domain, 'size')}=${sent.sent_bytes}B;;;0`);
  return found;
}

/**
 * The line, with its newline; declared guests without a session come first, then the worst session,
 * what is neither's own last.
 */
export function checkLine(
  { level, reports, missing, empty }: Judged,
  others: readonly string[] = [],
): string {
  const absent = missing.map(({ domain, reason }) => plain(`${domain} missing, ${reason}`));
  const texts = [...absent, ...reports.map(summary).reverse(), ...others.map(plain)];
  const perfdata = reports.flatMap(figures).join(' ');
  const text = texts.length === 0 ? plain(empty) : texts.join('; ');
  const tail = perfdata === '' ? '' : ` | ${perfdata}`;
  return `TSREMUS ${level.toUpperCase()} - ${text}${tail}\n`;
}
