/**
 * What a resync says of itself while it runs (KEY.ROLE.resync of the run directory): it is no
 * session, and what a session before it said of the guest stays. It goes with the claim. The keys
 * are those of the JSON contract.
 */
import type { Role } from './port.ts';

/** How far it is; either host counts what it has read or taken by itself. */
export interface ResyncFigures {
  /** Done of all disks together, and how large they are. */
  readonly bytes: number;
  readonly total_bytes: number;
  readonly bytes_per_second: number;
  /** Null: that is not known. */
  readonly seconds_left: number | null;
}

export interface ResyncStatus extends ResyncFigures {
  readonly schema: 1;
  readonly domain: string;
  readonly uuid: string;
  /** `primary`: the guest runs here. */
  readonly role: Role;
  readonly peer: string;
  /** --verify: nothing is written. */
  readonly compare_only: boolean;
  readonly started: string;
  readonly updated: string;
  readonly pid: number;
  /** As a session's status has them. */
  readonly pid_start: number;
  readonly boot_id: string;
}

const isText = (value: unknown) => typeof value === 'string' && value.length <= 4_096;
const isCount = (value: unknown) => Number.isFinite(value) && (value as number) >= 0;

const checks: Readonly<Record<keyof ResyncStatus, (value: unknown) => boolean>> = {
  schema: (value) => value === 1,
  domain: isText,
  uuid: isText,
  role: (value) => value === 'primary' || value === 'backup',
  peer: isText,
  compare_only: (value) => typeof value === 'boolean',
  bytes: isCount,
  total_bytes: isCount,
  bytes_per_second: isCount,
  seconds_left: (value) => value === null || isCount(value),
  started: isText,
  updated: isText,
  pid: isCount,
  pid_start: isCount,
  boot_id: isText,
};

/** Null: that is none; one that is newer may have more keys. Pure. */
export function parseResync(text: string): ResyncStatus | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const keys = value as Readonly<Record<string, unknown>>;
  const isOne = Object.entries(checks).every(([key, check]) => check(keys[key]));
  return isOne ? (value as ResyncStatus) : null;
}
