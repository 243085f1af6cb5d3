/**
 * When may the next checkpoint begin, and when does it? Pure: counters in, a time out.
 *
 * Fixed interval, counted from the commit as `xl remus -i` counts it. While epochs are in
 * flight (pendingMax > 1) there is no commit to count from, so the interval runs from the
 * moment at which the guest went on after the newest checkpoint; otherwise every acknowledgement of
 * an older epoch would push the next checkpoint away.
 */

/** What the scheduler looks at. Epochs are -1 before the first. */
export interface ScheduleFacts {
  /** The newest epoch for which a checkpoint was asked. */
  readonly requested: number;
  /** The newest epoch that is drained: the guest runs again. */
  readonly drained: number;
  readonly acked: number;
  readonly drainedAtMs: number;
  readonly committedAtMs: number;
}

export interface ScheduleConfig {
  readonly intervalMs: number;
  readonly pendingMax: number;
}

/**
 * The time at which the next checkpoint begins, or null when it has to wait for something that
 * is not time: the seed's acknowledgement, the running checkpoint, or back-pressure.
 */
export function nextCheckpointAtMs(facts: ScheduleFacts, config: ScheduleConfig): number | null {
  if (facts.acked < 0) return null; // the seed
  if (facts.requested > facts.drained) return null; // one checkpoint at a time
  const pending = facts.drained - facts.acked;
  if (pending >= config.pendingMax) return null; // the backup lags: wait for it
  const anchorMs = pending === 0 ? facts.committedAtMs : facts.drainedAtMs;
  return anchorMs + config.intervalMs;
}
