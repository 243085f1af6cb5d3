/** The watch over a guest that took over, by the `tsremus receive` that activated it. */
import { runDirectory } from '../config/settings.ts';
import { errorText } from '../host/errors.ts';
import type { Log } from '../host/log.ts';
import type { DomainConfig, Hypervisor } from '../hypervisor/port.ts';
import { claimWatch } from '../registry/run-directory.ts';
import { watchGuest } from './watch.ts';

/**
 * Watches until the guest is gone, or a session that protects it from here takes the watch over (by
 * SIGTERM, watch-claim.ts). Returns what became of the guest; null while it runs on. Never rejects.
 */
export async function watchCopy(
  xen: Hypervisor,
  guest: { readonly domid: number; readonly uuid: string; readonly name: string },
  config: DomainConfig,
  log: Log,
  restarted: (domid: number) => void,
): Promise<string | null> {
  let isStopped = false;
  process.on('SIGTERM', () => {
    isStopped = true;
  });
  let release: (() => void) | null = null;
  try {
    release = await claimWatch(runDirectory(process.env), guest);
    if (release === null) return null;
    const end = await watchGuest(xen, guest, config, {
      log: (text) => log.info(text),
      stopped: () => isStopped,
      restarted,
      permitted: async () => true,
    });
    log.info(end ?? 'the watch was ended');
    return end;
  } catch (error) {
    // A guest that cannot be booted again, say: nobody runs it, and nobody may believe so.
    const end = `nobody watches it: ${errorText(error)}`;
    log.error(end);
    return end;
  } finally {
    release?.();
  }
}
