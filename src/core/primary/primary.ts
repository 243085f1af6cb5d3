/**
 * The primary of a protection session, as a pure state machine: (state, event) -> (state,
 * effects). The invariants stand in state.ts.
 *
 * Every event is handled in two parts: what the event itself says (`on...`), and then
 * what is due by the whole state (pump.ts). So it does not matter which event made
 * something due.
 */
import { invariant, unreachable } from '../invariant.ts';
import { boundedReason, scheduleProblem } from '../limits.ts';
import { isActive, isPresent, isTakenOver, mayVouch, newsOf } from '../permission/evidence.ts';
import { nextPace, type Schedule } from '../scheduler.ts';
import { neverRan } from '../texts/advice.ts';
import { formatMs } from '../units.ts';
import { type Answer, heartbeatEveryMs } from '../vocabulary.ts';
import { pump, pumpPause } from './pump.ts';
import {
  backupMayActivate,
  badAck,
  checkPrimary,
  isAlone,
  isLeaseFresh,
  isSaveOver,
  isSilent,
  isStuck,
  type OpenPermission,
  outcomeOnPromise,
  type PrimaryState,
  phaseOf,
} from './state.ts';
import type { PrimaryEffect, PrimaryEvent, PrimaryOutcome } from './types.ts';

export { initialPrimary, type PrimaryState, primaryWakeAtMs } from './state.ts';

export interface PrimaryStep {
  readonly state: PrimaryState;
  /** To be carried out in this order. */
  readonly effects: readonly PrimaryEffect[];
}

type Effects = PrimaryEffect[];
type EventOf<K extends PrimaryEvent['kind']> = Extract<PrimaryEvent, { readonly kind: K }>;

/** One event. After `ended` nothing has an effect any more. */
export function stepPrimary(before: PrimaryState, event: PrimaryEvent): PrimaryStep {
  if (before.phase === 'ended') return { state: before, effects: [] }; // P3
  const effects: Effects = [];
  // Events come from several threads: one may carry a time slightly before the last one's.
  const nowMs = Math.max(before.nowMs, event.nowMs);
  let state: PrimaryState = { ...before, nowMs, aloneFromMs: aloneFrom(before, nowMs) };
  state = onEvent(state, event, effects);
  state = { ...state, phase: phaseOf(state) };
  if (state.outcome === null) state = pump(state, effects);
  state = { ...state, phase: phaseOf(state) };
  checkPrimary(before, state, effects);
  return { state, effects };
}

/**
 * An event is never further away than a heartbeat (primaryWakeAtMs). What is much longer was a
 * stall of this process or host, and no silence of the backup's.
 */
function aloneFrom(before: PrimaryState, nowMs: number): number {
  const stalledMs = nowMs - before.nowMs - 2 * heartbeatEveryMs(before.config);
  return stalledMs <= 0 ? before.aloneFromMs : Math.min(nowMs, before.aloneFromMs + stalledMs);
}

function onEvent(state: PrimaryState, event: PrimaryEvent, effects: Effects): PrimaryState {
  switch (event.kind) {
    case 'tick':
      return onTick(state, effects);
    case 'link-open':
      return onLinkOpen(state);
    case 'link-closed':
      return onLinkClosed(state, event.reason, effects);
    case 'echo':
      return onEcho(state, event.seq);
    case 'checkpoint':
    case 'drained':
    case 'sent':
      // While the hypervisor's operation is being ended its stream has no meaning any more.
      return state.outcome === null ? onEpoch(state, event) : state;
    case 'ack':
      return onAck(state, event.epoch, effects);
    case 'progress':
      return { ...state, progressAtMs: state.nowMs };
    case 'output': {
      const { packets, bytes, nearLimit } = event;
      return { ...state, output: { packets, bytes, nearLimit } };
    }
    case 'output-lost':
      return onOutputLost(state, event.reason);
    case 'set-schedule':
      return onSetSchedule(state, event.schedule);
    case 'copy-lost':
      return onCopyLost(state, event.reason, effects);
    case 'backup-leaving':
      return onBackupLeaving(state, event.reason, effects);
    case 'answer':
      return onAnswer(state, event, effects);
    case 'activated':
      return onActivated(state);
    case 'ask-failed':
      return onAskFailed(state, event, effects);
    case 'stop':
      return onStop(state, event, effects);
    case 'save-failed':
      return onSaveFailed(state, event.reason, effects);
    case 'disk-lost':
      return onDiskLost(state, event.reason, effects);
    case 'disk-filling':
      return { ...state, diskFilling: true };
    case 'guest-ended':
      return onGuestEnded(state, event.reason, effects);
    case 'save-ended':
      return onSaveEnded(state, effects);
    case 'destroyed':
      return onDestroyed(state, effects);
    case 'destroy-failed':
      return onDestroyFailed(state, event.reason);
    default:
      return unreachable(event);
  }
}

function onTick(state: PrimaryState, effects: Effects): PrimaryState {
  // In the seed the guest runs freely and nothing was promised to anybody: give up.
  if (state.outcome === null && isSilent(state) && !backupMayActivate(state)) {
    const silenceMs = state.nowMs - state.heardAtMs;
    return neverProtected(state, `the backup was silent for ${Math.round(silenceMs)} ms`, effects);
  }
  if (state.outcome === null && state.lost === null && isStuck(state)) {
    const stuckMs = Math.round(state.nowMs - state.progressAtMs);
    const waiting = `epoch ${state.acked + 1} made no progress for ${stuckMs} ms`;
    const reason = `the backup hangs: ${waiting}, although its heartbeats come`;
    if (!backupMayActivate(state)) return neverProtected(state, reason, effects);
    return { ...state, lost: reason, nextAskAtMs: state.nowMs };
  }
  return state.outcome === null && isAlone(state) ? goOnAlone(state, effects) : state;
}

function onLinkOpen(state: PrimaryState): PrimaryState {
  if (state.link !== 'connecting') return state;
  const { nowMs } = state;
  // HELLO was answered just now: a lease like any other. The backup counts from later.
  const leaseFromMs = nowMs;
  return {
    ...state,
    link: 'open',
    saving: true,
    ...heard(state),
    nextBeatAtMs: nowMs,
    leaseFromMs,
  };
}

function onLinkClosed(state: PrimaryState, from: string, effects: Effects): PrimaryState {
  if (state.link === 'closed') return state;
  const reason = `the link ended: ${boundedReason(from)}`;
  const closed: PrimaryState = { ...state, link: 'closed' };
  if (state.outcome !== null) return closed;
  if (!backupMayActivate(state)) return neverProtected(closed, reason, effects);
  // What was asked over the link will not be answered; a fresh connection may still be.
  const ask = state.ask?.way === 'link' ? null : state.ask;
  return { ...closed, lost: state.lost ?? reason, ask, nextAskAtMs: state.nowMs };
}

/** An epoch's way through this host. The order is the shell's duty, so a wrong one is a bug. */
function onEpoch(
  state: PrimaryState,
  event: EventOf<'checkpoint' | 'drained' | 'sent'>,
): PrimaryState {
  const { epoch } = event;
  switch (event.kind) {
    case 'checkpoint':
      invariant(epoch === state.suspended + 1, 'a checkpoint out of order');
      invariant(epoch === state.requested, 'a checkpoint that nobody asked for');
      return { ...state, suspended: epoch };
    case 'drained':
      invariant(epoch === state.suspended, 'drained an epoch without its barrier');
      invariant(epoch === state.drained + 1, 'drained an epoch twice');
      return { ...state, drained: epoch, drainedAtMs: state.nowMs, ...drainedPace(state, event) };
    case 'sent':
      invariant(epoch === state.sent + 1, 'sent an epoch out of order');
      return { ...state, sent: epoch };
  }
}

/** The seed says nothing about the epochs to come: its pages are the whole guest. */
function drainedPace(
  state: PrimaryState,
  { epoch, pauseMs, pages }: EventOf<'drained'>,
): Pick<PrimaryState, 'pace' | 'progressAtMs'> {
  invariant(pauseMs >= 0 && pages >= 0, 'an epoch is measured');
  const { nowMs, drainedAtMs, drained, acked } = state;
  const progressAtMs = drained === acked ? nowMs : state.progressAtMs;
  if (epoch === 0) return { pace: state.pace, progressAtMs };
  const ranMs = nowMs - drainedAtMs - pauseMs;
  return { pace: nextPace(state.pace, ranMs, pauseMs, pages), progressAtMs };
}

/**
 * The epoch under way is not known for sure: of a checkpoint that was asked for, the barrier may be
 * set and not said yet. So the one after it counts: late, never early.
 */
function onOutputLost(state: PrimaryState, reason: string): PrimaryState {
  if (state.outcome !== null || !state.config.buffered) return state;
  return { ...state, unheld: { reason: boundedReason(reason), epoch: state.requested + 1 } };
}

function onSetSchedule(state: PrimaryState, schedule: Schedule): PrimaryState {
  const problem = scheduleProblem(schedule);
  invariant(problem === null, problem ?? '');
  return { ...state, schedule };
}

function onEcho(state: PrimaryState, seq: number): PrimaryState {
  if (state.link !== 'open') return state;
  const echoed = state.beats.find((beat) => beat.seq === seq);
  // Older than all that is remembered, or never sent: no proof of anything recent.
  if (echoed === undefined) return state;
  // A silence (the peer's, or this host stood still) is not counted for what is under way; nor does
  // it begin again: where datagrams are lost, a backup that hangs would never be given up.
  const silentMs = isLeaseFresh(state) ? 0 : state.nowMs - state.heardAtMs;
  const progressAtMs = Math.min(state.nowMs, state.progressAtMs + silentMs);
  return {
    ...state,
    progressAtMs,
    beats: state.beats.filter((beat) => beat.seq > seq),
    leaseFromMs: Math.max(state.leaseFromMs ?? echoed.sentAtMs, echoed.sentAtMs),
    ...heard(state),
  };
}

/** A backup that was found to hang is given up: that it answers heartbeats counts no more. */
function heard({ nowMs, lost, aloneFromMs }: PrimaryState) {
  return { heardAtMs: nowMs, aloneFromMs: lost === null ? nowMs : aloneFromMs };
}

function onAck(state: PrimaryState, epoch: number, effects: Effects): PrimaryState {
  if (state.link !== 'open' || state.outcome !== null || epoch <= state.acked) return state;
  if (epoch !== state.acked + 1 || epoch > state.drained) {
    // The peer is broken. Nothing that it says about epochs counts any more, the record does.
    if (!backupMayActivate(state)) {
      return neverProtected(state, badAck(state, epoch), effects);
    }
    effects.push({ kind: 'close-link' });
    return { ...state, link: 'closed', lost: badAck(state, epoch), nextAskAtMs: state.nowMs };
  }
  const { nowMs } = state;
  const unheld = state.unheld !== null && state.unheld.epoch <= epoch ? null : state.unheld;
  const acked = { acked: epoch, committedAtMs: nowMs, progressAtMs: nowMs, unheld };
  return { ...state, ...acked, ...heard(state) };
}

function onCopyLost(state: PrimaryState, from: string, effects: Effects): PrimaryState {
  if (state.outcome !== null || state.activeSeen) return state;
  const reason = `the copy was lost: ${boundedReason(from)}`;
  if (!backupMayActivate(state)) return neverProtected(state, reason, effects);
  return goOn({ ...state, lost: state.lost ?? reason }, 'promised', effects);
}

/** Protection ends; the copy over there goes once the promise was asked for. */
function onBackupLeaving(state: PrimaryState, from: string, effects: Effects): PrimaryState {
  if (state.outcome !== null || state.activeSeen) return state;
  const reason = `the backup leaves: ${boundedReason(from)}`;
  if (!backupMayActivate(state)) return neverProtected(state, reason, effects);
  return { ...state, lost: state.lost ?? reason, nextAskAtMs: state.nowMs };
}

/** Nothing counts any more, and the backup is asked over the link that is there. */
function onDiskLost(state: PrimaryState, from: string, effects: Effects): PrimaryState {
  if (state.outcome !== null || state.activeSeen) return state;
  const reason = `a disk was lost: ${boundedReason(from)}`;
  if (!backupMayActivate(state)) {
    askOnLeaving(state, effects);
    return neverProtected(state, reason, effects);
  }
  return { ...state, lost: state.lost ?? reason, nextAskAtMs: state.nowMs };
}

/** `promised` is final whatever ask it answers; the rest counts for the ask that is under way. */
function onAnswer(from: PrimaryState, event: EventOf<'answer'>, effects: Effects): PrimaryState {
  if (from.outcome !== null || from.destroying) return from;
  const { answer, id } = event;
  const decidingSeen = from.decidingSeen || answer.kind === 'activating'; // however late (P11)
  const before: PrimaryState = { ...from, decidingSeen };
  const asked = before.ask?.id === id ? before.ask : null;
  if (answer.kind === 'promised') {
    // After a takeover it means that the guest is lost there, which was false when it ran.
    return before.activeSeen && asked === null ? before : goOn(before, 'promised', effects);
  }
  // An older one is dropped and asked for again; what it says of the record stays true.
  if (asked === null) return isActive(answer) ? onActivated(before) : before;
  const vouched = isVouchedFor(before, id) && mayVouch(answer) && !isLeaseFresh(before);
  if (vouched) return goOnVouched(before, effects);
  const state = answered(before, answer, effects);
  if (!isTakenOver(answer)) return state;
  return destroy({ ...state, evidenceAtMs: event.askedAtMs ?? asked.atMs }, effects);
}

/** On present evidence, once no suspend is in flight (P9); else what is evidence is asked again. */
function destroy(state: PrimaryState, effects: Effects): PrimaryState {
  const { evidenceAtMs, nowMs, config } = state;
  if (!isSaveOver(state)) return state; // -> save-ended, or the next answer
  if (evidenceAtMs === null || !isPresent(evidenceAtMs, nowMs, config.heartbeatTimeoutMs)) {
    return askNow({ ...state, evidenceAtMs: null });
  }
  // What a suspend has kept from being paused runs again, and is not destroyed in no time.
  const paused = pumpPause(state, effects);
  effects.push({ kind: 'destroy-guest', askedAtMs: evidenceAtMs });
  return { ...paused, ask: null, evidenceAtMs: null, destroying: true };
}

/** Unasked, or too late to be an answer: the guest is the older one, and whose it is is asked. */
function onActivated(state: PrimaryState): PrimaryState {
  if (state.outcome !== null || state.activeSeen) return state;
  return askNow({ ...state, activeSeen: true });
}

function askNow(state: PrimaryState): PrimaryState {
  return { ...state, nextAskAtMs: state.nowMs };
}

function answered(before: PrimaryState, answer: Answer, effects: Effects): PrimaryState {
  const news = newsOf(answer);
  const state = refuseForce(before, news ?? 'the copy took over', answer.kind, effects);
  return {
    ...state,
    ask: null,
    found: answer.kind,
    activeSeen: state.activeSeen || isActive(answer),
    nextAskAtMs: state.nowMs + state.config.askEveryMs,
    askNews: news ?? 'the copy took over there',
  };
}

function onAskFailed(
  before: PrimaryState,
  event: EventOf<'ask-failed'>,
  effects: Effects,
): PrimaryState {
  if (before.ask?.id !== event.id) return before;
  const askNews = `the backup could not be asked: ${boundedReason(event.reason)}`;
  const isVouched = isVouchedFor(before, event.id);
  if (isVouched && !isLeaseFresh(before)) return goOnVouched(before, effects);
  const state = isVouched ? refuseForce(before, 'the backup was heard', null, effects) : before;
  const nextAskAtMs = state.nowMs + state.config.askEveryMs;
  return { ...state, ask: null, found: null, nextAskAtMs, askNews };
}

/** The ask began after the person had vouched, over a connection of its own. */
function isVouchedFor({ vouchedAfterAsk }: PrimaryState, id: number): boolean {
  return vouchedAfterAsk !== null && id > vouchedAfterAsk;
}

function goOnVouched(state: PrimaryState, effects: Effects): PrimaryState {
  const reason = `the administrator vouched that ${neverRan()}`;
  return leave(state, 'forced', { kind: 'unprotected', reason }, effects);
}

function refuseForce(
  state: PrimaryState,
  reason: string,
  found: Answer['kind'] | null,
  effects: Effects,
): PrimaryState {
  if (state.vouchedAfterAsk === null) return state;
  effects.push({ kind: 'refuse-force', reason, found });
  return { ...state, vouchedAfterAsk: null };
}

function onStop(state: PrimaryState, event: EventOf<'stop'>, effects: Effects): PrimaryState {
  if (state.outcome !== null || state.destroying) return state;
  const stopped: PrimaryState = {
    ...state,
    stopBy: event.by,
    // Without an ask under way the next one goes out now.
    nextAskAtMs: state.nowMs,
  };
  if (!backupMayActivate(state)) {
    askOnLeaving(stopped, effects);
    return leave(stopped, 'never-whole', { kind: 'stopped', by: event.by }, effects);
  }
  // Who answers is not dead: then the order to go on without asking is an ordinary stop.
  if (!event.force || isLeaseFresh(state)) return stopped;
  // What was asked before the word was given says nothing about now.
  return { ...stopped, ask: null, vouchedAfterAsk: state.lastAskId };
}

function onSaveFailed(state: PrimaryState, from: string, effects: Effects): PrimaryState {
  const ended: PrimaryState = { ...state, saving: false };
  if (state.outcome !== null) return finish(ended, effects);
  const reason = `the checkpoints ended: ${boundedReason(from)}`;
  if (!backupMayActivate(state)) {
    askOnLeaving(ended, effects);
    return neverProtected(ended, reason, effects);
  }
  return { ...ended, lost: state.lost ?? reason, nextAskAtMs: state.nowMs };
}

function onGuestEnded(state: PrimaryState, reason: string, effects: Effects): PrimaryState {
  // There is nothing left to unpause.
  const gone: PrimaryState = { ...state, guest: 'ended', paused: false };
  if (state.outcome !== null || state.destroying) return gone;
  const ended: PrimaryState = {
    ...gone,
    guestEnded: state.guestEnded ?? boundedReason(reason),
    nextAskAtMs: state.nowMs,
  };
  if (backupMayActivate(state)) return ended;
  askOnLeaving(ended, effects);
  return leave(ended, 'never-whole', outcomeOnPromise(ended), effects);
}

function onSaveEnded(state: PrimaryState, effects: Effects): PrimaryState {
  const ended: PrimaryState = { ...state, saving: false };
  if (state.outcome !== null) return finish(ended, effects);
  if (state.abortedAtMs !== null) return destroy(ended, effects);
  return onSaveFailed(state, 'Xen ended its operation', effects);
}

function onDestroyed(state: PrimaryState, effects: Effects): PrimaryState {
  invariant(state.destroying && state.outcome === null, 'P9 destroyed what was not to be');
  return finish({ ...state, outcome: { kind: 'taken-over' }, decidedAtMs: state.nowMs }, effects);
}

function onDestroyFailed(state: PrimaryState, from: string): PrimaryState {
  invariant(state.destroying && state.outcome === null, 'P9 failed to destroy');
  const askNews = `the copy took over there, and the guest is still here: ${boundedReason(from)}`;
  const nextAskAtMs = state.nowMs + state.config.askEveryMs;
  return { ...state, destroying: false, askNews, nextAskAtMs };
}

function neverProtected(state: PrimaryState, reason: string, effects: Effects): PrimaryState {
  return leave(state, 'never-whole', { kind: 'never-protected', reason }, effects);
}

function goOn(state: PrimaryState, permission: OpenPermission, effects: Effects): PrimaryState {
  return leave(state, permission, outcomeOnPromise(state), effects);
}

/**
 * The promise was given in advance. Where the link is only deaf the backup hears that it is taken,
 * and may remove its copy.
 */
function goOnAlone(state: PrimaryState, effects: Effects): PrimaryState {
  askOnLeaving(state, effects);
  const why = state.lost ?? `the backup was silent for ${formatMs(state.nowMs - state.heardAtMs)}`;
  const outcome: PrimaryOutcome =
    state.guestEnded === null
      ? { kind: 'unprotected', reason: `${why}; it goes on without it, as was agreed` }
      : { kind: 'guest-ended', reason: state.guestEnded };
  return leave(state, 'in-advance', outcome, effects);
}

/**
 * In the seed nobody waits for the answer; the ask goes out so that the backup removes its
 * copy, and its record says why. It stands in the stream before the goodbye.
 */
function askOnLeaving(state: PrimaryState, effects: Effects): void {
  if (state.link !== 'open') return;
  effects.push({ kind: 'ask-promise', id: state.lastAskId + 1, way: 'link' });
}

/** The guest goes on here (or has ended): all out, the hypervisor's operation ends, then `end`. */
function leave(
  state: PrimaryState,
  opened: OpenPermission,
  outcome: PrimaryOutcome,
  effects: Effects,
): PrimaryState {
  effects.push({ kind: 'open-buffer' });
  if (state.saving && state.abortedAtMs === null) effects.push({ kind: 'abort-save' });
  // Before save-ended: a paused guest could not finish a suspend that it is in.
  if (state.paused) effects.push({ kind: 'unpause-guest' });
  const left: PrimaryState = {
    ...state,
    opened,
    outcome,
    paused: false,
    ask: null,
    decidedAtMs: state.nowMs,
  };
  return state.saving ? left : finish(left, effects);
}

function finish(state: PrimaryState, effects: Effects): PrimaryState {
  const { outcome } = state;
  invariant(outcome !== null, 'P8 finish without an outcome');
  if (state.link !== 'closed') effects.push({ kind: 'close-link' });
  effects.push({ kind: 'end', outcome });
  return { ...state, phase: 'ended', link: 'closed', destroying: false };
}
