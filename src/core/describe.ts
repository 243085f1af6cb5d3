/**
 * One formatter per event, effect and state; texts/outcomes.ts has the outcomes. Logs and test
 * transcripts use these, so a failing test reads like a log.
 */
import type { BackupState } from './backup/state.ts';
import type { BackupEffect, BackupEvent } from './backup/types.ts';
import { unreachable } from './invariant.ts';
import type { PrimaryState } from './primary/state.ts';
import { isLeaseFresh } from './primary/state.ts';
import type { PrimaryEffect, PrimaryEvent } from './primary/types.ts';
import type { OutputWaiting, Schedule } from './scheduler.ts';
import { loggedOutcome } from './texts/outcomes.ts';

/** A primary's event in a few words; the time is left to the caller. */
export function describePrimaryEvent(event: PrimaryEvent): string {
  switch (event.kind) {
    case 'tick':
    case 'link-open':
    case 'progress':
    case 'disk-filling':
    case 'save-ended':
    case 'activated':
    case 'destroyed':
      return event.kind;
    case 'echo':
      return `echo ${event.seq}`;
    case 'checkpoint':
    case 'drained':
    case 'sent':
    case 'ack':
      return `${event.kind} ${event.epoch}`;
    case 'output':
      return describeOutput(event);
    case 'set-schedule':
      return `set-schedule ${describeSchedule(event.schedule)}`;
    case 'link-closed':
    case 'copy-lost':
    case 'backup-leaving':
    case 'output-lost':
    case 'disk-lost':
    case 'save-failed':
    case 'guest-ended':
    case 'destroy-failed':
      return `${event.kind} (${event.reason})`;
    case 'answer':
      return `answer ${event.id}: ${event.answer.kind}`;
    case 'ask-failed':
      return `ask-failed ${event.id} (${event.reason})`;
    case 'stop':
      return `stop by ${event.by}${event.force ? ', forced' : ''}`;
    default:
      return unreachable(event);
  }
}

/** `every 50 ms` and the like. */
export function describeSchedule(schedule: Schedule): string {
  if (schedule.kind === 'fixed') return `every ${schedule.intervalMs} ms`;
  const { minMs, maxMs, maxOverhead } = schedule;
  return `auto, ${minMs} to ${maxMs} ms, overhead at most ${Math.round(100 * maxOverhead)} %`;
}

function describeOutput({ packets, bytes, nearLimit }: OutputWaiting): string {
  return `output ${packets} packets, ${bytes} bytes${nearLimit ? ', near the limit' : ''}`;
}

/** A primary's effect in a few words. */
export function describePrimaryEffect(effect: PrimaryEffect): string {
  switch (effect.kind) {
    case 'send-heartbeat':
      return `heartbeat ${effect.seq}`;
    case 'take-checkpoint':
      return `take-checkpoint ${effect.epoch}`;
    case 'release':
      return `release ..${effect.epoch}`;
    case 'ask-promise':
      return `ask ${effect.id} (${effect.way})`;
    case 'pause-guest':
      return `pause-guest (${effect.reason})`;
    case 'unpause-guest':
    case 'open-buffer':
    case 'abort-save':
    case 'destroy-guest':
    case 'close-link':
      return effect.kind;
    case 'refuse-force':
      return `refuse-force (${effect.reason})`;
    case 'end':
      return `end: ${loggedOutcome(effect.outcome)}`;
    default:
      return unreachable(effect);
  }
}

/** A primary's state in one line: phase, counters, and what is not as usual. */
export function describePrimaryState(state: PrimaryState): string {
  const notes = [
    state.link === 'open' ? null : `link ${state.link}`,
    isLeaseFresh(state) ? null : 'no lease',
    state.paused ? 'paused' : null,
    state.ask === null ? null : `asking ${state.ask.id}`,
    state.activeSeen ? 'active there' : null,
    state.opened === null ? null : `open: ${state.opened}`,
  ].filter((note) => note !== null);
  const { requested, drained, sent, acked, released } = state;
  const progress = `epoch=${requested} drained=${drained} sent=${sent}`;
  const counters = `${progress} acked=${acked} released=${released}`;
  return `${state.phase.padEnd(10)} ${counters}${notes.length > 0 ? ` [${notes.join(', ')}]` : ''}`;
}

/** A backup's event in a few words; the time is left to the caller. */
export function describeBackupEvent(event: BackupEvent): string {
  switch (event.kind) {
    case 'tick':
      return event.stalledMs > 0 ? `tick (stalled ${Math.round(event.stalledMs)} ms)` : 'tick';
    case 'link-open':
    case 'bytes':
    case 'built':
    case 'running':
    case 'discarded':
      return event.kind;
    case 'heartbeat':
      return event.heldMs === 0
        ? `heartbeat ${event.seq}`
        : `heartbeat ${event.seq} (held for ${event.heldMs} ms)`;
    case 'epoch-whole':
      return `epoch-whole ${event.epoch}${event.part === 'memory' ? '' : ` (${event.part})`}`;
    case 'corrupt':
    case 'link-closed':
    case 'copy-failed':
    case 'record-failed':
    case 'build-failed':
    case 'unpause-failed':
    case 'discard-failed':
      return `${event.kind} (${event.reason})`;
    case 'ask':
      return `ask #${event.token} (${event.way})`;
    case 'record':
      return `record says ${event.permission}`;
    case 'leave':
      return `leave (${event.reason})`;
    case 'failover':
      return `failover #${event.token}`;
    default:
      return unreachable(event);
  }
}

/** A backup's effect in a few words. */
export function describeBackupEffect(effect: BackupEffect): string {
  switch (effect.kind) {
    case 'send-echo':
      return `echo ${effect.seq}`;
    case 'send-ack':
      return `ack ${effect.epoch}`;
    case 'commit':
      return `commit ${effect.epoch}`;
    case 'write-record':
      return `record ${effect.from} -> ${effect.to}, epoch ${effect.epoch} (${effect.why})`;
    case 'build-copy':
      return `build-copy ${effect.epoch}`;
    case 'unpause-copy':
    case 'note-running':
    case 'discard-copy':
    case 'send-activated':
    case 'close-link':
      return effect.kind;
    case 'answer':
      return `answer #${effect.token} (${effect.way}): ${effect.answer.kind}`;
    case 'send-copy-lost':
      return `send-copy-lost (${effect.reason})`;
    case 'send-leaving':
      return `send-leaving (${effect.reason})`;
    case 'failover-answer':
      return `failover #${effect.token}: ${effect.refused ?? 'started'}`;
    case 'end':
      return `end: ${loggedOutcome(effect.outcome)}`;
    default:
      return unreachable(effect);
  }
}

/** A backup's state in one line: phase, counters, and what is not as usual. */
export function describeBackupState(state: BackupState): string {
  const notes = [
    state.link === 'open' ? null : `link ${state.link}`,
    state.record === 'standby' ? null : `record ${state.record}`,
    state.writing === null ? null : `writing ${state.writing}`,
    state.copy === 'receiving' ? null : `copy ${state.copy}`,
    state.asks.length === 0 ? null : `${state.asks.length} asks wait`,
    state.recordProblem === null ? null : 'record failed',
  ].filter((note) => note !== null);
  const counters = `whole=${state.whole} acked=${state.acked}`;
  return `${state.phase.padEnd(10)} ${counters}${notes.length > 0 ? ` [${notes.join(', ')}]` : ''}`;
}
