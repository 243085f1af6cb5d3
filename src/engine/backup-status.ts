/** What the backup's session says of itself, from the machine's state. */
import type { BackupPhase } from '../core/backup-state.ts';
import type { BackupOutcome } from '../core/backup-types.ts';
import type { Hello } from '../link/hello-message.ts';
import type { BackupSession } from './backup-session.ts';
import type { SessionState } from './session-status.ts';
import type { StatusFacts } from './status-writer.ts';

export interface BackupView {
  readonly hello: Hello;
  readonly running: BackupSession | null;
  readonly domid: number | null;
  readonly outcome: BackupOutcome | null;
  /** After a takeover: what became of the guest, once it needs no watching any more. */
  readonly guestEnd: string | null;
  readonly ackWallMs: number | null;
  readonly bytes: number;
}

const stateOfPhase: Readonly<Record<BackupPhase, SessionState>> = {
  connecting: 'connecting',
  seeding: 'seeding',
  standby: 'standby',
  activating: 'activating',
  active: 'activating',
  leaving: 'ending',
  ended: 'ended',
};

function stateOf({ outcome, running, guestEnd }: BackupView): SessionState {
  if (outcome?.kind === 'activated' && guestEnd === null) return 'active';
  if (outcome !== null) return 'ended';
  if (running === null) return 'connecting';
  const state = stateOfPhase[running.state.phase];
  // The link is gone and nobody has decided: the administrator may have to.
  return state === 'standby' && running.state.link === 'closed' ? 'held' : state;
}

function reasonOf({ outcome, running, guestEnd }: BackupView): string | null {
  if (outcome !== null) {
    if (outcome.kind === 'activated') {
      const took = `took over from epoch ${outcome.epoch}: ${outcome.why}`;
      return guestEnd === null ? took : `${took}; since then ${guestEnd}`;
    }
    return 'reason' in outcome ? outcome.reason : null;
  }
  if (running === null) return null;
  const { linkReason, copyProblem, recordProblem } = running.state;
  const parts = [linkReason, copyProblem, recordProblem].filter((part) => part !== null);
  return parts.length === 0 ? null : parts.join('; ');
}

function nextOf(view: BackupView): string[] {
  const { domain, host } = view.hello;
  if (stateOf(view) !== 'held') return [];
  return [
    `tsremus stop ${domain}  # on ${host}, if the guest runs there`,
    `tsremus failover ${domain}  # here, if ${host} is dead`,
  ];
}

/** The facts for the status file. */
export function backupFacts(view: BackupView): StatusFacts {
  const { hello, running, ackWallMs } = view;
  const acked = running?.state.acked ?? -1;
  const { heartbeatTimeoutMs, buffered } = hello.timing;
  return {
    domain: hello.domain,
    domid: view.domid,
    uuid: hello.uuid,
    session: hello.session,
    role: 'backup',
    peer: hello.host,
    state: stateOf(view),
    epoch: acked < 0 ? null : acked,
    ack_time: ackWallMs === null ? null : new Date(ackWallMs).toISOString(),
    ack_age_ms: ackWallMs === null ? null : Math.max(0, Date.now() - ackWallMs),
    late_after_ms: 10 * heartbeatTimeoutMs,
    buffered,
    heartbeat_timeout_ms: heartbeatTimeoutMs,
    seed_percent: null,
    epochs: [],
    bytes_sent: view.bytes,
    reason: reasonOf(view),
    next: nextOf(view),
    outcome: view.outcome?.kind ?? null,
    transport: null,
    guest_paused: false,
  };
}
