/** What `tsremus status` says of a simulated host's session now, and how old that is. */
import { judge, type Verdict } from '../../src/core/health/health.ts';
import type { Side } from './link.ts';
import type { World } from './world.ts';

const nothing: Verdict = {
  state: 'ended',
  level: 'unknown',
  ackAgeMs: null,
  reason: null,
  next: [],
};

/** The verdict on the session of the host, as whoever looks now gets it. */
export function verdictOn(world: World, side: Side): Verdict {
  const host = side === 'a' ? world.a : world.b;
  const role = side === 'a' ? 'primary' : 'backup';
  const entry = host.registry.entries().find(({ status }) => status.role === role);
  if (entry === undefined) return nothing;
  const ageMs = Math.max(0, host.wallMs() - Date.parse(entry.status.updated));
  return judge(entry.status, entry.liveness, ageMs);
}
