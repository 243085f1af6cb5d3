/** What the primary's session says of itself, from the machine's state and its own figures. */
import { type MachineFacts, primaryMachineFacts } from '../core/health-facts.ts';
import type { PrimaryOutcome } from '../core/primary-types.ts';
import { lateAfterMs, noPace } from '../core/scheduler.ts';
import type { Guest } from './preflight.ts';
import type { PrimarySession } from './primary-session.ts';
import { type HeldOutcome, type ProtectOptions, scheduleOf } from './protect-options.ts';
import type { StatusFacts } from './status-writer.ts';

export interface PrimaryView {
  readonly guest: Guest;
  readonly options: ProtectOptions;
  readonly session: string;
  readonly running: PrimarySession | null;
  readonly outcome: PrimaryOutcome | HeldOutcome | null;
}

/** What the machine says, or was said in its place before it ran and after it ended. */
function machineFacts({ options, running, outcome }: PrimaryView): MachineFacts {
  const facts: MachineFacts =
    running === null
      ? {
          role: 'primary',
          state: 'connecting',
          epoch: null,
          ack_age_ms: null,
          late_after_ms: lateAfterMs(scheduleOf(options), noPace, options.heartbeatTimeoutMs),
          buffered: options.network,
          reason: null,
        }
      : primaryMachineFacts(running.state, performance.now(), running.guestPaused);
  if (outcome === null) return facts;
  const reason = 'reason' in outcome ? outcome.reason : null;
  if (outcome.kind === 'held' || outcome.kind === 'unprotected') {
    return { ...facts, state: outcome.kind, reason };
  }
  return { ...facts, state: 'ended', reason };
}

/** Percent of the seed, at most 99 until it is acknowledged; null when not seeding. */
export function seedPercent(bytes: number, memoryBytes: number): number {
  if (memoryBytes <= 0) return 0;
  return Math.min(99, Math.floor((100 * bytes) / memoryBytes));
}

/** The facts for the status file. */
export function primaryFacts(view: PrimaryView): StatusFacts {
  const { guest, options, running, outcome } = view;
  const facts = machineFacts(view);
  const ackWallMs = running?.ackWallMs ?? null;
  const seeding = facts.state === 'seeding' && running !== null;
  return {
    ...facts,
    domain: guest.name,
    domid: outcome?.kind === 'taken-over' ? null : guest.domid,
    uuid: guest.uuid,
    session: view.session,
    peer: options.host,
    ack_time: ackWallMs === null ? null : new Date(ackWallMs).toISOString(),
    heartbeat_timeout_ms: options.heartbeatTimeoutMs,
    seed_percent: seeding ? seedPercent(running.bytesMoved, guest.memoryBytes) : null,
    epochs: running === null ? [] : [...running.figures],
    bytes_sent: running?.bytesMoved ?? 0,
    next: [],
    outcome: outcome?.kind ?? null,
    transport: { host: options.host, ssh_command: options.sshCommand },
    guest_paused: running?.guestPaused ?? false,
  };
}
