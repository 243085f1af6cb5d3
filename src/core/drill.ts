/**
 * A drill: the session of the primary is stopped as if its host had died, until the backup must
 * have taken over. What it says beforehand, whether it is safe, and what came of it. Pure.
 */
import type { Level } from './health/health.ts';
import type { Agreement } from './permission/tie.ts';
import { hostWord } from './texts/quote.ts';
import { formatMs } from './units.ts';

/** Of the session that is to be drilled (src/registry/status.ts), as status judges it. */
export interface DrillFacts {
  readonly domain: string;
  readonly peer: string;
  readonly state: string;
  readonly level: Level;
  readonly reason: string | null;
  readonly buffered: boolean;
  readonly agreement: Agreement;
  readonly disksLeft: readonly string[];
  readonly timeoutMs: number;
}

/** A backup finds its own stall when it next wakes, three beats later at most (backupWakeAtMs). */
const slackShare = 0.5;
const slackMs = 500;
/** A service manager's watchdog ends a session that does not move for 30 s (tsremus@.service). */
const mutedMsMax = 25_000;

/** For how long the session is stopped: by then the backup has found the silence, ms. */
export function mutedMs({ timeoutMs }: Pick<DrillFacts, 'timeoutMs'>): number {
  return Math.ceil((1 + slackShare) * timeoutMs) + slackMs;
}

/** Why a drill is not safe, a clause; null: it is. */
export function drillRefusal(facts: DrillFacts): string | null {
  const { state, level, reason, buffered, agreement, disksLeft, peer } = facts;
  const other = hostWord(peer);
  if (state !== 'protected') return `it is ${state}, not protected`;
  if (level !== 'ok') return `it is not well: ${reason ?? level}`;
  if (!buffered) return 'its output is not buffered (-n): it would run twice';
  if (disksLeft.length > 0) {
    return `${disksLeft.join(', ')} would be left behind (-d), as old as on ${other}`;
  }
  if (agreement !== 'backup') return `${other} waits for a person (--without-witness=${agreement})`;
  if (mutedMs(facts) > mutedMsMax) {
    const after = formatMs(facts.timeoutMs);
    return `${other} takes over after ${after} only: a drill is for 16 s at most`;
  }
  return null;
}

/** What is about to happen, a line each. */
export function drillPlan({ domain, peer, timeoutMs }: DrillFacts, isBack: boolean): string[] {
  const other = hostWord(peer);
  return [
    `drill of ${domain}: as if this host died now`,
    `  its session here is stopped for ${formatMs(mutedMs({ timeoutMs }))}: nothing leaves ${domain}`,
    `  ${other} takes over after ${formatMs(timeoutMs)}: ${domain} goes on there, connections too`,
    '  what it did since its last acknowledged checkpoint is lost; nobody has seen any of it',
    `  ${domain} is destroyed here once this host hears that it runs there`,
    isBack
      ? `  then it is protected back, from ${other} to this host`
      : `  then it runs on ${other}, unprotected`,
  ];
}

/** What came of it. `afterMs`: since its session was stopped. */
export type DrillEnd =
  | { readonly kind: 'took-over'; readonly afterMs: number }
  /** The backup did nothing, and the session goes on. */
  | { readonly kind: 'goes-on' }
  /** The session ended in another way, or did not move on in time. */
  | { readonly kind: 'other'; readonly how: string };

export interface Verdict {
  readonly passed: boolean;
  /** A sentence without final stop. */
  readonly text: string;
}

/** `limitMs`: as long as a guest may stand still. */
export function drillVerdict(
  { domain, peer }: Pick<DrillFacts, 'domain' | 'peer'>,
  end: DrillEnd,
  limitMs: number,
): Verdict {
  const other = hostWord(peer);
  switch (end.kind) {
    case 'took-over': {
      const passed = end.afterMs <= limitMs;
      const than = passed ? 'within' : 'past';
      const when = `after ${formatMs(end.afterMs)} at most`;
      const limit = `${than} the limit of ${formatMs(limitMs)}`;
      return { passed, text: `${domain} ran on ${other} ${when}, ${limit}` };
    }
    case 'goes-on':
      return {
        passed: false,
        text: `${other} did not take over: ${domain} is protected as before`,
      };
    case 'other':
      return { passed: false, text: `${other} did not take over: ${end.how}` };
  }
}
