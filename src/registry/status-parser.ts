/** Checks the text of a status file. Pure; unknown keys pass: newer sessions can be read. */
import type { SessionState } from '../core/health/facts.ts';
import { agreements } from '../core/permission/tie.ts';
import type { Histograms, SessionStatus } from './status.ts';

const states: Readonly<Record<SessionState, true>> = {
  connecting: true,
  seeding: true,
  protected: true,
  late: true,
  measuring: true,
  ending: true,
  held: true,
  unprotected: true,
  standby: true,
  activating: true,
  active: true,
  ended: true,
};

const textMax = 4_096;
const epochsMax = 64;
const linesMax = 16;

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === 'string' && value.length <= textMax;
const isCount: Check = (value) => typeof value === 'number' && Number.isFinite(value) && value >= 0;
const isFlag: Check = (value) => typeof value === 'boolean';
const isTime: Check = (value) => isText(value) && !Number.isNaN(Date.parse(value as string));
const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);
const isListOf =
  (check: Check, max: number): Check =>
  (value) =>
    Array.isArray(value) && value.length <= max && value.every(check);
const hasKeys =
  (checks: Readonly<Record<string, Check>>): Check =>
  (value) =>
    typeof value === 'object' && value !== null && wrongKey(value, checks) === null;

function wrongKey(value: object, checks: Readonly<Record<string, Check>>): string | null {
  for (const [key, check] of Object.entries(checks)) {
    if (!check((value as Record<string, unknown>)[key])) return key;
  }
  return null;
}

const isHistogram = hasKeys({
  count: isCount,
  sum: isCount,
  ...Object.fromEntries(['min', 'p50', 'p90', 'p99', 'max'].map((key) => [key, orNull(isCount)])),
});

const histogramChecks: Readonly<Record<keyof Histograms, Check>> = {
  pause_ms: isHistogram,
  encode_ms: isHistogram,
  transfer_ms: isHistogram,
  acknowledge_ms: isHistogram,
  period_ms: isHistogram,
  raw_bytes: isHistogram,
  sent_bytes: isHistogram,
};

const held = { packets: isCount, bytes: isCount, dropped: isCount };
const interfacesMax = 256;
const isOutput = hasKeys({
  ...held,
  interfaces: isListOf(
    hasKeys({ ...held, name: isText, state: isText, near_limit: isFlag }),
    interfacesMax,
  ),
});

const checks: Readonly<Record<keyof SessionStatus, Check>> = {
  schema: (value) => value === 1,
  domain: (value) => isText(value) && value !== '',
  domid: orNull(isCount),
  uuid: isText,
  session: isText,
  role: (value) => value === 'primary' || value === 'backup',
  peer: isText,
  state: (value) => typeof value === 'string' && Object.hasOwn(states, value),
  epoch: orNull(isCount),
  ack_time: orNull(isTime),
  ack_age_ms: orNull(isCount),
  late_after_ms: isCount,
  buffered: isFlag,
  heartbeat_timeout_ms: isCount,
  without_witness: (value) => value === undefined || agreements.some((one) => one === value),
  disks_left: (value) => value === undefined || isListOf(isText, linesMax)(value),
  disks_percent: (value) => value === undefined || isCount(value),
  seed_percent: orNull(isCount),
  epochs: isListOf(
    hasKeys({
      epoch: isCount,
      pause_ms: isCount,
      bytes: isCount,
      sent_bytes: orNull(isCount),
      pages: isCount,
    }),
    epochsMax,
  ),
  bytes_sent: isCount,
  bytes_raw: isCount,
  codec: orNull(isText),
  pages: orNull(hasKeys({ unchanged: isCount, zero: isCount, delta: isCount, raw: isCount })),
  histograms: orNull(hasKeys(histogramChecks)),
  recent: (value) =>
    value === undefined ||
    hasKeys({ pause_ms_max: orNull(isCount), lag_ms_max: orNull(isCount) })(value),
  schedule: orNull(
    hasKeys({
      mode: isText,
      interval_ms: orNull(isCount),
      max_overhead_percent: orNull(isCount),
    }),
  ),
  pending_max: orNull(isCount),
  in_flight: orNull(isCount),
  memory: orNull(
    hasKeys({
      max_bytes: isCount,
      queue_bytes: isCount,
      cache_bytes: isCount,
      waiting_bytes: isCount,
    }),
  ),
  stalls: isCount,
  stalled_ms: isCount,
  degraded: orNull(isText),
  reason: orNull(isText),
  next: isListOf(isText, linesMax),
  outcome: orNull(isText),
  started: isTime,
  updated: isTime,
  updated_uptime_ms: (value) => value === undefined || isCount(value),
  pid: isCount,
  pid_start: isCount,
  boot_id: isText,
  output: orNull(isOutput),
  transport: orNull(hasKeys({ host: isText, ssh_command: orNull(isText) })),
  guest_paused: isFlag,
  copy_built: (value) => value === undefined || isFlag(value), // not in older ones
  may_open: (value) => value === undefined || isFlag(value),
  watch: (value) => value === undefined || isFlag(value),
  host_refusals: (value) => value === undefined || isListOf(isText, linesMax)(value),
  buffer_only: (value) => value === undefined || isFlag(value),
};

/** The status that `text` holds, or why it holds none. */
export function parseStatus(text: string): { status: SessionStatus } | { reason: string } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { reason: 'it is not JSON' };
  }
  if (typeof value !== 'object' || value === null) return { reason: 'it is not a JSON object' };
  const wrong = wrongKey(value, checks);
  if (wrong !== null) return { reason: `its key ${wrong} is missing or cannot be` };
  return { status: value as SessionStatus };
}
