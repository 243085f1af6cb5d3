/**
 * What a session on this host left to be seen is shown until another session of the guest begins
 * here. The next one in the same role replaces it, for it has the same status file. This is for
 * the other role: a copy that took over and is now protected, a guest whose host holds its copy.
 */
import { sleep, type Time } from '../host/clock.ts';
import { errorText } from '../host/errors.ts';
import type { Log } from '../host/log.ts';
import { isSettled, type Registry, type Role } from './port.ts';

/** A process that watched the guest until now leaves in far less, ms; it writes while it does. */
const leavingMsMax = 10_000;
const pollMs = 100;

/**
 * A session of the guest in `role` has begun: takes settled ones in the other role out of sight, as
 * soon as their processes have gone. One that is not settled stays: it is for `tsremus stop`.
 * Never rejects.
 */
export async function supersede(
  { uuid, role }: { readonly uuid: string; readonly role: Role },
  registry: Registry,
  { clock, timers }: Time,
  log: Log,
): Promise<void> {
  const endMs = clock.nowMs() + leavingMsMax;
  try {
    for (;;) {
      const old = registry
        .sessions()
        .sessions.filter(
          ({ status }) => status.uuid === uuid && status.role !== role && isSettled(status),
        );
      for (const entry of old) {
        if (entry.liveness === 'alive') continue;
        log.info(`${entry.status.state} as ${entry.status.role} is shown no longer`);
        registry.forget(entry);
      }
      if (old.every(({ liveness }) => liveness !== 'alive')) return;
      if (clock.nowMs() > endMs) return;
      await sleep(timers, pollMs);
    }
  } catch (error) {
    log.error(errorText(error));
  }
}
