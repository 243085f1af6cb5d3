/**
 * What the primary does when it is due, whichever event made it so: heartbeat, pause, release,
 * checkpoint, ask. Every part looks at the whole state. Only while the outcome is open (P3).
 */
import { freshAskMs, heartbeatsRememberedMax } from '../limits.ts';
import { noOutput } from '../scheduler.ts';
import { heartbeatEveryMs } from '../vocabulary.ts';
import {
  backupMayActivate,
  checkpointAtMs,
  heldMs,
  isEnding,
  isLeaseFresh,
  isSuspendInFlight,
  type PrimaryState,
  wantsPromise,
} from './state.ts';
import type { PrimaryEffect } from './types.ts';

type Effects = PrimaryEffect[];

/** Does what is due. */
export function pump(state: PrimaryState, effects: Effects): PrimaryState {
  let next = pumpHeartbeat(state, effects);
  next = pumpPause(next, effects);
  next = pumpAbort(next, effects);
  next = pumpRelease(next, effects);
  next = pumpCheckpoint(next, effects);
  return pumpAsk(next, effects);
}

function pumpHeartbeat(state: PrimaryState, effects: Effects): PrimaryState {
  if (state.link !== 'open' || state.nowMs < state.nextBeatAtMs) return state;
  const seq = state.nextSeq;
  effects.push({ kind: 'send-heartbeat', seq, heldMs: heldMs(state) });
  const beats = [...state.beats, { seq, sentAtMs: state.nowMs }].slice(-heartbeatsRememberedMax);
  const nextBeatAtMs = state.nowMs + heartbeatEveryMs(state.config);
  return { ...state, beats, nextSeq: seq + 1, nextBeatAtMs };
}

/**
 * Without a buffer a pause stands in for it (best effort; DESIGN.md, "Who may go on"). With one the
 * guest is mute as it is, and paused once it is known to be the loser: it must not work on beside
 * the copy. A suspend ends first.
 */
export function pumpPause(state: PrimaryState, effects: Effects): PrimaryState {
  const mustPause =
    state.guest === 'here' &&
    backupMayActivate(state) &&
    (state.activeSeen || (!state.config.buffered && !isLeaseFresh(state)));
  if (mustPause === state.paused || state.destroying) return state;
  if (mustPause && state.config.buffered && isSuspendInFlight(state)) return state;
  if (mustPause) {
    const reason = state.activeSeen ? 'the copy took over' : 'the backup does not answer';
    effects.push({ kind: 'pause-guest', reason });
  } else {
    effects.push({ kind: 'unpause-guest' });
  }
  return { ...state, paused: mustPause };
}

/** A guest that lost is not checkpointed any more; what is left of the operation is ended. */
function pumpAbort(state: PrimaryState, effects: Effects): PrimaryState {
  if (!state.activeSeen || !state.saving || state.abortedAtMs !== null) return state;
  effects.push({ kind: 'abort-save' });
  return { ...state, abortedAtMs: state.nowMs };
}

/** An ack that came under a stale lease waits in `acked` until the lease is fresh again (P6). */
function pumpRelease(state: PrimaryState, effects: Effects): PrimaryState {
  if (state.acked === state.released || !isLeaseFresh(state) || state.activeSeen) return state;
  effects.push({ kind: 'release', epoch: state.acked });
  // What was known to wait goes out now; whether there is more, the next look tells.
  return { ...state, released: state.acked, output: noOutput };
}

function pumpCheckpoint(state: PrimaryState, effects: Effects): PrimaryState {
  if (state.phase !== 'protected' || state.paused || !isLeaseFresh(state)) return state; // P7
  const atMs = checkpointAtMs(state);
  if (atMs === null || state.nowMs < atMs) return state;
  const epoch = state.requested + 1;
  effects.push({ kind: 'take-checkpoint', epoch });
  return { ...state, requested: epoch, diskFilling: false };
}

function pumpAsk(state: PrimaryState, effects: Effects): PrimaryState {
  if (state.destroying) return state;
  if (!wantsPromise(state)) {
    // The link came back before a silence was decided: go on as if nothing had been.
    if (state.ask === null && state.askNews === null) return state;
    return { ...state, ask: null, askNews: null };
  }
  if (state.ask !== null) {
    const waitMs = state.ask.way === 'fresh' ? freshAskMs : state.config.heartbeatTimeoutMs;
    if (state.nowMs - state.ask.atMs < waitMs) return state;
  } else if (state.nowMs < state.nextAskAtMs) {
    return state;
  }
  const id = state.lastAskId + 1;
  const way = askWay(state);
  effects.push({ kind: 'ask-promise', id, way });
  return { ...state, ask: { id, way, atMs: state.nowMs }, lastAskId: id, lastAskWay: way };
}

/**
 * Over the link while it answers; over a fresh connection when not, and in turn when unsure: the
 * heartbeats may come by datagrams while the link's byte stream is stuck.
 */
function askWay(state: PrimaryState): 'link' | 'fresh' {
  if (state.link !== 'open' || !isEnding(state)) return 'fresh';
  if (state.ask?.way === 'link') return 'fresh'; // it got no answer
  if (isLeaseFresh(state)) return 'link';
  return state.lastAskWay === 'link' ? 'fresh' : 'link';
}
