/**
 * What was measured of a session, as it stands in the file of figures, a line of JSON each; what a
 * report is drawn from (`tsremus report`). Pure. Two kinds of line:
 *
 *   figures   of some seconds of the session's life
 *   session   all that it said of itself (docs/JSON.md): once it had a whole copy, and at its end
 */
import type { SessionStatus } from './status.ts';
import { parseStatus } from './status-parser.ts';

interface Head {
  readonly schema: 1;
  /** When it was written, RFC 3339. */
  readonly time: string;
  /** The host whose session it was. */
  readonly host: string;
}

/** Of the `ms` before `time`. Keys are the public JSON contract (tsremus report --json). */
export interface Figures extends Head {
  readonly kind: 'figures';
  readonly domain: string;
  readonly uuid: string;
  readonly session: string;
  readonly role: 'primary' | 'backup';
  /** At the end of that time. */
  readonly state: string;
  readonly ms: number;
  /** Primary: that the guest left behind. Backup: that were acknowledged. */
  readonly epochs: number;
  /** Primary, of those epochs; null: there were none. */
  readonly pause_ms_mean: number | null;
  readonly pause_ms_max: number | null;
  /** The greatest age of the newest acknowledgement that was seen; null: there is none. */
  readonly lag_ms_max: number | null;
  /** Primary, of an epoch: of the checkpoint stream, and of what was sent for it. */
  readonly epoch_bytes_mean: number | null;
  readonly epoch_sent_bytes_mean: number | null;
  /** Over the link. */
  readonly bytes_sent: number;
  /** The most that waited in memory, and in the output buffer; null: there is none. */
  readonly waiting_bytes_max: number | null;
  readonly output_bytes_max: number | null;
  /** How long the guest stood still for lack of memory. */
  readonly stalled_ms: number;
  /** Frames that the full output buffer dropped. */
  readonly dropped: number;
}

export interface SessionRecord extends Head {
  readonly kind: 'session';
  /** The version of tsremus that ran it. */
  readonly tsremus: string;
  readonly status: SessionStatus;
}

export type FiguresRecord = Figures | SessionRecord;

/** Of a line: a session with all that it may say is far shorter; no longer one is written. */
export const figuresLineBytesMax = 64 * 1024;

/** Null for one that would be too long. */
export function figuresLine(record: FiguresRecord): string | null {
  const line = JSON.stringify(record);
  return Buffer.byteLength(line) > figuresLineBytesMax ? null : line;
}

type Check = (value: unknown) => boolean;

const textMax = 1_024;
const isText: Check = (value) => typeof value === 'string' && value.length <= textMax;
const isCount: Check = (value) => typeof value === 'number' && value >= 0;
const orNull: (check: Check) => Check = (check) => (value) => value === null || check(value);
const isTime: Check = (value) => isText(value) && !Number.isNaN(Date.parse(value as string));

const headChecks: Readonly<Record<keyof Head, Check>> = {
  schema: (value) => value === 1,
  time: isTime,
  host: isText,
};

const figuresChecks: Readonly<Record<keyof Figures, Check>> = {
  ...headChecks,
  kind: (value) => value === 'figures',
  domain: isText,
  uuid: isText,
  session: isText,
  role: (value) => value === 'primary' || value === 'backup',
  state: isText,
  ms: isCount,
  epochs: isCount,
  pause_ms_mean: orNull(isCount),
  pause_ms_max: orNull(isCount),
  lag_ms_max: orNull(isCount),
  epoch_bytes_mean: orNull(isCount),
  epoch_sent_bytes_mean: orNull(isCount),
  bytes_sent: isCount,
  waiting_bytes_max: orNull(isCount),
  output_bytes_max: orNull(isCount),
  stalled_ms: isCount,
  dropped: isCount,
};

function passes(value: object, checks: Readonly<Record<string, Check>>): boolean {
  const keyed = value as Record<string, unknown>;
  return Object.entries(checks).every(([key, check]) => check(keyed[key]));
}

function isSession(value: object): boolean {
  const { kind, tsremus, status } = value as Record<string, unknown>;
  if (kind !== 'session' || !isText(tsremus) || !passes(value, headChecks)) return false;
  return 'status' in parseStatus(JSON.stringify(status) ?? '');
}

/** Null for what is none: torn by a power cut, say. Keys of later versions pass. */
export function parseFigures(line: string): FiguresRecord | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  return passes(value, figuresChecks) || isSession(value) ? (value as FiguresRecord) : null;
}
