/** An event as a line: for a person, and as JSON. Pure. */
import type { ChalkInstance } from 'chalk';
import type { EventRecord } from '../../registry/event-record.ts';
import { printable } from './table.ts';

/** Wide enough for most; what is wider moves the rest of its line. */
const widths = { domain: 12, role: 7, event: 12 };

const bad: ReadonlySet<string> = new Set([
  ...['held', 'unprotected', 'activated', 'taken-over', 'copy-lost', 'died'],
  ...['never-protected', 'never-whole', 'guest-ended', 'destroyed', 'lost'],
]);
const doubtful: ReadonlySet<string> = new Set(['late', 'degraded', 'activating', 'gap']);

/** How bad an event is. */
export function toneOf(event: string): 'good' | 'doubtful' | 'bad' {
  if (bad.has(event)) return 'bad';
  return doubtful.has(event) ? 'doubtful' : 'good';
}

function painterOf(event: string, paint: ChalkInstance): (text: string) => string {
  return { good: paint.green, doubtful: paint.yellow, bad: paint.red }[toneOf(event)];
}

/** `2026-11-30T19:12:31Z  web1  primary  protected  protected by hostb` */
export function eventText(record: EventRecord, paint: ChalkInstance): string {
  const { time, domain, role, event, text } = record;
  const at = new Date(time).toISOString().replace(/\.\d+Z$/, 'Z');
  const word = printable(event);
  const pad = ' '.repeat(Math.max(0, widths.event - word.length));
  const who = `${printable(domain).padEnd(widths.domain)}  ${role.padEnd(widths.role)}`;
  return `${at}  ${who}  ${painterOf(event, paint)(word)}${pad}  ${printable(text)}\n`;
}

/** The keys as they were written, and no other. */
export function eventJson(record: EventRecord): string {
  const { schema, time, host, domain, uuid, session, role, peer, event, text, epoch, pid } = record;
  const document = { schema, message_type: 'event', time, host, domain, uuid, session, role };
  return `${JSON.stringify({ ...document, peer, event, text, epoch, pid })}\n`;
}
