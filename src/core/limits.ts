/**
 * Every limit of the core, with its unit and its reason. Nothing in the core grows, waits or
 * retries beyond one of these. It is the one table of what a session may be told, too: HELLO,
 * CONFIG, the command line, the environment and `tsremus set` take their bounds from here, so that
 * none of these doors lets in what the core behind it would die of.
 */
import type { PrimaryConfig } from './primary/types.ts';
import type { Schedule } from './scheduler.ts';
import type { SessionTiming } from './vocabulary.ts';

/**
 * Heartbeats whose time of sending the primary remembers. One goes out every tenth of the
 * timeout, so 64 cover more than six timeouts; an older echo could not make a lease fresh.
 */
export const heartbeatsRememberedMax = 64;

/**
 * How long the primary waits for the answer to a fresh connection, ms, before it starts
 * another one. A new ssh connection to a busy host takes seconds; 20 s is far above that.
 */
export const freshAskMs = 20_000;

/**
 * Asks that wait at the backup for the record. The primary has at most a few under way; when
 * more come, the oldest is dropped, because its asker has long asked again.
 */
export const asksWaitingMax = 16;

/**
 * An ask that could not be served for so long is dropped, ms: its asker may be dead by now, and
 * a promise to a dead primary would lose the guest.
 */
export const askWaitsMs = 10_000;

/** `tsremus failover` calls that wait for the record at one time. */
export const failoversWaitingMax = 8;

/** Pause between two attempts to write the record after one failed (disk full), ms. */
export const recordRetryMs = 500;

/** Pause between two attempts to unpause a guest after one failed, on either side, ms. */
export const unpauseRetryMs = 1_000;

/** Pause between two attempts to discard the copy after one failed, ms. */
export const discardRetryMs = 1_000;

/**
 * How long a guest that was taken over waits for the hypervisor's operation to end before it is
 * destroyed all the same, ms. An abort is quick, but a paused guest cannot finish a suspend.
 */
export const saveEndMs = 10_000;

/** Characters of a reason that came from outside (peer, hypervisor); longer ones are cut. */
export const reasonCharsMax = 400;

/**
 * Heartbeat timeout, ms. Below the least the scheduling of an ordinary dom0 looks like a dead host;
 * beyond the most nobody's client waits any more.
 */
export const heartbeatTimeoutMsMin = 200;
export const heartbeatTimeoutMsMax = 60_000;

/**
 * How long the service manager waits for a session that it ends, ms: the other host falls silent
 * first, or is asked by a fresh connection, and the hypervisor's operation ends.
 */
export const unitStopMs = heartbeatTimeoutMsMax + freshAskMs + saveEndMs;

/** Hold after the end of the link, ms. In less no primary has asked for its promise. */
export const holdMsMin = 100;
export const holdMsMax = 600_000;

/** Checkpoint interval, and the period of `auto`, ms. A checkpoint of an idle guest takes 10 ms. */
export const intervalMsMin = 10;
export const intervalMsMax = 60_000;

/** Epochs in flight. More would only add memory: the link is full long before. */
export const pendingMaxMax = 64;

/** Disks of one guest that are replicated; each takes memory on either host (diskEpochBytesMax). */
export const disksMax = 32;

/** A disk, bytes: 512 TiB. */
export const diskBytesMax = 2 ** 49;

/**
 * What one disk may have in one epoch, bytes, its records with it: the primary captures no more
 * before it is sent, and the backup has to keep all of it until the epoch counts. Of epoch 0, the
 * first copy, nothing is kept: it has no such bound.
 */
export const diskEpochBytesMax = 64 * 1024 * 1024;

/** Epochs in flight without other orders: one is sent while the next one runs. */
export const pendingDefault = 2;

/**
 * Bounds of `auto`, ms, without other orders. A checkpoint of an idle guest takes about 10 ms, so
 * 20 ms is as soon as pays; 1 s is how much of an idle guest's latest work waits for the backup.
 */
export const autoMinMsDefault = 20;
export const autoMaxMsDefault = 1_000;

/** The share of the guest's time that pauses may take under `auto`, percent. */
export const overheadPercentDefault = 20;
export const overheadPercentMin = 1;
export const overheadPercentMax = 90;

/** The same as parts of one. */
export const overheadDefault = overheadPercentDefault / 100;
export const overheadMin = overheadPercentMin / 100;
export const overheadMax = overheadPercentMax / 100;

/**
 * How long `auto` lets the guest run, ms, to make up for long pauses. Output waits as long: with
 * longer pauses than this makes up for, the overhead is passed rather than the network cut off.
 */
export const overheadRunMsMax = 10_000;

/** The size of an epoch that `auto` aims at when no output waits: 2048 pages are 8 MiB. */
export const epochPagesMax = 2_048;

/**
 * An epoch waits for its acknowledgement, and for so long the backup neither acknowledged nor took
 * a byte, ms: it hangs, although its heartbeats may flow. At least ten timeouts.
 */
export const progressMsMin = 30_000;

/**
 * Between HELLO and CONFIG the primary starts its guard and opens its buffer and disks. Of a host
 * that dies meanwhile nothing is heard, and the name must not stay claimed on the other one; ms.
 */
export const configMsMax = 120_000;

/** While disks alone are copied, either side hears something every second, ms. */
export const resyncBeatMs = 1_000;
/** A host that says nothing for so long then is taken for dead; nothing is lost by that, ms. */
export const resyncSilenceMsMax = 30_000;

/** What may be read of a guest's disk in a second while it is copied, bytes. */
export const resyncRateMin = 64 * 1024;
export const resyncRateMax = 1024 ** 4;

/** Memory of a guest, and of a page cache, bytes: beyond any host's, and far below 2^53. */
export const guestBytesMax = 64 * 1024 ** 4;

/**
 * What a session may use of a host's memory, bytes. Less leaves nothing to divide; more than any
 * dom0 has is a slip.
 */
export const maxMemoryBytesMin = 64 * 1024 ** 2;
export const maxMemoryBytesMax = 16 * 1024 ** 4;

/** What dom0 may hold back for one interface, bytes; sch_plug counts in 32 bits. */
export const bufferLimitBytesMin = 1024 ** 2;
export const bufferLimitBytesMax = 2 * 1024 ** 3;

/** How long `protect` waits for its guest to run, s: a day is beyond any boot. */
export const awaitGuestSecondsMax = 86_400;

/** Pause between two asks, ms. */
export const askEveryMsMin = 10;
export const askEveryMsMax = 60_000;

/** What is wrong with the timing of a session, in words; null when nothing is. */
export function timingProblem(timing: SessionTiming): string | null {
  return (
    rangeProblem(
      'heartbeat timeout',
      timing.heartbeatTimeoutMs,
      heartbeatTimeoutMsMin,
      heartbeatTimeoutMsMax,
    ) ?? rangeProblem('hold', timing.holdMs, holdMsMin, holdMsMax)
  );
}

/** What is wrong with the primary's settings, in words; null when nothing is. */
export function primaryConfigProblem(config: PrimaryConfig): string | null {
  return (
    timingProblem(config) ??
    scheduleProblem(config.schedule) ??
    rangeProblem('epochs in flight', config.pendingMax, 1, pendingMaxMax, '') ??
    rangeProblem('pause between asks', config.askEveryMs, askEveryMsMin, askEveryMsMax)
  );
}

/** What is wrong with a schedule, in words; null when nothing is. */
export function scheduleProblem(schedule: Schedule): string | null {
  if (schedule.kind === 'fixed') {
    return rangeProblem('interval', schedule.intervalMs, intervalMsMin, intervalMsMax);
  }
  const { minMs, maxMs, maxOverhead } = schedule;
  const periods =
    rangeProblem('shortest period', minMs, intervalMsMin, intervalMsMax) ??
    rangeProblem('longest period', maxMs, minMs, intervalMsMax);
  if (periods !== null) return periods;
  if (maxOverhead >= overheadMin && maxOverhead <= overheadMax) return null;
  return `overhead is ${maxOverhead}, must be from ${overheadMin} to ${overheadMax}`;
}

/** How the primary checkpoints without other orders. */
export const defaultSchedule = {
  kind: 'auto',
  minMs: autoMinMsDefault,
  maxMs: autoMaxMsDefault,
  maxOverhead: overheadDefault,
} as const satisfies Schedule;

/** Cuts a text from outside to what a log line and a record can carry. */
export function boundedReason(reason: string): string {
  return reason.length <= reasonCharsMax ? reason : `${reason.slice(0, reasonCharsMax - 1)}…`;
}

function rangeProblem(
  name: string,
  value: number,
  min: number,
  max: number,
  unit = ' ms',
): string | null {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return null;
  return `${name} is ${value}${unit}, must be a whole number from ${min} to ${max}`;
}
