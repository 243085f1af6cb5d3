/**
 * The backup's state, what can be read from it, and its invariants.
 *
 * Invariants (asserted in `checkBackup` at every transition; the simulator has its own ledger):
 *   B1  acked <= whole; epochs are acknowledged one by one, in order, and committed at once;
 *       `whole` is the least of the parts: an epoch commits in all or in none
 *   B2  nothing is acknowledged, committed or echoed unless the record says standby, no write of it
 *       is under way and nothing was decided
 *   B3  the copy is built only when the record says activating, unpaused only when active
 *   B4  `promised` is answered only when the record says promised; what has become of a copy that
 *       runs is not this machine's to say
 *   B5  a copy is never discarded when the record says active; a record that says activating
 *       becomes promised only after the copy is gone
 *   B6  one write of the record at a time, and only along the transition table
 *   B7  `end` is emitted once, last
 *   B8  a copy is activated from the last acknowledged epoch, and there is one
 *   B9  of a whole copy no promise is given to a question that came over the link from a primary
 *       that hears nothing of this side: it would not hear the promise either
 *   B10 a whole copy is given up for a question that waits, or because it is lost: being told to
 *       end is no reason, for the primary may be dead
 *   B11 the record becomes activating only by what the agreement asks for: nobody, a person's
 *       order or his word (permission/tie.ts)
 */

import { invariant } from '../invariant.ts';
import { timingProblem } from '../limits.ts';
import { isActive } from '../permission/evidence.ts';
import { canMove } from '../permission/record.ts';
import { mayActivate, type Said } from '../permission/tie.ts';
import { heartbeatEveryMs } from '../vocabulary.ts';
import type {
  BackupConfig,
  BackupEffect,
  BackupEvent,
  BackupOutcome,
  OwnPermission,
} from './types.ts';

/**
 *  - `connecting`: the session has not begun.
 *  - `seeding`: epoch 0 is not whole.
 *  - `standby`: holds a whole epoch; nothing is decided. After the end of the link, too.
 *  - `activating`: the record is on its way to `activating`, or says so; the copy is built.
 *  - `active`: the record says so; the copy is unpaused.
 *  - `leaving`: the copy is given up.
 *  - `ended`: nothing happens any more.
 */
export type BackupPhase =
  | 'connecting'
  | 'seeding'
  | 'standby'
  | 'activating'
  | 'active'
  | 'leaving'
  | 'ended';

/** What was decided, as far as this machine can; the record has the last word. */
export type BackupGoal =
  | { readonly kind: 'activate'; readonly why: string; readonly said: Said }
  /** The primary goes on; the copy is given up. */
  | { readonly kind: 'promise' }
  /** The copy is lost; the primary gets the promise unasked. */
  | { readonly kind: 'lose'; readonly reason: string }
  /** There is no whole epoch, and there will be none. */
  | { readonly kind: 'never-whole'; readonly reason: string };

/**
 * Where the copy is: `receiving` (the hypervisor applies epochs), `building`, `built` (paused),
 * `starting` (being unpaused), `running`; or `failed`, `discarding`, `gone`.
 */
export type CopyState =
  | 'receiving'
  | 'building'
  | 'built'
  | 'starting'
  | 'running'
  | 'failed'
  | 'discarding'
  | 'gone';

export interface WaitingAsk {
  readonly way: 'link' | 'fresh';
  readonly token: number;
  readonly atMs: number;
}

export interface BackupState {
  readonly config: BackupConfig;
  readonly phase: BackupPhase;
  readonly nowMs: number;
  readonly link: 'connecting' | 'open' | 'closed';
  /** Meaningful once the link is closed. Moved on by own stalls. */
  readonly linkClosedAtMs: number;
  readonly linkReason: string | null;
  /** The last byte of the peer's. Moved on by own stalls. */
  readonly heardAtMs: number;
  /** The newest heartbeat, and for how long the primary said in it that it is held, ms. */
  readonly beat: { readonly seq: number; readonly heldMs: number };
  /**
   * Since when every heartbeat says so; null: it hears this side, or nothing is buffered there.
   * Moved on by own stalls.
   */
  readonly unheardSinceMs: number | null;
  /** The last echo sent (link-open before the first). Moved on by own stalls. */
  readonly echoedAtMs: number;
  /** The newest whole epoch of each part, -1: none. */
  readonly parts: Readonly<Record<string, number>>;
  /** The least of `parts`. Ahead of `acked` only while the record is written. */
  readonly whole: number;
  readonly acked: number;
  /** A heartbeat that came while the record was written and is echoed if nothing was decided. */
  readonly echoWaiting: number | null;

  /** What the record says as far as is known. */
  readonly record: OwnPermission;
  readonly writing: Exclude<OwnPermission, 'standby'> | null;
  /** After a failure: not before this. */
  readonly nextWriteAtMs: number;
  /** The last failure to write the record, until one succeeds. */
  readonly recordProblem: string | null;

  readonly goal: BackupGoal | null;
  readonly copy: CopyState;
  /** Why the copy is lost, or cannot be unpaused. */
  readonly copyProblem: string | null;
  readonly nextUnpauseAtMs: number;
  readonly nextDiscardAtMs: number;

  /** Why this session was told to end; null: it was not. The primary was told, if it could be. */
  readonly leaving: string | null;
  /** Asks that wait for the record. */
  readonly asks: readonly WaitingAsk[];
  /** `tsremus failover` calls that wait for the record. */
  readonly failovers: readonly { readonly token: number; readonly said: Said }[];
  readonly outcome: BackupOutcome | null;
}

/** The state before the session begins. */
export function initialBackup(config: BackupConfig, nowMs = 0): BackupState {
  const problem = timingProblem(config) ?? (config.parts.length === 0 ? 'no parts' : null);
  invariant(problem === null, problem ?? '');
  return {
    config,
    phase: 'connecting',
    nowMs,
    link: 'connecting',
    linkClosedAtMs: nowMs,
    linkReason: null,
    heardAtMs: nowMs,
    echoedAtMs: nowMs,
    beat: { seq: 0, heldMs: 0 },
    unheardSinceMs: null,
    parts: Object.fromEntries(config.parts.map((part) => [part, -1])),
    whole: -1,
    acked: -1,
    echoWaiting: null,
    record: 'standby',
    writing: null,
    nextWriteAtMs: nowMs,
    recordProblem: null,
    goal: null,
    copy: 'receiving',
    copyProblem: null,
    nextUnpauseAtMs: nowMs,
    nextDiscardAtMs: nowMs,
    leaving: null,
    asks: [],
    failovers: [],
    outcome: null,
  };
}

/**
 * How long the primary has been silent. Without a buffer it counts from the last echo sent as
 * well: only then has the primary's lease run out whatever became of that echo.
 */
export function silenceMs(state: BackupState): number {
  const { buffered } = state.config;
  const sinceMs = buffered ? state.heardAtMs : Math.max(state.heardAtMs, state.echoedAtMs);
  return state.nowMs - sinceMs;
}

/**
 * For how long the primary has been held although it is heard here: a cut from here to there, which
 * stands. By its clock and by ours, whichever says less; heartbeats that piled up while this
 * process did not run are no proof, and the next one says that the echo arrived.
 */
export function unheardMs({ nowMs, beat, unheardSinceMs }: BackupState): number {
  return unheardSinceMs === null ? 0 : Math.min(beat.heldMs, nowMs - unheardSinceMs);
}

/** Whether whoever asked would hear the answer: a fresh connection goes both ways, or is none. */
export function hears(state: BackupState, ask: WaitingAsk): boolean {
  return ask.way === 'fresh' || state.unheardSinceMs === null;
}

/** The phase that follows from everything else. */
export function phaseOf(state: BackupState): BackupPhase {
  if (state.outcome !== null) return 'ended';
  if (state.link === 'connecting') return 'connecting';
  if (state.record === 'active') return 'active';
  if (state.goal?.kind === 'activate') return 'activating';
  if (state.goal !== null) return 'leaving';
  return state.acked >= 0 ? 'standby' : 'seeding';
}

/** Ticks are so many heartbeats apart as long as these come. */
const calmBeats = 3;

/** The latest time at which the machine wants its next tick, null once it has ended. */
export function backupWakeAtMs(state: BackupState): number | null {
  if (state.phase === 'ended') return null;
  const { heartbeatTimeoutMs, holdMs } = state.config;
  const beatMs = heartbeatEveryMs(state.config);
  // While heartbeats come they are what is worked on; ticks then only notice stalls of our own.
  const isQuiet = state.link !== 'open' || silenceMs(state) >= 2 * beatMs;
  const wakes = [
    state.nowMs + (isQuiet ? beatMs : calmBeats * beatMs),
    state.nowMs - silenceMs(state) + heartbeatTimeoutMs,
    state.heardAtMs + heartbeatTimeoutMs + holdMs,
    state.linkClosedAtMs + holdMs,
    state.nextWriteAtMs,
    state.nextUnpauseAtMs,
    state.nextDiscardAtMs,
  ];
  if (state.unheardSinceMs !== null) {
    // Past it, too, and between two heartbeats: each of them would put a later tick off again.
    const unheardAtMs = state.unheardSinceMs + heartbeatTimeoutMs + holdMs;
    wakes.push(Math.max(unheardAtMs, state.nowMs + beatMs / 2));
  }
  return Math.min(...wakes.filter((wakeMs) => wakeMs > state.nowMs));
}

/** The newest epoch of which every part is whole. */
export function leastWhole(parts: Readonly<Record<string, number>>): number {
  return Math.min(...Object.values(parts));
}

/**
 * A whole copy is here, the primary is gone, silent for the whole timeout or deaf for as long as
 * that and the hold, and only a person may let the copy run.
 */
export function waitsForPerson(state: BackupState): boolean {
  const { withoutWitness, heartbeatTimeoutMs, holdMs } = state.config;
  if (state.phase !== 'standby' || mayActivate(withoutWitness, 'nothing')) return false;
  if (state.link === 'closed' || silenceMs(state) >= heartbeatTimeoutMs) return true;
  return unheardMs(state) >= heartbeatTimeoutMs + holdMs;
}

/** Asserts B1 to B11 on one transition. */
export function checkBackup(
  before: BackupState,
  after: BackupState,
  event: BackupEvent,
  effects: readonly BackupEffect[],
): void {
  invariant(after.acked <= after.whole, 'B1 acked <= whole');
  invariant(after.whole === leastWhole(after.parts), 'B1 whole is the least of the parts');
  invariant(before.acked <= after.acked, 'B1 acked grows');
  const isPromise = before.goal === null && after.goal?.kind === 'promise' && after.acked >= 0;
  const isAsked = after.asks.some((ask) => hears(after, ask));
  invariant(!isPromise || isAsked || after.record === 'promised', 'B9 nobody hears the promise');
  checkWrites(before, after, event, effects);
  const acks = effects.filter((effect) => effect.kind === 'send-ack');
  invariant(acks.length === after.acked - before.acked, 'B1 every epoch is acknowledged once');
  const commits = effects.filter((effect) => effect.kind === 'commit');
  const toCommit = acks.filter((ack) => ack.epoch > 0); // epoch 0 streams through
  invariant(commits.length === toCommit.length, 'B1 acknowledged epochs are committed');
  for (const [index, commit] of commits.entries()) {
    const ack = toCommit[index];
    invariant(commit.epoch === ack?.epoch, 'B1 committed in order');
    invariant(effects.indexOf(commit) > effects.indexOf(ack), 'B1 ack first');
  }
  for (const effect of effects) checkEffect(after, effect);
  const ends = effects.filter((effect) => effect.kind === 'end').length;
  invariant(ends === (after.phase === 'ended' && before.phase !== 'ended' ? 1 : 0), 'B7 one end');
  invariant(ends === 0 || effects.at(-1)?.kind === 'end', 'B7 end is last');
}

/** A write under way ends by its result only. */
function checkWrites(
  before: BackupState,
  after: BackupState,
  event: BackupEvent,
  effects: readonly BackupEffect[],
): void {
  const isResult = event.kind === 'record' || event.kind === 'record-failed';
  const writes = effects.filter((effect) => effect.kind === 'write-record').length;
  invariant(before.writing === null || isResult || writes === 0, 'B6 one write at a time');
  invariant(writes <= 1, 'B6 one write in a step');
  const isKept = before.writing !== null && !isResult && after.writing === before.writing;
  invariant(after.writing === null || writes === 1 || isKept, 'B6 a write without its effect');
}

function checkEffect(after: BackupState, effect: BackupEffect): void {
  switch (effect.kind) {
    case 'send-ack':
    case 'commit':
    case 'send-echo':
      invariant(after.record === 'standby', `B2 ${effect.kind}: record`);
      invariant(after.writing === null, `B2 ${effect.kind}: writing`);
      invariant(after.goal === null, `B2 ${effect.kind}: decided`);
      return;
    case 'write-record':
      invariant(effect.from === after.record, 'B6 from');
      invariant(effect.to === after.writing, 'B6 to');
      invariant(canMove(effect.from, effect.to), 'B6 transition table');
      if (effect.to === 'activating') {
        invariant(mayActivate(after.config.withoutWitness, effect.said), 'B11 not as agreed');
      }
      if (effect.from === 'standby' && effect.to === 'promised' && after.acked >= 0) {
        const isAsked = after.goal?.kind === 'promise' && after.asks.length > 0;
        invariant(isAsked || after.goal?.kind === 'lose', 'B10 promised unasked');
      }
      if (effect.from === 'activating' && effect.to === 'promised') {
        invariant(after.copy === 'gone', 'B5 promised before the copy is gone');
      }
      return;
    case 'build-copy':
      invariant(after.record === 'activating', 'B3 build');
      invariant(effect.epoch === after.acked, 'B8 the last acknowledged epoch');
      invariant(effect.epoch >= 0, 'B8 a whole epoch');
      return;
    case 'unpause-copy':
    case 'note-running':
    case 'send-activated':
      invariant(after.record === 'active', `B3 ${effect.kind}`);
      return;
    case 'discard-copy':
      invariant(after.record !== 'active', 'B5 discards an active copy');
      return;
    case 'answer':
      invariant(effect.answer.kind !== 'promised' || after.record === 'promised', 'B4 promised');
      invariant(!isActive(effect.answer), 'B4 what is to be looked up');
      return;
    case 'send-leaving':
      invariant(after.link === 'open' && after.leaving !== null, 'B10 leaving');
      return;
    case 'send-copy-lost':
      invariant(after.record === 'promised', 'B4 copy-lost');
      return;
    case 'end':
      invariant(effect.outcome === after.outcome, 'B7 outcome');
      return;
    case 'failover-answer':
    case 'close-link':
      return;
  }
}
