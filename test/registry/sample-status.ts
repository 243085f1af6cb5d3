/** A session's status for tests: healthy, and of this very process, unless told otherwise. */

import { ownProcessId } from '../../src/host/process-id.ts';
import type { ResyncStatus } from '../../src/registry/resync-status.ts';
import type { SessionStatus } from '../../src/registry/status.ts';

/** The same of a resync that is half done. */
export function sampleResync(changes: Partial<ResyncStatus> = {}): ResyncStatus {
  const { domain, uuid, peer, started, updated, pid, pid_start, boot_id } = sampleStatus();
  return {
    ...{ schema: 1, domain, uuid, role: 'primary', peer, compare_only: false },
    ...{ bytes: 1_050_000_000, total_bytes: 2_100_000_000, bytes_per_second: 42_000_000 },
    ...{ seconds_left: 25, started, updated, pid, pid_start, boot_id },
    ...changes,
  };
}

export function sampleStatus(changes: Partial<SessionStatus> = {}): SessionStatus {
  const owner = ownProcessId();
  const now = new Date().toISOString();
  return {
    schema: 1,
    domain: 'web1',
    domid: 7,
    uuid: '11111111-2222-3333-4444-555555555555',
    session: 'a1b2c3',
    role: 'primary',
    peer: 'hostb',
    state: 'protected',
    epoch: 42,
    ack_time: now,
    ack_age_ms: 120,
    late_after_ms: 1_000,
    buffered: true,
    heartbeat_timeout_ms: 1_000,
    seed_percent: null,
    epochs: [
      { epoch: 40, pause_ms: 12, bytes: 7_000_000, sent_bytes: 1_400_000, pages: 340 },
      { epoch: 41, pause_ms: 31, bytes: 9_000_000, sent_bytes: 4_000_000, pages: 980 },
      { epoch: 42, pause_ms: 11, bytes: 7_000_000, sent_bytes: 1_300_000, pages: 320 },
    ],
    bytes_sent: 300_000_000,
    bytes_raw: 1_500_000_000,
    codec: 'zstd',
    pages: { unchanged: 100, zero: 5_000, delta: 30_000, raw: 20_000 },
    histograms: null,
    schedule: { mode: 'auto', interval_ms: null, max_overhead_percent: 20 },
    pending_max: 2,
    in_flight: 1,
    memory: {
      max_bytes: 512 * 1024 ** 2,
      queue_bytes: 300 * 1024 ** 2,
      cache_bytes: 130 * 1024 ** 2,
      waiting_bytes: 0,
    },
    stalls: 0,
    stalled_ms: 0,
    degraded: null,
    reason: null,
    next: [],
    outcome: null,
    started: now,
    updated: now,
    pid: owner.pid,
    pid_start: owner.startTicks,
    boot_id: owner.bootId,
    output: null,
    transport: { host: 'hostb', ssh_command: null },
    guest_paused: false,
    ...changes,
  };
}

/** The owner of a session that is certainly dead: our number, but started at another time. */
export function deadOwner(): Pick<SessionStatus, 'pid' | 'pid_start' | 'boot_id'> {
  const owner = ownProcessId();
  return { pid: owner.pid, pid_start: owner.startTicks + 1, boot_id: owner.bootId };
}
