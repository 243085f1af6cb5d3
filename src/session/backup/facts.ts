/** What the backup's session says of itself, from the machine's state. */
import type { BackupOutcome } from '../../core/backup/types.ts';
import {
  backupMachineFacts,
  type MachineFacts,
  type SessionState,
} from '../../core/health/facts.ts';
import { adviceLines } from '../../core/texts/advice.ts';
import { adviceOnHeldCopy } from '../../core/texts/states.ts';
import { formatBytes } from '../../core/units.ts';
import type { GuestRef } from '../../hypervisor/port.ts';
import type { Hello } from '../../link/hello-message.ts';
import type { StatusFacts } from '../../registry/status-writer.ts';
import type { StreamAgreement } from '../../stream/agreement.ts';
import type { MemoryBudget } from '../../stream/budget.ts';
import type { Copy } from './copy.ts';
import type { BackupSession } from './session.ts';

export interface BackupView {
  /** By the session's own clock. */
  readonly nowMs: number;
  readonly wall: Date;
  /** Where the record is. */
  readonly stateDirectory: string;
  readonly hello: Hello;
  readonly running: BackupSession | null;
  /** Why a takeover could not be recorded; null: it could. */
  readonly trialProblem: string | null;
  readonly guest: GuestRef | null;
  readonly outcome: BackupOutcome | null;
  /** After a takeover: what became of the guest, once it needs no watching any more. */
  readonly guestEnd: string | null;
  /** False with -e: nobody sees to the guest's own end. */
  readonly watch: boolean;
  readonly ackWall: Date | null;
  /** Disks that are left alone, as a person knows them. */
  readonly disksLeft: readonly string[];
  readonly bytes: number;
  readonly rawBytes: number;
  /** The disk that the primary waits for, by its name. */
  readonly diskBehind: string | null;
  readonly copy: Copy | null;
  readonly stream: StreamAgreement;
  readonly budget: MemoryBudget;
}

/** What the machine says, or is said in its place before it runs and after it ended. */
function machineFacts(view: BackupView): MachineFacts {
  const { hello, running, outcome, guestEnd } = view;
  const facts: MachineFacts =
    running === null
      ? {
          role: 'backup',
          state: 'connecting',
          epoch: null,
          ack_age_ms: null,
          late_after_ms: 10 * hello.timing.heartbeatTimeoutMs,
          buffered: hello.timing.buffered,
          reason: null,
        }
      : backupMachineFacts(running.state, view.nowMs);
  if (outcome === null) return { ...facts, reason: lacking(running) ?? facts.reason };
  if (outcome.kind === 'activated') {
    const took = `took over from epoch ${outcome.epoch}: ${outcome.why}`;
    if (guestEnd === null) return { ...facts, state: 'active', reason: took };
    return { ...facts, state: 'ended', reason: `${took}; since then ${guestEnd}` };
  }
  return { ...facts, state: 'ended', reason: 'reason' in outcome ? outcome.reason : null };
}

/** Why the copy is not built yet; null: nothing is lacking. */
function lacking(running: BackupSession | null): string | null {
  const lacks = running?.lacks ?? [];
  if (lacks.length === 0) return null;
  return `the copy is kept until it can be built: ${lacks.map(({ what }) => what).join('; ')}`;
}

function nextOf(view: BackupView, state: SessionState): string[] {
  const { hello, running, stateDirectory } = view;
  const lacks = running?.lacks ?? [];
  if (lacks.length > 0) return lacks.map(({ advice }) => advice);
  const { domain, host } = hello;
  if (state !== 'held') {
    const isDegraded = view.trialProblem !== null;
    return isDegraded ? adviceLines([{ kind: 'free-record', dir: stateDirectory }]) : [];
  }
  const full = (running?.state.recordProblem ?? null) !== null;
  return [
    ...(full ? adviceLines([{ kind: 'free-record', dir: stateDirectory }]) : []),
    ...adviceLines(adviceOnHeldCopy(domain, host, hello.timing.withoutWitness)),
  ];
}

function diskBehindText({ diskBehind, outcome }: BackupView): string | null {
  if (diskBehind === null || outcome !== null) return null;
  return `behind: disk ${diskBehind} takes less than comes, and the primary waits`;
}

/** What the stream is and how it moves. */
function streamFacts(view: BackupView) {
  const { bytes, rawBytes, copy, stream, budget, outcome, trialProblem } = view;
  const waiting = copy?.queuedBytes ?? 0;
  const isBehind = outcome === null && copy?.isFull === true;
  const behind = isBehind
    ? `behind: ${formatBytes(waiting)} wait to be applied, and the primary waits`
    : diskBehindText(view);
  return {
    epochs: [],
    bytes_sent: bytes,
    bytes_raw: rawBytes,
    codec: stream.codec,
    pages: null,
    histograms: null,
    schedule: null,
    pending_max: null,
    in_flight: null,
    memory: {
      max_bytes: budget.maxBytes,
      queue_bytes: budget.queueBytes,
      cache_bytes: budget.cacheBytes,
      waiting_bytes: waiting,
    },
    stalls: 0,
    stalled_ms: 0,
    degraded:
      trialProblem === null ? behind : `unrecorded: a takeover could not be: ${trialProblem}`,
  };
}

/** The facts for the status file. */
export function backupFacts(view: BackupView): StatusFacts {
  const { hello, ackWall, wall } = view;
  const facts = machineFacts(view);
  return {
    ...facts,
    domain: hello.domain,
    domid: view.guest?.id ?? null,
    uuid: hello.uuid,
    session: hello.session,
    peer: hello.host,
    ack_time: ackWall?.toISOString() ?? null,
    ack_age_ms: ackWall === null ? null : Math.max(0, wall.getTime() - ackWall.getTime()),
    heartbeat_timeout_ms: hello.timing.heartbeatTimeoutMs,
    without_witness: hello.timing.withoutWitness,
    ...(view.disksLeft.length === 0 ? {} : { disks_left: view.disksLeft }),
    seed_percent: null,
    ...streamFacts(view),
    next: nextOf(view, facts.state),
    outcome: view.outcome?.kind ?? null,
    output: null,
    transport: null,
    guest_paused: false,
    watch: view.watch,
  };
}
