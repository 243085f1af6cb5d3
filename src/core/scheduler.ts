/**
 * When may the next checkpoint begin, and when does it? Pure: counters in, a time out.
 *
 * What holds for every schedule: nothing before the seed is acknowledged, one checkpoint at a time,
 * and at most `pendingMax` epochs that are not acknowledged (the newest one that waits for its
 * acknowledgement included).
 *
 * Fixed: counted from the commit, as `xl remus -i` counts. While epochs are in flight there is
 * no commit to count from, so the interval runs from the moment at which the guest went on after
 * the newest checkpoint; otherwise every acknowledgement of an older epoch would push the next
 * checkpoint away.
 *
 * Auto: counted from the moment at which the guest went on. The time for which it then runs is the
 * first of these that applies:
 *  1. Output waits, and nothing is in flight: `minMs`.
 *  2. Otherwise the time in which the guest dirties `epochPagesMax` pages at the speed of the
 *     last epoch, between `minMs` and `maxMs`. So an idle guest gets `maxMs`, without a threshold
 *     beside the rule; a busy one gets epochs of one size, which bounds memory and transfer. With
 *     a working set below that size the period drifts to `maxMs`, with a larger one to the
 *     period at which it is reached: the rule has one fixed point and walks to it from one side.
 *     Before the first measurement: `minMs`.
 *  In both cases at least as long as keeps the guest's pauses below `maxOverhead` of its time: a
 *  pause p allows p * (1 / maxOverhead - 1) of running. p is a moving average, so a single long
 *  pause lengthens a few periods and not one. This may pass `maxMs`, up to `overheadRunMsMax`.
 *
 * Why output does not hasten anything while an epoch is in flight: an interface has one plug, which
 * remembers one finished epoch, so a barrier before the older epoch's release cannot be set (see
 * src/output): what is sent meanwhile leaves with a later one. An early checkpoint would cost a
 * pause and bring no packet out sooner; the acknowledgement does. `pendingMax` then only serves to
 * go on checkpointing at the calm pace of rule 2 while a slow link is busy.
 *
 * A buffer near its limit asks for a checkpoint at once, whatever the schedule and the overhead,
 * for the same reason only when nothing is in flight.
 */
import { epochPagesMax, overheadRunMsMax } from './limits.ts';

/** `fixed`: -i MS. `auto`: between two bounds, by what the guest does; times in ms. */
export type Schedule =
  | { readonly kind: 'fixed'; readonly intervalMs: number }
  | {
      readonly kind: 'auto';
      readonly minMs: number;
      readonly maxMs: number;
      /** The share of the guest's time that pauses may take, 0 to 1. */
      readonly maxOverhead: number;
    };

/** What the last epochs were like. */
export interface Pace {
  /** How long the guest stands still per checkpoint, ms: a moving average; null: not known yet. */
  readonly pauseMs: number | null;
  /** Pages dirtied per ms of running in the newest epoch; null: not known yet. */
  readonly pagesPerMs: number | null;
}

/** What waits in the output buffer, over all interfaces, as last seen. */
export interface OutputWaiting {
  readonly packets: number;
  readonly bytes: number;
  /** Some interface is close to its limit, or short of slots. */
  readonly nearLimit: boolean;
}

/** What the scheduler looks at. Epochs are -1 before the first. */
export interface ScheduleFacts {
  readonly schedule: Schedule;
  /** The newest epoch for which a checkpoint was asked. */
  readonly requested: number;
  /** The newest epoch that is drained: the guest runs again. */
  readonly drained: number;
  readonly acked: number;
  readonly drainedAtMs: number;
  readonly committedAtMs: number;
  readonly pace: Pace;
  readonly output: OutputWaiting;
}

export const noPace: Pace = { pauseMs: null, pagesPerMs: null };
export const noOutput: OutputWaiting = { packets: 0, bytes: 0, nearLimit: false };

/** The weight of the newest pause in the moving average. */
const pauseWeight = 0.25;

/**
 * The time at which the next checkpoint begins, or null when it has to wait for something that
 * is not time: the seed's acknowledgement, the running checkpoint, or back-pressure.
 */
export function nextCheckpointAtMs(facts: ScheduleFacts, pendingMax: number): number | null {
  if (facts.acked < 0) return null; // the seed
  if (facts.requested > facts.drained) return null; // one checkpoint at a time
  if (isDeferred(facts, pendingMax)) return null;
  const pending = facts.drained - facts.acked;
  const { schedule, pace, output, drainedAtMs } = facts;
  const isBarrierFree = pending === 0;
  if (output.nearLimit && isBarrierFree) return drainedAtMs;
  if (schedule.kind === 'fixed') {
    return (isBarrierFree ? facts.committedAtMs : drainedAtMs) + schedule.intervalMs;
  }
  const isAwaited = output.packets > 0 && isBarrierFree;
  const wishedMs = isAwaited ? schedule.minMs : unhurriedMs(pace, schedule.minMs, schedule.maxMs);
  return drainedAtMs + Math.max(wishedMs, overheadRunMs(pace, schedule.maxOverhead));
}

/** So many epochs are unacknowledged that the next checkpoint waits; the guest runs on. */
export function isDeferred(facts: Pick<ScheduleFacts, 'drained' | 'acked'>, pendingMax: number) {
  return facts.acked >= 0 && facts.drained - facts.acked >= pendingMax;
}

/** The pace after one more epoch, in which the guest ran for `ranMs` and then paused. */
export function nextPace(pace: Pace, ranMs: number, pauseMs: number, pages: number): Pace {
  const before = pace.pauseMs ?? pauseMs;
  return {
    pauseMs: before + pauseWeight * (pauseMs - before),
    pagesPerMs: pages / Math.max(1, ranMs),
  };
}

/**
 * Beyond this age the newest acknowledgement is late, ms; the one place where that is decided.
 * Twice the longest period that is planned now (a checkpoint may just have begun when the one
 * before it is acknowledged), and two timeouts for sending: what comes later was not planned. The
 * period of `auto` varies, but the scheduler never waits longer than this on its own.
 */
export function lateAfterMs(schedule: Schedule, pace: Pace, heartbeatTimeoutMs: number): number {
  const runMs =
    schedule.kind === 'fixed'
      ? schedule.intervalMs
      : Math.max(schedule.maxMs, overheadRunMs(pace, schedule.maxOverhead));
  return Math.ceil(2 * (runMs + (pace.pauseMs ?? 0)) + 2 * heartbeatTimeoutMs);
}

function unhurriedMs(pace: Pace, minMs: number, maxMs: number): number {
  if (pace.pagesPerMs === null) return minMs;
  return Math.min(maxMs, Math.max(minMs, epochPagesMax / pace.pagesPerMs));
}

/** How long the guest has to run between two pauses for their share to stay allowed. */
function overheadRunMs(pace: Pace, maxOverhead: number): number {
  return Math.min(overheadRunMsMax, (pace.pauseMs ?? 0) * (1 / maxOverhead - 1));
}
