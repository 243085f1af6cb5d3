/** What `tsremus status` would say of a simulated side: the same words, the same judgement. */
import type { BackupState } from '../../src/core/backup/backup.ts';
import {
  backupMachineFacts,
  type MachineFacts,
  primaryMachineFacts,
} from '../../src/core/health/facts.ts';
import { judge, type Verdict } from '../../src/core/health/health.ts';
import type { PrimaryState } from '../../src/core/primary/primary.ts';

function verdictOf(facts: MachineFacts, isAlive: boolean, guestPaused: boolean): Verdict {
  const session = {
    domain: 'g1',
    peer: 'the other host',
    pid: 1,
    outcome: null,
    next: [],
    degraded: null,
  };
  const all = { ...session, ...facts, guest_paused: guestPaused };
  return judge(all, isAlive ? 'alive' : 'dead', 0);
}

/** A session whose machine has not ended; its process may have. */
export function primaryVerdict(state: PrimaryState, nowMs: number, isAlive: boolean): Verdict {
  const facts = primaryMachineFacts(state, nowMs, state.paused);
  return verdictOf(facts, isAlive, state.paused);
}

export function backupVerdict(state: BackupState, nowMs: number): Verdict {
  return verdictOf(backupMachineFacts(state, nowMs), true, false);
}
