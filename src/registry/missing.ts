/**
 * Declared guests (guests.d) for which there is no session on this host. Pure.
 *
 * A session of either role speaks for its guest, however it is or ended: it is judged itself. So
 * the file may be on both hosts: after a takeover the one that lost has the session that says so,
 * and when the guest is protected back this host has its copy.
 */
import { adviceLines } from '../core/texts/advice.ts';
import { missingText } from '../core/texts/declared.ts';
import type { SessionStatus } from './status.ts';

/** What is known of a declared guest beside its name. */
export interface DeclaredGuest {
  readonly domain: string;
  /** Where it is declared. */
  readonly file: string;
  /** Where its copy is to be; null: its file does not say. */
  readonly peer: string | null;
  /** Why its file cannot be used; null: it can. */
  readonly wrong: string | null;
}

export interface MissingGuest extends Pick<DeclaredGuest, 'domain' | 'file' | 'peer'> {
  readonly level: 'critical';
  readonly reason: string;
  readonly next: readonly string[];
}

/** Of `names` those that no session has. */
export function withoutSession(
  names: readonly string[],
  sessions: readonly { readonly status: Pick<SessionStatus, 'domain'> }[],
): readonly string[] {
  const known = new Set(sessions.map(({ status }) => status.domain));
  return names.filter((name) => !known.has(name));
}

/** A declared guest that has no session here, as it is shown. */
export function missingGuest({ domain, file, peer, wrong }: DeclaredGuest): MissingGuest {
  const next = adviceLines([
    { kind: 'protect-declared', domain, peer },
    ...(peer === null ? [] : [{ kind: 'show-if-there', domain, peer } as const]),
  ]);
  return { domain, file, peer, level: 'critical', reason: missingText(file, wrong), next };
}
