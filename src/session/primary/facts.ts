/** What the primary's session says of itself, from the machine's state and its own figures. */
import {
  type MachineFacts,
  primaryMachineFacts,
  type SessionState,
} from '../../core/health/facts.ts';
import type { HeldOutcome } from '../../core/outcomes.ts';
import type { PrimaryOutcome } from '../../core/primary/types.ts';
import { lateAfterMs, noPace, type Schedule } from '../../core/scheduler.ts';
import { type Advice, adviceLines } from '../../core/texts/advice.ts';
import { adviceOnAnswer } from '../../core/texts/outcomes.ts';
import { hostWord } from '../../core/texts/quote.ts';
import type { GuestEnd } from '../../guest/life.ts';
import type { HeldInterface } from '../../output/port.ts';
import type { MemoryStatus, OutputStatus, ScheduleStatus } from '../../registry/status.ts';
import type { StatusFacts } from '../../registry/status-writer.ts';
import type { MemoryBudget } from '../../stream/budget.ts';
import { type ProtectOptions, transportOf } from '../options.ts';
import { seedPercent } from '../progress.ts';
import type { Guest } from './preflight.ts';
import { scheduleOf } from './schedule-change.ts';
import type { PrimarySession } from './session.ts';

function scheduleSaid({ interval, maxOverheadPercent }: ProtectOptions): Schedule {
  return scheduleOf(interval, maxOverheadPercent);
}

export interface PrimaryView {
  /** By the session's own clock. */
  readonly nowMs: number;
  readonly guest: Guest;
  readonly options: ProtectOptions;
  readonly session: string;
  readonly interfaces: readonly HeldInterface[];
  /** Disks that are left alone, as a person knows them. */
  readonly disksLeft: readonly string[];
  readonly running: PrimarySession | null;
  readonly outcome: PrimaryOutcome | HeldOutcome | null;
  /** Null before they are agreed with the backup. */
  readonly codec: string | null;
  readonly budget: MemoryBudget | null;
  /** Of a guest that ended by itself: what became of it. */
  readonly guestEnd: GuestEnd | null;
  /** Why no guard stands by the guest; null: one does. */
  readonly unguarded: string | null;
}

/** What the machine says, or was said in its place before it ran and after it ended. */
function machineFacts({ nowMs, options, running, outcome, guestEnd }: PrimaryView): MachineFacts {
  const facts: MachineFacts =
    running === null
      ? {
          role: 'primary',
          state: 'connecting',
          epoch: null,
          ack_age_ms: null,
          late_after_ms: lateAfterMs(scheduleSaid(options), noPace, options.heartbeatTimeoutMs),
          buffered: options.network,
          reason: null,
        }
      : primaryMachineFacts(running.state, nowMs, running.guestPaused);
  if (outcome === null) return facts;
  const why = 'reason' in outcome ? outcome.reason : null;
  const reason = guestEnd === null ? why : `${why}; ${guestEnd.text}`;
  // The guest that was booted anew is another one, and nobody protects it.
  if (guestEnd?.isRunning) return { ...facts, state: 'unprotected', reason };
  if (outcome.kind === 'held' || outcome.kind === 'unprotected') {
    return { ...facts, state: outcome.kind, reason };
  }
  return { ...facts, state: 'ended', reason };
}

/** With -b nothing is protected, however well it goes. */
function measured(facts: MachineFacts, { blackhole }: ProtectOptions): MachineFacts {
  const isMeasured = blackhole !== undefined && facts.state === 'protected';
  return isMeasured ? { ...facts, state: 'measuring' } : facts;
}

/** A schedule as status shows it. */
export function scheduleStatus(schedule: Schedule): ScheduleStatus {
  if (schedule.kind === 'fixed') {
    return { mode: 'fixed', interval_ms: schedule.intervalMs, max_overhead_percent: null };
  }
  const percent = Math.round(1000 * schedule.maxOverhead) / 10;
  return { mode: 'auto', interval_ms: null, max_overhead_percent: percent };
}

function memoryOf({ budget, running }: PrimaryView): MemoryStatus | null {
  if (budget === null) return null;
  return {
    max_bytes: budget.maxBytes,
    queue_bytes: budget.queueBytes,
    cache_bytes: budget.cacheBytes,
    waiting_bytes: running?.waitingBytes ?? 0,
  };
}

/** What the stream is and how it moves. */
function streamFacts(view: PrimaryView) {
  const { running, options } = view;
  const figures = running?.figures;
  const state = running?.state;
  return {
    epochs: figures === undefined ? [] : [...figures.epochs],
    bytes_sent: (running?.moved.wireBytes ?? 0) + (running?.disksMoved.wireBytes ?? 0),
    bytes_raw: (running?.moved.rawBytes ?? 0) + (running?.disksMoved.rawBytes ?? 0),
    codec: view.codec,
    pages: figures?.pages ?? null,
    histograms: figures?.histograms() ?? null,
    ...(figures === undefined ? {} : { recent: figures.recent(view.nowMs) }),
    schedule: scheduleStatus(state?.schedule ?? scheduleSaid(options)),
    pending_max: options.pendingMax,
    in_flight: state === undefined || state.acked < 0 ? 0 : state.drained - state.acked,
    memory: memoryOf(view),
    stalls: figures?.stalls.count ?? 0,
    stalled_ms: figures?.stalls.ms ?? 0,
    degraded: view.outcome === null ? (running?.degraded ?? null) : null,
  };
}

function domidOf({ guest, outcome, guestEnd }: PrimaryView): number | null {
  if (guestEnd !== null) return guestEnd.guest?.id ?? null;
  return outcome?.kind === 'taken-over' ? null : guest.ref.id;
}

/** What is to be typed and does not follow from the state alone. */
function nextOf(view: PrimaryView, state: SessionState, muted: string | null): Advice[] {
  const { name: domain } = view.guest;
  const isStill = view.outcome === null && (view.running?.standstill ?? null) !== null;
  if (isStill && state !== 'held') {
    return [
      { kind: 'list-guest', domain },
      { kind: 'unpause-guest', domain },
    ];
  }
  if (state === 'protected') {
    if ((view.running?.peerDegraded ?? null) !== null) {
      return [{ kind: 'show-there', domain, peer: view.options.host }];
    }
    if (muted !== null) return [{ kind: 'stop-to-plug-in', domain }];
    return (view.running?.disksShared ?? null) === null ? [] : [{ kind: 'list-guests' }];
  }
  const isAbsent = state === 'held' && view.running?.state.found === 'absent';
  return isAbsent ? adviceOnAnswer('absent', { domain, peer: view.options.host }) : [];
}

/** How far the first copy is: of the disks, and then of the memory. */
function seedFacts(running: PrimarySession, memoryBytes: number) {
  const disks = running.copyingDisks;
  const seed_percent = seedPercent(running.moved.rawBytes, memoryBytes);
  if (disks === null) return { seed_percent };
  return { seed_percent, disks_percent: seedPercent(disks.doneBytes, disks.totalBytes) };
}

/** The facts for the status file. */
export function primaryFacts(view: PrimaryView): StatusFacts {
  const { guest, options, running, outcome } = view;
  const facts = measured(machineFacts(view), options);
  const muted = outcome === null ? mutedText(guest.name, view.interfaces) : null;
  const disks = outcome === null ? (running?.disksShared ?? null) : null;
  const shared = disks === null ? null : `shared: ${disks}`;
  const stream = streamFacts(view);
  const seeding = facts.state === 'seeding' && running !== null;
  const standstill = outcome === null ? (running?.standstill ?? null) : null;
  return {
    ...facts,
    reason: standstill === null ? facts.reason : withReason(standstill, facts.reason),
    domain: guest.name,
    domid: domidOf(view),
    uuid: guest.ref.uuid,
    session: view.session,
    peer: options.host,
    ack_time: running?.ackWall?.toISOString() ?? null,
    heartbeat_timeout_ms: options.heartbeatTimeoutMs,
    without_witness: options.withoutWitness,
    ...saveHelperFacts(running),
    ...(view.disksLeft.length === 0 ? {} : { disks_left: view.disksLeft }),
    ...(seeding ? seedFacts(running, guest.memoryBytes) : { seed_percent: null }),
    ...stream,
    degraded: degradedOf(view) ?? muted ?? shared ?? standstill ?? stream.degraded,
    next: adviceLines(nextOf(view, facts.state, muted)),
    output: options.network ? outputStatus(view.interfaces) : null,
    outcome: outcome?.kind ?? null,
    transport: transportOf(options),
    guest_paused: running?.guestPaused ?? false,
    watch: options.wait,
    may_open: outcome?.kind === 'held' && outcome.mayOpen === true,
  };
}

/** Absent before it is known. */
function saveHelperFacts(running: PrimarySession | null) {
  const known = running?.saveHelper ?? null;
  if (known === null) return {};
  return { save_helper: known.helper, save_helper_reason: known.reason };
}

function withReason(first: string, second: string | null): string {
  return second === null ? first : `${first}; ${second}`;
}

/** What would go wrong if a host or a process died now; it is worse than being slow. */
function degradedOf({ outcome, running, unguarded, options }: PrimaryView): string | null {
  if (outcome !== null) return null;
  const peer = running?.peerDegraded ?? null;
  if (peer !== null) return `unrecorded: ${hostWord(options.host)} could not take over: ${peer}`;
  return unguarded === null ? null : `unguarded: ${unguarded}`;
}

/** What the output buffer holds, as status shows it. */
export function outputStatus(interfaces: readonly HeldInterface[]): OutputStatus {
  const shown = interfaces.map(({ name, state, packets, bytes, dropped, nearLimit }) => {
    return { name, state, packets, bytes, dropped, near_limit: nearLimit };
  });
  const sum = (of: (one: (typeof shown)[number]) => number) =>
    shown.reduce((total, one) => total + of(one), 0);
  return {
    packets: sum((one) => one.packets),
    bytes: sum((one) => one.bytes),
    dropped: sum((one) => one.dropped),
    interfaces: shown,
  };
}

/**
 * An interface that is mute though the guest is protected, or, worse, not held; null: there is
 * none. One that is lost is being made anew; one that came later is mute until the guest is
 * protected again.
 */
export function mutedText(domain: string, interfaces: readonly HeldInterface[]): string | null {
  const named = (state: HeldInterface['state']) =>
    interfaces.filter((one) => one.state === state).map(({ name }) => name);
  const text = (word: string, names: readonly string[], what: string) =>
    `${word}: ${names.join(', ')} came while ${domain} was protected: ${what}`;
  const [open, blocked] = [named('open'), named('blocked')];
  if (open.length > 0) return text('open', open, 'what it sends is not held back');
  const lost = interfaces.flatMap((one) =>
    one.state === 'lost' ? [`${one.name} (${one.reason})`] : [],
  );
  if (lost.length > 0) {
    const what = lost.join('; ');
    const mute = `${domain} is mute there until it is made anew`;
    return `lost: what holds ${what} was taken apart: ${mute}`;
  }
  return blocked.length === 0 ? null : text('blocked', blocked, 'nothing that it sends leaves it');
}
