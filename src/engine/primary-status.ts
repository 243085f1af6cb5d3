/** What the primary's session says of itself, from the machine's state and its own figures. */
import {
  isLeaseFresh,
  isSilent,
  type PrimaryPhase,
  type PrimaryState,
} from '../core/primary-state.ts';
import type { PrimaryOutcome } from '../core/primary-types.ts';
import { lateAfterMs, noPace } from '../core/scheduler.ts';
import type { Guest } from './preflight.ts';
import type { PrimarySession } from './primary-session.ts';
import { type HeldOutcome, type ProtectOptions, scheduleOf } from './protect-options.ts';
import type { SessionState } from './session-status.ts';
import type { StatusFacts } from './status-writer.ts';

function lateMs({ options, running }: PrimaryView): number {
  const { schedule, pace } = running?.state ?? { schedule: scheduleOf(options), pace: noPace };
  return lateAfterMs(schedule, pace, options.heartbeatTimeoutMs);
}

const stateOfPhase: Readonly<Record<PrimaryPhase, SessionState>> = {
  connecting: 'connecting',
  seeding: 'seeding',
  protected: 'protected',
  ending: 'ending',
  held: 'held',
  leaving: 'ending',
  ended: 'ended',
};

/**
 * The phase as an administrator sees it: a link that is silent for so long that the promise is
 * asked for holds the guest as one that ended does, although the machine would take it up again.
 */
export function shownPhase(state: PrimaryState): PrimaryPhase {
  return state.phase === 'protected' && isSilent(state) ? 'held' : state.phase;
}

export interface PrimaryView {
  readonly guest: Guest;
  readonly options: ProtectOptions;
  readonly session: string;
  readonly running: PrimarySession | null;
  readonly outcome: PrimaryOutcome | HeldOutcome | null;
}

function stateOf(view: PrimaryView, ackAgeMs: number | null): SessionState {
  const { outcome, running } = view;
  if (outcome !== null) {
    if (outcome.kind === 'held') return 'held';
    return outcome.kind === 'unprotected' ? 'unprotected' : 'ended';
  }
  if (running === null) return 'connecting';
  const state = stateOfPhase[shownPhase(running.state)];
  if (state !== 'protected') return state;
  if (running.guestPaused || !isLeaseFresh(running.state)) return 'late';
  return ackAgeMs !== null && ackAgeMs > lateMs(view) ? 'late' : 'protected';
}

function reasonOf(view: PrimaryView): string | null {
  const { outcome, running } = view;
  if (outcome !== null) return 'reason' in outcome ? outcome.reason : null;
  if (running === null) return null;
  const { state } = running;
  const parts = [state.lost, state.askNews].filter((part) => part !== null);
  if (running.guestPaused) parts.push('the guest is paused until the backup is heard');
  return parts.length === 0 ? null : parts.join('; ');
}

/** Percent of the seed, at most 99 until it is acknowledged; null when not seeding. */
export function seedPercent(bytes: number, memoryBytes: number): number {
  if (memoryBytes <= 0) return 0;
  return Math.min(99, Math.floor((100 * bytes) / memoryBytes));
}

/** The facts for the status file. */
export function primaryFacts(view: PrimaryView): StatusFacts {
  const { guest, options, running, outcome } = view;
  const ack = running?.acknowledged ?? null;
  const state = stateOf(view, ack?.ageMs ?? null);
  const seeding = state === 'seeding' && running !== null;
  return {
    domain: guest.name,
    domid: outcome?.kind === 'taken-over' ? null : guest.domid,
    uuid: guest.uuid,
    session: view.session,
    role: 'primary',
    peer: options.host,
    state,
    epoch: ack?.epoch ?? null,
    ack_time: ack === null ? null : new Date(ack.wallMs).toISOString(),
    ack_age_ms: ack === null ? null : Math.round(ack.ageMs),
    late_after_ms: lateMs(view),
    buffered: options.network,
    heartbeat_timeout_ms: options.heartbeatTimeoutMs,
    seed_percent: seeding ? seedPercent(running.bytesMoved, guest.memoryBytes) : null,
    epochs: running === null ? [] : [...running.figures],
    bytes_sent: running?.bytesMoved ?? 0,
    reason: reasonOf(view),
    next: [],
    outcome: outcome?.kind ?? null,
    transport: { host: options.host, ssh_command: options.sshCommand },
    guest_paused: running?.guestPaused ?? false,
  };
}
