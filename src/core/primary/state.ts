/**
 * The primary's state, what can be read from it, and its invariants.
 *
 * Invariants (asserted in `checkPrimary` at every transition; the simulator has its own ledger):
 *   P1  released <= acked <= drained <= suspended <= requested <= drained + 1
 *   P2  requested - acked <= pendingMax once the seed is acknowledged
 *   P3  after an outcome was decided nothing is released, asked or checkpointed
 *   P4  the guest is paused only when the backup could activate, with a buffer only once the copy
 *       is known to have taken over and no suspend is in flight; from then on it stays paused, and
 *       is not unpaused before a permission
 *   P5  the buffer is opened once, and only with a permission
 *   P6  output is released under a fresh lease, and never after the backup said that it took over
 *   P7  a checkpoint begins only while protected, with a fresh lease and an unpaused guest
 *   P8  `end` is emitted once, last, and always with the outcome that was decided
 *   P9  a guest is destroyed only on present evidence (E1), once no suspend of it is in flight and
 *       it stands still, and is called taken over only when that is done
 *   P10 a person's word opens the buffer only after a question asked since found nobody (E2)
 *   P11 unanswered, the primary goes on by itself only where that was agreed, after timeout and
 *       hold without its backup, and never once the backup said that somebody decides there
 *   P12 frames that may have got out unheld are said, and the checkpoint that covers them is not
 *       put off, until the epoch is acknowledged in which they were sent, or a later one
 *
 * Several epochs in flight change none of them. What counts is `acked`: output is released up to it
 * and no further, a copy is activated from it, and everything after it was never seen by anybody
 * (with -n: may have been seen, however many epochs are in flight). The lease knows no epochs: it
 * says how lately the backup had decided nothing, and the backup acknowledges nothing after it has.
 */
import { invariant } from '../invariant.ts';
import { primaryConfigProblem, saveEndMs } from '../limits.ts';
import { isPresent } from '../permission/evidence.ts';
import { mayOpenUnanswered } from '../permission/tie.ts';
import {
  nextCheckpointAtMs,
  noOutput,
  noPace,
  type OutputWaiting,
  type Pace,
  type Schedule,
} from '../scheduler.ts';
import { type Answer, heartbeatEveryMs, leaseMs, progressMs } from '../vocabulary.ts';
import type { PrimaryConfig, PrimaryEffect, PrimaryOutcome, StopBy } from './types.ts';

/**
 *  - `connecting`: HELLO is not exchanged yet.
 *  - `seeding`: epoch 0 is not acknowledged; output is not held before its barrier.
 *  - `protected`: epochs go over, output waits for its acknowledgement.
 *  - `ending`: no more checkpoints; asks for the promise while the link is open.
 *  - `held`: the link is gone or the copy goes on; mute, asks for the promise.
 *  - `leaving`: the outcome is decided; waits for the hypervisor's operation to end.
 *  - `ended`: nothing happens any more.
 */
export type PrimaryPhase =
  | 'connecting'
  | 'seeding'
  | 'protected'
  | 'ending'
  | 'held'
  | 'leaving'
  | 'ended';

/** What entitles the primary to let everything out. */
export type OpenPermission =
  /** The record says promised. */
  | 'promised'
  /** The backup cannot have a whole epoch: the seed's end never left. */
  | 'never-whole'
  /** It was agreed that the primary goes on by itself, and the backup is gone. */
  | 'in-advance'
  /** The administrator vouches that the copy never ran and never will. */
  | 'forced';

export interface PrimaryAsk {
  readonly id: number;
  readonly way: 'link' | 'fresh';
  readonly atMs: number;
}

export interface PrimaryState {
  readonly config: PrimaryConfig;
  readonly phase: PrimaryPhase;
  readonly nowMs: number;
  readonly link: 'connecting' | 'open' | 'closed';

  /** The newest epoch whose checkpoint was asked for. The seed needs no asking: starts at 0. */
  readonly requested: number;
  /** The newest epoch whose barrier is set; -1: none. */
  readonly suspended: number;
  readonly drained: number;
  /** The newest epoch whose end went out. From 0 on the backup may hold a whole one. */
  readonly sent: number;
  readonly acked: number;
  readonly released: number;
  readonly drainedAtMs: number;
  readonly committedAtMs: number;
  readonly schedule: Schedule;
  readonly pace: Pace;
  readonly output: OutputWaiting;
  /** A disk asked for a checkpoint since the last one. */
  readonly diskFilling: boolean;
  /**
   * Frames may have got out that should have waited: why, and the epoch that has to be acknowledged
   * before a copy knows of them; null: none.
   */
  readonly unheld: { readonly reason: string; readonly epoch: number } | null;
  /** While an epoch waits for its acknowledgement: the last sign that it comes nearer. */
  readonly progressAtMs: number;

  /** Heartbeats without an echo so far, oldest first. */
  readonly beats: readonly { readonly seq: number; readonly sentAtMs: number }[];
  readonly nextSeq: number;
  readonly nextBeatAtMs: number;
  /** When the newest echoed heartbeat was sent; null before the first echo. */
  readonly leaseFromMs: number | null;
  /** When the backup was heard last. */
  readonly heardAtMs: number;
  /**
   * Since when it is without its backup: last heard, or found to hang. Moved on by own stalls.
   */
  readonly aloneFromMs: number;

  readonly paused: boolean;
  readonly guest: 'here' | 'ended';
  /** The hypervisor's operation runs. */
  readonly saving: boolean;

  /** Why protection ends, as far as it does; they can meet. */
  readonly stopBy: StopBy | null;
  readonly guestEnded: string | null;
  readonly lost: string | null;

  /** The ask under way. */
  readonly ask: PrimaryAsk | null;
  readonly lastAskId: number;
  readonly lastAskWay: 'link' | 'fresh';
  readonly nextAskAtMs: number;
  /** What the last ask brought, in words; null: nothing yet. */
  readonly askNews: string | null;
  /** What the last ask was answered; null: nothing yet, or nothing. */
  readonly found: Answer['kind'] | null;
  /** The copy took over, as the backup said or its record says: this guest is the older one. */
  readonly activeSeen: boolean;
  /** `abort-save` was emitted because of that. */
  readonly abortedAtMs: number | null;
  /** The backup said `activating`: somebody decides there, and nobody goes on by himself here. */
  readonly decidingSeen: boolean;
  /** When what was answered `running` or `ended` was asked; null: nothing, or it is used up. */
  readonly evidenceAtMs: number | null;
  /** `destroy-guest` is under way. */
  readonly destroying: boolean;
  /** A person vouches: for what the first fresh ask after this one brings. */
  readonly vouchedAfterAsk: number | null;

  readonly opened: OpenPermission | null;
  readonly outcome: PrimaryOutcome | null;
  readonly decidedAtMs: number;
}

/** The state before HELLO. */
export function initialPrimary(config: PrimaryConfig, nowMs = 0): PrimaryState {
  const problem = primaryConfigProblem(config);
  invariant(problem === null, problem ?? '');
  return {
    config,
    phase: 'connecting',
    nowMs,
    link: 'connecting',
    requested: 0,
    suspended: -1,
    drained: -1,
    sent: -1,
    acked: -1,
    released: -1,
    drainedAtMs: nowMs,
    committedAtMs: nowMs,
    schedule: config.schedule,
    pace: noPace,
    output: noOutput,
    diskFilling: false,
    unheld: null,
    progressAtMs: nowMs,
    beats: [],
    nextSeq: 1,
    nextBeatAtMs: nowMs,
    leaseFromMs: null,
    heardAtMs: nowMs,
    aloneFromMs: nowMs,
    paused: false,
    guest: 'here',
    saving: false,
    stopBy: null,
    guestEnded: null,
    lost: null,
    ask: null,
    lastAskId: 0,
    lastAskWay: 'fresh',
    nextAskAtMs: nowMs,
    askNews: null,
    found: null,
    activeSeen: false,
    abortedAtMs: null,
    decidingSeen: false,
    evidenceAtMs: null,
    destroying: false,
    vouchedAfterAsk: null,
    opened: null,
    outcome: null,
    decidedAtMs: nowMs,
  };
}

/**
 * Once the end of epoch 0 was handed to the link it may reach the backup at any time, and a backup
 * with a whole epoch may activate. Until then the seed, which is drained long before it is sent
 * where the line is slow, protects nobody and costs the guest nothing.
 */
export function backupMayActivate(state: PrimaryState): boolean {
  return state.sent >= 0;
}

/** The newest heartbeat known to be echoed was sent not longer ago than the lease lasts. */
export function isLeaseFresh(state: PrimaryState): boolean {
  return state.leaseFromMs !== null && state.nowMs - state.leaseFromMs <= leaseMs(state.config);
}

/**
 * For how long nothing may go out for want of a lease, whole ms; 0: a lease is there. The
 * heartbeats say it, so that a backup which is not heard here knows of it although it hears.
 */
export function heldMs(state: PrimaryState): number {
  if (isLeaseFresh(state) || state.leaseFromMs === null) return 0;
  return Math.max(1, Math.round(state.nowMs - state.leaseFromMs - leaseMs(state.config)));
}

/** The link says nothing for so long that asking over a fresh connection is due. */
export function isSilent(state: PrimaryState): boolean {
  const { heartbeatTimeoutMs, holdMs } = state.config;
  return state.link === 'open' && state.nowMs - state.heardAtMs >= heartbeatTimeoutMs + holdMs;
}

/**
 * Heartbeats come back and an epoch's acknowledgement does not come nearer: the hypervisor hangs
 * over there, or the byte stream is stuck beside live datagrams. Waiting on would hold the guest's
 * output for ever, and the backup sees no silence.
 */
export function isStuck(state: PrimaryState): boolean {
  if (state.drained === state.acked || !isLeaseFresh(state)) return false;
  return state.nowMs - state.progressAtMs >= progressMs(state.config);
}

/**
 * Without its backup for timeout and hold, where it was agreed that the primary then goes on (P11).
 */
export function isAlone(state: PrimaryState): boolean {
  const { heartbeatTimeoutMs, holdMs, withoutWitness } = state.config;
  if (!mayOpenUnanswered(withoutWitness, 'nothing') || !backupMayActivate(state)) return false;
  if (state.decidingSeen || state.activeSeen) return false;
  return state.nowMs - state.aloneFromMs >= heartbeatTimeoutMs + holdMs;
}

/** Something ends protection here; only a promise (or `active`, or P11) ends it. */
export function isEnding(state: PrimaryState): boolean {
  return (
    state.stopBy !== null ||
    state.guestEnded !== null ||
    state.lost !== null ||
    state.activeSeen ||
    state.link === 'closed'
  );
}

/** The primary wants the promise, or to hear that the copy runs. */
export function wantsPromise(state: PrimaryState): boolean {
  return backupMayActivate(state) && (isEnding(state) || isSilent(state));
}

/**
 * The guest may be in a suspend, or asked for one: it must not be paused, nor destroyed. An
 * operation that does not end is not waited for.
 */
export function isSuspendInFlight(state: PrimaryState): boolean {
  if (!state.saving || state.requested === state.drained) return false;
  return state.abortedAtMs === null || state.nowMs - state.abortedAtMs < saveEndMs;
}

/** The hypervisor's operation on a guest that is given up is over, or is not waited for. */
export function isSaveOver(state: PrimaryState): boolean {
  if (!state.saving) return true;
  return state.abortedAtMs !== null && state.nowMs - state.abortedAtMs >= saveEndMs;
}

/** Why an acknowledgement cannot be true. */
export function badAck(state: PrimaryState, epoch: number): string {
  return `the backup acknowledged epoch ${epoch}, expected ${state.acked + 1} of ${state.drained}`;
}

/** How the session ends when the guest may go on here. */
export function outcomeOnPromise(state: PrimaryState): PrimaryOutcome {
  if (state.guestEnded !== null) return { kind: 'guest-ended', reason: state.guestEnded };
  if (state.stopBy !== null) return { kind: 'stopped', by: state.stopBy };
  const reason = state.lost ?? 'the backup gave its copy up while the link was silent';
  return { kind: 'unprotected', reason };
}

/** The phase that follows from everything else. */
export function phaseOf(state: PrimaryState): PrimaryPhase {
  if (state.phase === 'ended') return 'ended';
  if (state.outcome !== null || state.destroying) return 'leaving';
  if (state.link === 'connecting') return 'connecting';
  if (isEnding(state)) return state.link === 'open' && !state.activeSeen ? 'ending' : 'held';
  return state.acked >= 0 ? 'protected' : 'seeding';
}

/**
 * The latest time at which the machine wants its next tick, null once it has ended. A shell
 * may tick more often; ticking at these times loses nothing.
 */
export function primaryWakeAtMs(state: PrimaryState): number | null {
  if (state.phase === 'ended') return null;
  const { config } = state;
  const wakes = [state.nowMs + heartbeatEveryMs(config)];
  if (state.abortedAtMs !== null) wakes.push(state.abortedAtMs + saveEndMs);
  if (state.outcome === null) {
    if (state.link === 'open') wakes.push(state.nextBeatAtMs);
    if (state.leaseFromMs !== null) wakes.push(state.leaseFromMs + leaseMs(config) + 1);
    if (state.ask === null) wakes.push(state.nextAskAtMs);
    if (state.drained > state.acked) wakes.push(state.progressAtMs + progressMs(config));
    const { withoutWitness, heartbeatTimeoutMs, holdMs } = config;
    const isAgreed = mayOpenUnanswered(withoutWitness, 'nothing');
    if (isAgreed) wakes.push(state.aloneFromMs + heartbeatTimeoutMs + holdMs);
    wakes.push(checkpointAtMs(state) ?? 0);
  }
  return Math.min(...wakes.filter((wakeMs) => wakeMs > state.nowMs));
}

/** When the next checkpoint begins; null: not by time alone. */
export function checkpointAtMs(state: PrimaryState): number | null {
  const { unheld, output, config, diskFilling } = state;
  const isUrgent = diskFilling || (unheld !== null && state.requested < unheld.epoch); // P12
  const facts = isUrgent ? { ...state, output: { ...output, nearLimit: true } } : state;
  return nextCheckpointAtMs(facts, config.pendingMax);
}

/** Asserts P1 to P12 on one transition. */
export function checkPrimary(
  before: PrimaryState,
  after: PrimaryState,
  effects: readonly PrimaryEffect[],
): void {
  checkEpochs(after);
  invariant(!after.paused || !after.config.buffered || after.activeSeen, 'P4 with a buffer');
  invariant(!after.paused || backupMayActivate(after), 'P4 paused during the seed');
  invariant(before.opened === null || after.opened === before.opened, 'P5 opened twice');
  invariant(before.outcome === null || after.outcome === before.outcome, 'P8 outcome changed');
  invariant(after.outcome === null || after.ask === null, 'P3 asks after the outcome');
  invariant(after.unheld === null || after.acked < after.unheld.epoch, 'P12 covered');
  for (const effect of effects) checkEffect(before, after, effect);
  const ends = effects.filter((effect) => effect.kind === 'end').length;
  invariant(ends === (after.phase === 'ended' && before.phase !== 'ended' ? 1 : 0), 'P8 one end');
  invariant(ends === 0 || effects.at(-1)?.kind === 'end', 'P8 end is last');
}

function checkEpochs(state: PrimaryState): void {
  const { requested, suspended, drained, sent, acked, released } = state;
  invariant(released <= acked, 'P1 released <= acked');
  invariant(acked <= drained, 'P1 acked <= drained');
  invariant(sent <= drained, 'P1 sent <= drained');
  invariant(drained <= suspended, 'P1 drained <= suspended');
  invariant(suspended <= requested, 'P1 suspended <= requested');
  invariant(requested <= drained + 1, 'P1 requested <= drained + 1');
  invariant(acked < 0 || requested - acked <= state.config.pendingMax, 'P2 pendingMax');
}

function checkEffect(before: PrimaryState, after: PrimaryState, effect: PrimaryEffect): void {
  switch (effect.kind) {
    case 'release':
      invariant(before.outcome === null && after.outcome === null, 'P3 release');
      invariant(effect.epoch === after.released, 'P6 releases what is counted');
      invariant(isLeaseFresh(after), 'P6 release without a lease');
      invariant(!after.activeSeen, 'P6 release after active');
      return;
    case 'take-checkpoint':
      invariant(after.phase === 'protected', 'P7 checkpoint while not protected');
      invariant(isLeaseFresh(after), 'P7 checkpoint without a lease');
      invariant(!after.paused, 'P7 checkpoint of a paused guest');
      return;
    case 'pause-guest':
      invariant(after.outcome === null || after.activeSeen, 'P3 pause');
      invariant(!before.paused && after.paused, 'P4 paused twice');
      invariant(!after.config.buffered || !isSuspendInFlight(after), 'P4 in a suspend');
      return;
    case 'unpause-guest':
      invariant(before.paused && !after.paused, 'P4 unpaused twice');
      return;
    case 'open-buffer':
      invariant(before.opened === null && after.opened !== null, 'P5 no permission');
      invariant(!after.destroying, 'P9 opened while it is destroyed');
      invariant(after.opened !== 'forced' || before.vouchedAfterAsk !== null, 'P10 vouched');
      invariant(after.opened !== 'never-whole' || !backupMayActivate(after), 'P5 never whole');
      invariant(after.opened !== 'in-advance' || isAlone(after), 'P11 in advance');
      return;
    case 'ask-promise':
      invariant(before.outcome === null, 'P3 ask');
      return;
    case 'destroy-guest': {
      const { nowMs, config } = after;
      invariant(after.activeSeen && after.destroying && !before.destroying, 'P9 destroy');
      invariant(isPresent(effect.askedAtMs, nowMs, config.heartbeatTimeoutMs), 'P9 old news');
      invariant(isSaveOver(after), 'P9 in a suspend');
      invariant(after.paused || after.guest === 'ended', 'P9 runs on until it is gone');
      return;
    }
    case 'end':
      invariant(effect.outcome === after.outcome, 'P8 outcome');
      invariant(effect.outcome.kind !== 'taken-over' || before.destroying, 'P9 taken over');
      return;
    case 'refuse-force':
      invariant(before.vouchedAfterAsk !== null && after.opened === null, 'P10 refused');
      return;
    case 'send-heartbeat':
    case 'abort-save':
    case 'close-link':
      return;
  }
}
