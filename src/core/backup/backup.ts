/**
 * The backup of a protection session, as a pure state machine: (state, event) -> (state,
 * effects). The invariants stand in state.ts.
 *
 * An event changes what is known (`on...`); then `work` decides, if nothing is decided yet,
 * and takes the next step towards what is (work.ts). Decisions are made of two things: a
 * goal, which is only a wish, and the durable record, which is the decision.
 */

import { invariant, unreachable } from '../invariant.ts';
import {
  asksWaitingMax,
  askWaitsMs,
  boundedReason,
  discardRetryMs,
  failoversWaitingMax,
  recordRetryMs,
  unpauseRetryMs,
} from '../limits.ts';
import { mayActivate, mayOpenUnanswered, type Said } from '../permission/tie.ts';
import {
  type BackupState,
  checkBackup,
  leastWhole,
  phaseOf,
  silenceMs,
  unheardMs,
} from './state.ts';
import type { BackupEffect, BackupEvent, OwnPermission } from './types.ts';
import { work } from './work.ts';

export { type BackupState, backupWakeAtMs, initialBackup } from './state.ts';

export interface BackupStep {
  readonly state: BackupState;
  /** To be carried out in this order. */
  readonly effects: readonly BackupEffect[];
}

type Effects = BackupEffect[];
type EventOf<K extends BackupEvent['kind']> = Extract<BackupEvent, { readonly kind: K }>;

/** One event. After `ended` nothing has an effect any more; the record answers for itself. */
export function stepBackup(before: BackupState, event: BackupEvent): BackupStep {
  if (before.phase === 'ended') return { state: before, effects: [] };
  const effects: Effects = [];
  let state: BackupState = { ...before, nowMs: Math.max(before.nowMs, event.nowMs) };
  state = onEvent(state, event, effects);
  // Silence is judged on ticks only: then the input is drained, and the peer's bytes are seen.
  state = work(state, event.kind === 'tick', effects);
  state = { ...state, phase: phaseOf(state) };
  checkBackup(before, state, event, effects);
  return { state, effects };
}

function onEvent(state: BackupState, event: BackupEvent, effects: Effects): BackupState {
  switch (event.kind) {
    case 'tick':
      return onTick(state, event.stalledMs);
    case 'link-open':
      return onLinkOpen(state);
    case 'bytes':
      return heard(state);
    case 'heartbeat':
      return onHeartbeat(state, event);
    case 'epoch-whole':
      return onEpochWhole(state, event, effects);
    case 'corrupt':
      return onCorrupt(state, event.reason, effects);
    case 'link-closed':
      return onLinkClosed(state, event.reason);
    case 'ask':
      return onAsk(state, event, effects);
    case 'copy-failed':
      return onCopyFailed(state, event.reason);
    case 'record':
      return onRecord(state, event.permission, effects);
    case 'record-failed':
      return onRecordFailed(state, event.reason, effects);
    case 'built':
      invariant(state.copy === 'building', 'built what was not being built');
      // The hypervisor had given up on an epoch meanwhile: this would be an older one.
      return { ...state, copy: state.copyProblem === null ? 'built' : 'failed' };
    case 'build-failed':
      invariant(state.copy === 'building', 'failed to build what was not being built');
      return { ...state, copy: 'failed', copyProblem: boundedReason(event.reason) };
    case 'running':
      invariant(state.copy === 'starting', 'runs without having been unpaused');
      return { ...state, copy: 'running', copyProblem: null };
    case 'unpause-failed':
      return onUnpauseFailed(state, event.reason);
    case 'discarded':
      invariant(state.copy === 'discarding', 'discarded what was not to be');
      return { ...state, copy: 'gone' };
    case 'discard-failed':
      return onDiscardFailed(state, event.reason);
    case 'leave':
      return onLeave(state, event.reason, effects);
    case 'failover':
      return onFailover(state, event, effects);
    default:
      return unreachable(event);
  }
}

/** The time for which this process itself did not run is no silence of the peer's. */
function onTick(state: BackupState, stalledMs: number): BackupState {
  const { nowMs } = state;
  const later = (atMs: number): number => Math.min(nowMs, atMs + Math.max(0, stalledMs));
  return {
    ...state,
    heardAtMs: later(state.heardAtMs),
    echoedAtMs: later(state.echoedAtMs),
    linkClosedAtMs: later(state.linkClosedAtMs),
    unheardSinceMs: state.unheardSinceMs === null ? null : later(state.unheardSinceMs),
    asks: state.asks.filter((ask) => nowMs - ask.atMs < askWaitsMs),
  };
}

function onLinkOpen(state: BackupState): BackupState {
  if (state.link !== 'connecting') return state;
  return { ...state, link: 'open', heardAtMs: state.nowMs, echoedAtMs: state.nowMs };
}

function heard(state: BackupState): BackupState {
  return state.link === 'open' ? { ...state, heardAtMs: state.nowMs } : state;
}

/** Two ways bring heartbeats: an older one that comes later says nothing new of the primary. */
function onHeartbeat(state: BackupState, { seq, heldMs }: EventOf<'heartbeat'>): BackupState {
  const next: BackupState = { ...heard(state), echoWaiting: seq };
  if (seq <= state.beat.seq || state.link !== 'open') return next;
  const isHeld = heldMs > 0 && state.config.buffered;
  const unheardSinceMs = isHeld ? (state.unheardSinceMs ?? state.nowMs) : null;
  return { ...next, beat: { seq, heldMs }, unheardSinceMs };
}

function onEpochWhole(
  state: BackupState,
  { part, epoch }: EventOf<'epoch-whole'>,
  effects: Effects,
): BackupState {
  if (state.link !== 'open') return state;
  const last = state.parts[part];
  invariant(last !== undefined, `no epoch has a part ${part}`);
  if (epoch !== last + 1) {
    return onCorrupt(state, `epoch ${epoch} came after epoch ${last}`, effects);
  }
  const parts = { ...state.parts, [part]: epoch };
  return { ...heard(state), parts, whole: leastWhole(parts) };
}

function onCorrupt(state: BackupState, reason: string, effects: Effects): BackupState {
  if (state.link === 'closed') return state;
  effects.push({ kind: 'close-link' });
  return onLinkClosed(state, `the stream is broken: ${boundedReason(reason)}`);
}

function onLinkClosed(state: BackupState, reason: string): BackupState {
  if (state.link === 'closed') return state;
  return {
    ...state,
    link: 'closed',
    linkClosedAtMs: state.nowMs,
    linkReason: boundedReason(reason),
    echoWaiting: null,
    unheardSinceMs: null,
  };
}

function onAsk(state: BackupState, event: EventOf<'ask'>, effects: Effects): BackupState {
  const { way, token } = event;
  const next = way === 'link' ? heard(state) : state;
  if (next.record === 'promised') {
    effects.push({ kind: 'answer', way, token, answer: { kind: 'promised' } });
    return next;
  }
  // Once it runs this machine has ended, and whoever is asked then looks whether it is there.
  if (next.record === 'active' || next.goal?.kind === 'activate') {
    effects.push({ kind: 'answer', way, token, answer: { kind: 'activating' } });
    return next;
  }
  const asks = [...next.asks, { way, token, atMs: next.nowMs }].slice(-asksWaitingMax);
  return { ...next, asks };
}

function onCopyFailed(state: BackupState, from: string): BackupState {
  const reason = boundedReason(from);
  switch (state.copy) {
    case 'building': // build-copy has a result of its own, still to come
      return { ...state, copyProblem: reason };
    case 'receiving':
    case 'built':
      // Once the record says active the copy cannot be given up: it is unpaused again and again.
      if (state.record === 'active') return { ...state, copyProblem: reason };
      return { ...state, copy: 'failed', copyProblem: reason };
    case 'starting':
    case 'running':
      return { ...state, copyProblem: reason };
    case 'failed':
    case 'discarding':
    case 'gone':
      return state;
  }
}

/** What the record says after a write. It may be what another process wrote. */
function onRecord(state: BackupState, permission: OwnPermission, effects: Effects): BackupState {
  invariant(state.writing !== null, 'B6 a result without a write');
  if (permission === state.record) {
    return onRecordFailed(state, `the record still says ${permission}`, effects);
  }
  const next: BackupState = {
    ...state,
    record: permission,
    writing: null,
    recordProblem: null,
    nextWriteAtMs: state.nowMs,
  };
  switch (permission) {
    case 'standby':
      return onRecordFailed(state, 'the record says standby again', effects);
    case 'activating':
      return answerFailovers(answerAsks(next, effects), null, effects);
    case 'active': {
      const { goal } = next;
      const done = { kind: 'activate', why: 'the record says active', said: 'nothing' } as const;
      const kept = goal?.kind === 'activate' ? goal : done;
      return answerFailovers({ ...next, goal: kept }, null, effects);
    }
    case 'promised':
      return onPromised(next, effects);
    default:
      return unreachable(permission);
  }
}

/** Those who asked in vain, because they did not hear: asked again they get the record's word. */
function answerAsks(state: BackupState, effects: Effects): BackupState {
  for (const { way, token } of state.asks) {
    effects.push({ kind: 'answer', way, token, answer: { kind: 'activating' } });
  }
  return { ...state, asks: [] };
}

/** The copy will never run: whoever asked hears it at once, the copy is discarded after that. */
function onPromised(state: BackupState, effects: Effects): BackupState {
  for (const { way, token } of state.asks) {
    effects.push({ kind: 'answer', way, token, answer: { kind: 'promised' } });
  }
  if (state.goal?.kind === 'lose') {
    effects.push({ kind: 'send-copy-lost', reason: state.goal.reason });
  }
  const refused = 'the primary has the promise that this copy will not run';
  return answerFailovers({ ...state, asks: [] }, refused, effects);
}

/** Nothing was decided: back to where the wish came from, and again a little later. */
function onRecordFailed(state: BackupState, from: string, effects: Effects): BackupState {
  invariant(state.writing !== null, 'B6 a failure without a write');
  const reason = boundedReason(from);
  const failed: BackupState = {
    ...state,
    writing: null,
    recordProblem: reason,
    nextWriteAtMs: state.nowMs + recordRetryMs,
  };
  if (failed.record !== 'standby' || failed.acked < 0) return failed;
  switch (failed.goal?.kind) {
    case 'activate':
      return answerFailovers({ ...failed, goal: null }, `the record: ${reason}`, effects);
    case 'promise':
      return { ...failed, goal: null };
    default:
      return failed;
  }
}

function onUnpauseFailed(state: BackupState, from: string): BackupState {
  invariant(state.copy === 'starting', 'failed to unpause what was not being unpaused');
  const nextUnpauseAtMs = state.nowMs + unpauseRetryMs;
  return { ...state, copy: 'built', copyProblem: boundedReason(from), nextUnpauseAtMs };
}

/** Something of the copy may be left: nothing may rest on its being gone. */
function onDiscardFailed(state: BackupState, from: string): BackupState {
  invariant(state.copy === 'discarding', 'failed to discard what was not to be');
  const nextDiscardAtMs = state.nowMs + discardRetryMs;
  return { ...state, copy: 'failed', copyProblem: boundedReason(from), nextDiscardAtMs };
}

/**
 * Told to end. A primary that lives asks when it hears of it, and gets its promise as any that
 * asks; of one that is silent nothing is known, and what would have been done is done.
 */
function onLeave(state: BackupState, from: string, effects: Effects): BackupState {
  if (state.leaving !== null) return state;
  const reason = boundedReason(from);
  const isUndecided = state.goal === null && state.acked >= 0;
  if (state.link === 'open' && isUndecided) effects.push({ kind: 'send-leaving', reason });
  return { ...state, leaving: reason };
}

function onFailover(
  state: BackupState,
  { token, vouched }: EventOf<'failover'>,
  effects: Effects,
): BackupState {
  const said = vouched ? 'word' : 'order';
  const refused = failoverRefusal(state, said);
  const isUnderWay = state.record === 'activating' || state.record === 'active';
  if (refused !== null || isUnderWay) {
    effects.push({ kind: 'failover-answer', token, refused });
    return state;
  }
  return { ...state, failovers: [...state.failovers, { token, said }] };
}

/** Why the copy must not be activated on what the administrator said; null: it may be. */
export function failoverRefusal(state: BackupState, said: Said): string | null {
  const { heartbeatTimeoutMs, buffered, withoutWitness } = state.config;
  if (state.failovers.length >= failoversWaitingMax) return 'others are waiting for the same';
  if (state.record === 'active' || state.goal?.kind === 'activate') return null;
  if (state.record === 'promised') return 'the primary has the promise that this copy will not run';
  if (state.goal !== null) return 'this copy is being given up';
  if (state.acked < 0) return 'the seed is not complete: there is nothing whole to activate';
  if (state.copyProblem !== null) return `the copy is lost: ${state.copyProblem}`;
  if (state.asks.length > 0) return 'the primary is asking for the promise: it is alive';
  const heardMs = state.nowMs - state.heardAtMs;
  if (state.link === 'open' && heardMs < heartbeatTimeoutMs && !isMute(state)) {
    return `the primary was heard ${Math.round(heardMs)} ms ago`;
  }
  // Without a buffer the primary's guest may run until its lease, renewed by the last echo, ends.
  if (!buffered && silenceMs(state) < heartbeatTimeoutMs) {
    return `the primary's guest may still run; try again in ${heartbeatTimeoutMs} ms`;
  }
  if (mayActivate(withoutWitness, said)) return null;
  return 'the primary goes on by itself, as was agreed: it takes your word that it is dead';
}

/**
 * The primary is heard, and held for want of being heard itself: it lets nothing out, unless it was
 * agreed that it goes on.
 */
function isMute(state: BackupState): boolean {
  const { heartbeatTimeoutMs, holdMs, withoutWitness } = state.config;
  if (mayOpenUnanswered(withoutWitness, 'nothing')) return false;
  return unheardMs(state) >= heartbeatTimeoutMs + holdMs;
}

function answerFailovers(
  state: BackupState,
  refused: string | null,
  effects: Effects,
): BackupState {
  if (state.failovers.length === 0) return state;
  for (const { token } of state.failovers)
    effects.push({ kind: 'failover-answer', token, refused });
  return { ...state, failovers: [] };
}
