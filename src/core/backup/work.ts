/**
 * What the backup does next: decide, if nothing is decided; then the next step towards it.
 *
 *     standby --write--> activating: build --built--> write active --> unpause --> running, end
 *     standby --write--> promised: answer --> discard --> end
 *     activating, build failed: discard --> write promised --> answer --> end
 */

import { invariant, unreachable } from '../invariant.ts';
import { mayActivate } from '../permission/tie.ts';
import { type BackupGoal, type BackupState, hears, silenceMs, unheardMs } from './state.ts';
import type { BackupEffect, BackupOutcome, OwnPermission } from './types.ts';

type Effects = BackupEffect[];

/** One round; called after every event. */
export function work(state: BackupState, isTick: boolean, effects: Effects): BackupState {
  if (state.link === 'connecting') return state;
  const next = state.goal === null ? choose(state, isTick) : state;
  if (next.goal === null) return flow(next, effects);
  return next.goal.kind === 'activate' ? activate(next, effects) : giveUp(next, effects);
}

/** Sets the goal when something decides; the order is the order of precedence. */
function choose(state: BackupState, isTick: boolean): BackupState {
  const { nowMs, config } = state;
  if (state.copyProblem !== null) {
    return { ...state, goal: { kind: 'lose', reason: state.copyProblem } };
  }
  if (state.acked < 0) return chooseInSeed(state, isTick);
  if (nowMs < state.nextWriteAtMs) return state;
  // Who asks is alive: its promise comes before any activation, if it can be heard (B9).
  if (state.asks.some((ask) => hears(state, ask))) return { ...state, goal: { kind: 'promise' } };
  const [order] = state.failovers;
  if (order !== undefined) return { ...state, goal: { ...ordered, said: order.said } };
  if (!isTick || !mayActivate(config.withoutWitness, 'nothing')) return state;
  const why = whyActivate(state, config.holdMs);
  return why === null ? state : { ...state, goal: { kind: 'activate', why, said: 'nothing' } };
}

const ordered = { kind: 'activate', why: 'the administrator ordered it' } as const;

/** Why the copy goes on by itself, as was agreed; null: there is no reason. */
function whyActivate(state: BackupState, holdMs: number): string | null {
  if (state.link === 'open') {
    const { heartbeatTimeoutMs } = state.config;
    const silentMs = Math.round(silenceMs(state));
    if (silentMs >= heartbeatTimeoutMs) return `silence of ${silentMs} ms`;
    // A held primary lets nothing out: its being heard keeps nobody from going on.
    const heldMs = Math.round(unheardMs(state));
    if (heldMs < heartbeatTimeoutMs + holdMs) return null;
    return `the primary has heard nothing from here for ${heldMs} ms and is held`;
  }
  // Without a buffer the end of the link proves nothing: the primary's guest may be running.
  if (!state.config.buffered || state.nowMs < state.linkClosedAtMs + holdMs) return null;
  return `the link ended (${state.linkReason}) and nobody asked for ${holdMs} ms`;
}

/** Nothing whole is here: there is nothing that could be activated, only things to clean up. */
function chooseInSeed(state: BackupState, isTick: boolean): BackupState {
  const { heartbeatTimeoutMs, holdMs } = state.config;
  if (state.link === 'closed') {
    return { ...state, goal: { kind: 'never-whole', reason: state.linkReason ?? 'link closed' } };
  }
  if (state.asks.length > 0) return { ...state, goal: { kind: 'promise' } };
  if (state.leaving !== null) {
    return { ...state, goal: { kind: 'never-whole', reason: state.leaving } };
  }
  const silentMs = Math.round(state.nowMs - state.heardAtMs);
  if (!isTick || silentMs < heartbeatTimeoutMs + holdMs) return state;
  return { ...state, goal: { kind: 'never-whole', reason: `silence of ${silentMs} ms` } };
}

/** Nothing is decided: acknowledge and commit what is whole, echo what was heard (B2). */
function flow(state: BackupState, effects: Effects): BackupState {
  if (state.acked === state.whole && state.echoWaiting === null) return state;
  for (let epoch = state.acked + 1; epoch <= state.whole; epoch += 1) {
    effects.push({ kind: 'send-ack', epoch });
    if (epoch > 0) effects.push({ kind: 'commit', epoch });
  }
  const flown: BackupState = { ...state, acked: state.whole };
  if (state.echoWaiting === null || state.link !== 'open') return flown;
  effects.push({ kind: 'send-echo', seq: state.echoWaiting });
  return { ...flown, echoWaiting: null, echoedAtMs: state.nowMs };
}

function activate(state: BackupState, effects: Effects): BackupState {
  if (state.writing !== null) return state;
  switch (state.record) {
    case 'standby':
      return write(state, 'activating', effects);
    case 'activating':
      if (state.copy === 'failed') {
        const reason = state.copyProblem ?? 'the copy could not be built';
        return giveUp({ ...state, goal: { kind: 'lose', reason } }, effects);
      }
      if (state.copy === 'built') return write(state, 'active', effects);
      if (state.copy !== 'receiving') return state;
      effects.push({ kind: 'build-copy', epoch: state.acked });
      return { ...state, copy: 'building' };
    case 'active':
      if (state.copy === 'running') return finishActivated(state, effects);
      if (state.copy !== 'built' || state.nowMs < state.nextUnpauseAtMs) return state;
      effects.push({ kind: 'unpause-copy' });
      return { ...state, copy: 'starting' };
    case 'promised':
      // Another process gave the promise: this one follows.
      return giveUp({ ...state, goal: { kind: 'promise' } }, effects);
    default:
      return unreachable(state.record);
  }
}

/** Goals `promise`, `lose` and `never-whole`. */
function giveUp(state: BackupState, effects: Effects): BackupState {
  if (state.writing !== null) return state;
  switch (state.record) {
    case 'standby': {
      // Nothing was whole and nothing will be: the copy need not wait for a record that fails.
      const isOver = state.link === 'closed' || state.goal?.kind === 'never-whole';
      const isHopeless = isOver && state.acked < 0;
      if (isHopeless && state.recordProblem !== null) return discard(state, effects);
      return write(state, 'promised', effects);
    }
    case 'activating':
      // Destroyed before the promise: `activating` proves that the copy never ran (B5).
      return state.copy === 'gone' ? write(state, 'promised', effects) : discard(state, effects);
    case 'promised':
      return discard(state, effects);
    case 'active':
      return state; // unreachable: `active` sets the goal back
    default:
      return unreachable(state.record);
  }
}

function write(
  state: BackupState,
  to: Exclude<OwnPermission, 'standby'>,
  effects: Effects,
): BackupState {
  if (state.nowMs < state.nextWriteAtMs) return state;
  const { record: from, acked: epoch, goal } = state;
  const why = describeGoal(goal);
  const said = goal?.kind === 'activate' ? goal.said : 'nothing';
  effects.push({ kind: 'write-record', from, to, epoch, why, said });
  return { ...state, writing: to };
}

function describeGoal(goal: BackupGoal | null): string {
  invariant(goal !== null, 'writes without a goal');
  switch (goal.kind) {
    case 'activate':
      return goal.why;
    case 'promise':
      return 'the primary asked for it';
    case 'lose':
      return `the copy is lost: ${goal.reason}`;
    case 'never-whole':
      return `the seed never completed: ${goal.reason}`;
    default:
      return unreachable(goal);
  }
}

/** Discards the copy, then ends. With a record that says activating, `giveUp` goes on. */
function discard(state: BackupState, effects: Effects): BackupState {
  if (state.copy === 'discarding') return state;
  if (state.copy === 'gone') return finish(state, outcomeOf(state), effects);
  if (state.nowMs < state.nextDiscardAtMs) return state;
  effects.push({ kind: 'discard-copy' });
  return { ...state, copy: 'discarding' };
}

function outcomeOf(state: BackupState): BackupOutcome {
  const { goal } = state;
  if (goal?.kind === 'lose') return { kind: 'copy-lost', reason: goal.reason };
  if (goal?.kind === 'never-whole') return { kind: 'never-whole', reason: goal.reason };
  if (state.record === 'promised') return { kind: 'promised' };
  return { kind: 'never-whole', reason: state.linkReason ?? 'the seed never completed' };
}

function finishActivated(state: BackupState, effects: Effects): BackupState {
  const why = describeGoal(state.goal);
  effects.push({ kind: 'note-running' }, { kind: 'send-activated' });
  return finish(state, { kind: 'activated', epoch: state.acked, why }, effects);
}

function finish(state: BackupState, outcome: BackupOutcome, effects: Effects): BackupState {
  if (state.link === 'open') effects.push({ kind: 'close-link' });
  effects.push({ kind: 'end', outcome });
  return { ...state, outcome, link: 'closed' };
}
