/**
 * What the death of a session's process means for its guest. Pure.
 *
 * The plug of an output buffer stays closed when its process dies, so a buffered guest is mute
 * (held); without buffering it runs on and talks on, alone. Where the host was rebooted, the guest
 * that ran under the session is gone whatever the session said last.
 */

import { adviceLine, adviceLines } from '../texts/advice.ts';
import { hostWord } from '../texts/quote.ts';
import type { Liveness, SessionFacts, SessionState } from './facts.ts';

/** The judgement that replaces what the dead session said. */
export interface Death {
  readonly state: SessionState;
  readonly reason: string;
  readonly next: readonly string[];
}

function rebooted(status: SessionFacts): Death {
  const { domain, role } = status;
  const peer = hostWord(status.peer);
  const here = role === 'primary' ? `${domain} ran here before that` : 'the copy that was here';
  const left = role === 'primary' ? `${here}; ${peer} may have taken over` : `${here} is gone`;
  return {
    state: 'ended',
    reason: `this host was rebooted since: ${left}`,
    next: adviceLines([
      { kind: 'show-there', domain, peer },
      { kind: 'stop-seen', domain },
    ]),
  };
}

function deadPrimary(status: SessionFacts): Death {
  const { domain, pid } = status;
  const peer = hostWord(status.peer);
  const died = `its process ${pid} died`;
  const ask = adviceLine({ kind: 'stop-ask-and-clear', domain, peer });
  if (status.guest_paused) {
    return {
      state: 'held',
      reason: `${died} while the guest was paused: the guest stands still`,
      next: [ask],
    };
  }
  if (status.epoch === null) {
    return {
      state: 'unprotected',
      // The seed may be whole over there: its acknowledgement may have died with the process.
      reason: `${died} before there was a whole copy that it knew of: the guest is here alone`,
      next: [ask],
    };
  }
  if (status.buffered) {
    return {
      state: 'held',
      reason: `${died}: what the guest sends is held since, and ${peer} may have taken over`,
      next: [ask],
    };
  }
  return {
    state: 'unprotected',
    reason: `${died}: the guest runs on here without a copy, unless ${peer} took over`,
    next: [ask, adviceLine({ kind: 'show-there', domain, peer })],
  };
}

function deadBackup(status: SessionFacts): Death {
  const { domain, peer, pid, epoch } = status;
  const clear = adviceLine({ kind: 'stop-clear', domain });
  if (status.copy_built) {
    const whole = `the copy of epoch ${epoch ?? 0} stands here, whole, and nobody lets it run`;
    return {
      state: 'held',
      reason: `its process ${pid} died: ${whole}`,
      next: adviceLines([
        { kind: 'failover-if-dead', domain, peer },
        { kind: 'stop-destroy-copy', domain, peer },
      ]),
    };
  }
  if (status.state === 'activating') {
    return {
      state: 'held',
      reason: `its process ${pid} died while it built the copy, which may be whole or not`,
      next: adviceLines([
        { kind: 'failover-look', domain, peer },
        { kind: 'stop-clear', domain },
      ]),
    };
  }
  return {
    state: 'ended',
    reason: `its process ${pid} died: no copy is held here any more, for it was not built`,
    next: [adviceLine({ kind: 'show-there', domain, peer }), clear],
  };
}

/** What a session's death means; null when its process lives or had done its work. */
export function deathOf(status: SessionFacts, liveness: Liveness): Death | null {
  if (liveness === 'alive') return null;
  if (liveness === 'other-boot') return rebooted(status);
  // Over: the process ended as it should, and its last word stands.
  if (status.outcome !== null || status.state === 'active') return null;
  return status.role === 'primary' ? deadPrimary(status) : deadBackup(status);
}
