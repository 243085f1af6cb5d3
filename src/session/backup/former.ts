/**
 * A copy that a former session of the guest left held on this host. Where a person has to decide
 * over it, and its primary has gone on without it, nobody would ever ask for its promise: until the
 * guest is protected anew. Then its primary is there, with the guest, and that copy may go.
 */
import { mayActivate } from '../../core/permission/tie.ts';
import { sleep, type Time } from '../../host/clock.ts';
import { errorText } from '../../host/errors.ts';
import type { Log } from '../../host/log.ts';
import type { Hello } from '../../link/hello-message.ts';
import type { PromiseResult } from '../../registry/control.ts';
import { type Registry, type SessionEntry, sessionsSinceBoot } from '../../registry/port.ts';

/** For its answer, and then for the end of its process, which destroys the copy, ms. */
const answerMsMax = 5_000;
const endMsMax = 10_000;
const pollMs = 100;

/** The guest that is to be protected anew, and the host that it is on. */
type Anew = Pick<Hello, 'uuid' | 'session' | 'host'>;

/** What a former session left held that waits for a person; null: nothing. */
function formerOf({ uuid, session, host }: Anew, registry: Registry): SessionEntry | null {
  const found = sessionsSinceBoot(registry).find(({ status, liveness }) => {
    if (status.role !== 'backup' || status.uuid !== uuid || status.session === session)
      return false;
    // The copy came from there; of another host's guest nothing follows for it.
    if (liveness !== 'alive' || status.peer !== host || status.state !== 'held') return false;
    const agreed = status.without_witness;
    return agreed !== undefined && !mayActivate(agreed, 'nothing');
  });
  return found ?? null;
}

/**
 * Asks the process that holds such a copy for the promise and waits until it is gone. Whatever else
 * comes of it, the claim that follows says. Never rejects.
 */
export async function dismissFormer(
  anew: Anew,
  { registry, clock, timers }: Time & { readonly registry: Registry },
  log: Log,
): Promise<void> {
  try {
    const former = formerOf(anew, registry);
    if (former === null) return;
    const request = { verb: 'ask', session: former.status.session } as const;
    const options = { silenceMsMax: answerMsMax };
    const { answer } = await registry.request<PromiseResult>(former.socketPath, request, options);
    const kind = answer?.kind ?? 'active';
    log.info(`the copy that session ${former.status.session} left here: ${kind}`);
    if (kind !== 'promised') return;
    const endMs = clock.nowMs() + endMsMax;
    while (registry.refreshed(former)?.liveness === 'alive' && clock.nowMs() < endMs) {
      await sleep(timers, pollMs);
    }
  } catch (error) {
    log.info(`the copy that a former session left here stays: ${errorText(error)}`);
  }
}
