/** What protect was told -> the settings of the core. Pure. */
import type { PrimaryConfig } from '../../core/primary/types.ts';
import type { SessionTiming } from '../../core/vocabulary.ts';
import type { ProtectOptions } from '../options.ts';
import { scheduleOf } from './schedule-change.ts';

/** Pause between two asks, ms. */
const askEveryMs = 1_000;

/** What HELLO tells the backup. */
export function timingOf(options: ProtectOptions): SessionTiming {
  const { heartbeatTimeoutMs, holdMs, network, withoutWitness } = options;
  return { heartbeatTimeoutMs, holdMs, buffered: network, withoutWitness };
}

/** What the primary's machine is given; whatever the command line let through is valid. */
export function primaryConfigOf(options: ProtectOptions): PrimaryConfig {
  const { interval, maxOverheadPercent, pendingMax } = options;
  const schedule = scheduleOf(interval, maxOverheadPercent);
  return { ...timingOf(options), schedule, pendingMax, askEveryMs };
}
