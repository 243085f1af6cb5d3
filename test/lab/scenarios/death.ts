/** What every trial has in common in which the primary's host dies: variants, figures, bounds. */
import type { GuestKind } from '../lab.ts';
import { sessionLog } from '../session.ts';
import type { Trial } from './trial.ts';

const heartbeatTimeoutMs = 1000;
/** The heartbeat timeout and six seconds, under emulation. */
const answerMsMax = heartbeatTimeoutMs + 6000;
/** Two epochs and what was done since; at 20,000 pages/s one takes up to 7 s under emulation. */
export const lostMsMax = 15_000;

export interface Variant {
  readonly kind: GuestKind;
  /** Pages rewritten per second. */
  readonly rate: number;
}

/** All kinds and rates; the first two stand for the rest in CI. */
const variants: readonly Variant[] = [
  { kind: 'pv', rate: 2000 },
  { kind: 'pvh', rate: 2000 },
  { kind: 'pvh', rate: 0 },
  { kind: 'pv', rate: 20_000 },
  { kind: 'pvh', rate: 20_000 },
  { kind: 'pv', rate: 0 },
];

/** Six trials are all variants once. */
export function variantOf(index: number): Variant {
  return variants[index % variants.length] as Variant;
}

/** Waits for the survivor's first answer, which must come in time. */
export async function answerInTime(trial: Trial, guest: string, killedMs: number) {
  const answer = await trial.firstAnswer(guest, 30_000);
  const tookMs = answer.atMs - killedMs;
  trial.measure('kill_to_answer_ms', tookMs);
  trial.check(`an answer within ${answerMsMax} ms of the kill`, tookMs <= answerMsMax, tookMs);
  return answer;
}

/**
 * What the guest lived through on A after the epoch it was activated from, in its own time, as far
 * as anybody heard of it. With the buffer nobody hears of any of it: the bound is 0 there.
 */
export function checkLoss(trial: Trial, guest: string, killedMs: number, mostMs: number): void {
  const last = trial.spoken(guest, 'a').at(-1);
  const first = trial.spoken(guest, 'b')[0];
  if (last === undefined || first === undefined) {
    trial.check('beacons from both hosts, one after the other', false, { last, first });
    return;
  }
  const lostMs = (last.counter - first.counter) * 10;
  trial.measure('kill_to_beacon_ms', first.timeMs - killedMs);
  trial.measure('guest_time_lost_ms', Math.max(0, lostMs));
  trial.check(`at most ${mostMs} ms of the guest's time lost`, lostMs <= mostMs, lostMs);
}

/** Where the time went, by the backup's log. */
export async function measureSteps(trial: Trial, guest: string, killedMs: number): Promise<void> {
  const log = await sessionLog(trial.lab, 'b', guest, 'backup');
  const at = (pattern: RegExp) => log.find((line) => pattern.test(line.text))?.timeMs;
  const detected = at(/record standby -> activating/);
  const running = at(/^running/);
  if (detected !== undefined) trial.measure('kill_to_detection_ms', detected - killedMs);
  if (detected !== undefined && running !== undefined) {
    trial.measure('detection_to_running_ms', running - detected);
  }
}
