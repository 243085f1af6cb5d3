/**
 * What an answer proves, and for how long. Pure.
 *
 *   E1  a guest is destroyed only on an answer that says `running` or `ended`, to a question that
 *       was asked less than one timeout ago, or 5 s where that is longer, by the asker's own clock:
 *       what was true before a reboot, or before a cut, is no evidence
 *   E2  a person's word counts only after a question that was asked since got no answer, or found
 *       no record: whoever answers need not be vouched for
 */
import type { Answer } from '../vocabulary.ts';

/** The other side has the guest, or had it until it ended by itself. */
export function isTakenOver({ kind }: Answer): boolean {
  return kind === 'running' || kind === 'ended';
}

/** The record says that the copy went on: whatever became of it, this guest is the older one. */
export function isActive(answer: Answer): boolean {
  return isTakenOver(answer) || answer.kind === 'absent';
}

/**
 * What is looked up on a busy host takes longer than a short timeout: no answer would ever be of
 * use, and the older guest stay held for ever. No host is rebooted in so little time, ms.
 */
const presentMsMin = 5_000;

/** E1: what was asked then may be acted upon now. */
export function isPresent(askedAtMs: number, nowMs: number, timeoutMs: number): boolean {
  return nowMs - askedAtMs < Math.max(timeoutMs, presentMsMin);
}

/** E2; null: nobody answered. */
export function mayVouch(answer: Answer | null): boolean {
  return answer === null || answer.kind === 'unknown';
}

/** What an answer that permits nothing means, a clause; null: it permits something. */
export function newsOf({ kind }: Answer): string | null {
  switch (kind) {
    case 'activating':
      return 'the backup is activating its copy';
    case 'absent':
      return (
        'the copy took over there, by the record, and no guest is there now (its host was ' +
        'rebooted, say): the disk there is the newer one, the guest here the older'
      );
    case 'unknown':
      return 'the backup has no record of this session, which is no promise';
    case 'promised':
    case 'running':
    case 'ended':
      return null;
  }
}
