/**
 * Disks that are refused on this host (mark.ts, M5) and whose sessions nobody here knows any more:
 * of whom they are, and who has their other end.
 */
import { type DiskMark, isRefused, type MarkedPeer } from './mark.ts';

/** Those of one guest and session. */
export interface RefusedDisks {
  readonly domain: string;
  readonly uuid: string;
  readonly session: string;
  readonly peer: MarkedPeer;
  /** Where they are on this host. */
  readonly paths: readonly string[];
}

/** With a mark of `role`; `isKnown`: a session that is still to be seen here. */
export function refusedIn(
  marks: readonly DiskMark[],
  role: DiskMark['role'],
  isKnown: (session: string) => boolean,
): readonly RefusedDisks[] {
  const found = new Map<string, RefusedDisks>();
  for (const mark of marks) {
    const { uuid, domain, peer, path } = mark;
    const session = mark.session ?? '';
    if (mark.role !== role || !isRefused(mark) || isKnown(session)) continue;
    // An older version's mark does not say.
    if (domain === null || peer === null) continue;
    const key = `${uuid} ${session}`;
    const paths = [...(found.get(key)?.paths ?? []), path];
    found.set(key, { domain, uuid, session, peer, paths });
  }
  return [...found.values()];
}
