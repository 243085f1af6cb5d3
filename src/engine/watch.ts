/**
 * Watches a guest after its activation as xl's daemon would: on power-off, reboot or crash it does
 * what the guest's configuration says (xl.cfg(5), on_poweroff, on_reboot, on_crash).
 */
import { type LifeEvent, lifeAction } from '../xen/guest-config.ts';
import type { DomainConfig, DomainInfo, Hypervisor } from '../xen/hypervisor.ts';

const pollMs = 500;
/** A guest that reboots faster than this is in a loop; xl has the same guard. */
const rebootPauseMsMin = 2_000;

export type WatchLog = (text: string) => void;

function eventOf(info: DomainInfo): LifeEvent {
  switch (info.shutdownReason) {
    case 'reboot':
    case 'crash':
    case 'watchdog':
    case 'soft-reset':
    case 'poweroff':
      return info.shutdownReason;
    default:
      return 'poweroff';
  }
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Destroys the old domain and boots a new one from the same configuration. */
async function restart(xen: Hypervisor, domid: number, config: DomainConfig): Promise<number> {
  await xen.destroy(domid);
  const next = await xen.create(config);
  await xen.unpause(next);
  return next;
}

/**
 * Follows domain `domid` until it is gone or preserved. Returns the last word on it. `stopped`
 * is asked at each look; true ends the watch and leaves the guest alone.
 */
export async function watchGuest(
  xen: Hypervisor,
  domid: number,
  config: DomainConfig,
  log: WatchLog,
  stopped: () => boolean,
): Promise<string> {
  let current = domid;
  let startedMs = performance.now();
  while (!stopped()) {
    await sleep(pollMs);
    const info = await xen.info(current);
    if (info === null) return 'the domain was destroyed';
    if (!info.shutdown || info.shutdownReason === 'suspend' || info.dying) continue;
    const event = eventOf(info);
    const action = lifeAction(config, event);
    log(`domain ${current} ended by ${event}; action ${action}`);
    switch (action) {
      case 'restart':
        if (performance.now() - startedMs < rebootPauseMsMin) await sleep(rebootPauseMsMin);
        current = await restart(xen, current, config);
        startedMs = performance.now();
        log(`restarted as domain ${current}`);
        break;
      case 'destroy':
        await xen.destroy(current);
        return `the guest ended by ${event}`;
      default:
        // preserve, rename-restart, coredump-*, soft-reset: keep what is there to be looked at.
        return `the guest ended by ${event} and is kept as it is (action ${action})`;
    }
  }
  return 'the watch was ended';
}
