/** An event as it stands in the file of them (docs/JSON.md), a line of JSON. Pure. */
import type { EventKind } from '../core/health/history.ts';

export interface EventRecord {
  readonly schema: 1;
  /** RFC 3339. */
  readonly time: string;
  /** The host whose session it was. */
  readonly host: string;
  readonly domain: string;
  readonly uuid: string;
  readonly session: string;
  readonly role: 'primary' | 'backup';
  readonly peer: string;
  readonly event: EventKind;
  readonly text: string;
  /** The newest acknowledged one; null: none yet. */
  readonly epoch: number | null;
  readonly pid: number;
}

/** Of a line in the file: none of ours is longer, whatever a peer said. */
export const eventLineBytesMax = 16 * 1024;

export function eventLine(record: EventRecord): string {
  return JSON.stringify(record);
}

const textMax = 8_192;
const isText = (value: unknown) => typeof value === 'string' && value.length <= textMax;
const isCount = (value: unknown) => typeof value === 'number' && value >= 0;

const checks: Readonly<Record<keyof EventRecord, (value: unknown) => boolean>> = {
  schema: (value) => value === 1,
  time: (value) => isText(value) && !Number.isNaN(Date.parse(value as string)),
  host: isText,
  domain: isText,
  uuid: isText,
  session: isText,
  role: (value) => value === 'primary' || value === 'backup',
  peer: isText,
  event: isText,
  text: isText,
  epoch: (value) => value === null || isCount(value),
  pid: isCount,
};

/** Null for what is none: torn by a power cut, say. Keys of later versions pass. */
export function parseEvent(line: string): EventRecord | null {
  if (line.length > eventLineBytesMax) return null;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const isOne = Object.entries(checks).every(([key, check]) =>
    check((value as Record<string, unknown>)[key]),
  );
  return isOne ? (value as EventRecord) : null;
}
