/**
 * Carries out what a guest's configuration says of its end (xl.cfg(5), on_poweroff, on_reboot,
 * on_crash), as xl's daemon would: after a takeover, and on the primary, where xl's daemon is gone.
 */

import type { DomainConfig, DomainInfo, Hypervisor } from '../hypervisor/port.ts';
import { bootConfig, type LifeEvent, lifeAction } from '../hypervisor/xen/guest-config.ts';

const pollMs = 500;
/** A guest that reboots faster than this is in a loop; xl waits as long before every boot. */
const rebootPauseMsMin = 2_000;

export type WatchLog = (text: string) => void;

/** What a guest's end led to. */
export type Consequence =
  | { readonly kind: 'restarted'; readonly domid: number }
  | { readonly kind: 'destroyed' }
  /** The domain is left to be looked at. */
  | { readonly kind: 'kept'; readonly action: string };

/** How a guest ended; null while it has not. A suspended one has not. */
export function lifeEventOf(info: DomainInfo): LifeEvent | null {
  if (!info.shutdown || info.shutdownReason === 'suspend' || info.dying) return null;
  switch (info.shutdownReason) {
    case 'reboot':
    case 'crash':
    case 'watchdog':
    case 'soft-reset':
      return info.shutdownReason;
    default:
      return 'poweroff';
  }
}

/** Why the guest is not there to run any more, a clause; null: it is. A suspended one is. */
export function endOf(info: DomainInfo | null): string | null {
  if (info === null || info.dying) return 'the domain is gone';
  if (!info.shutdown || info.shutdownReason === 'suspend') return null;
  return info.shutdownReason ?? 'shutdown';
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/**
 * Does with domain `domid`, which ended by `event`, what its configuration says. `known`: the
 * configuration, where libxl does not tell it any more. Rejects when the guest can be neither
 * removed nor booted.
 */
export async function carryOut(
  xen: Hypervisor,
  domid: number,
  event: LifeEvent,
  known: DomainConfig,
  log: WatchLog,
): Promise<Consequence> {
  // As it is now: memory or devices may have been changed since (xl: reload_domain_config).
  const config = await xen.config(domid).catch(() => known);
  const action = lifeAction(config, event);
  log(`domain ${domid} ended by ${event}; action ${action}`);
  switch (action) {
    case 'restart': {
      await xen.destroy(domid);
      const next = await xen.create(bootConfig(config));
      await xen.unpause(next);
      log(`restarted as domain ${next}`);
      return { kind: 'restarted', domid: next };
    }
    case 'destroy':
      await xen.destroy(domid);
      return { kind: 'destroyed' };
    default:
      // preserve, rename-restart, coredump-*, soft-reset: keep what is there to be looked at.
      return { kind: 'kept', action };
  }
}

export interface WatchHooks {
  readonly log: WatchLog;
  /** Asked at each look; true ends the watch and leaves the guest alone. */
  readonly stopped: () => boolean;
  /** The guest was booted anew under another number. */
  readonly restarted: (domid: number) => void;
  /** Resolves when what the end asks for may be done; with false: it never may. */
  readonly permitted: () => Promise<boolean>;
}

/**
 * Watches a guest until it is gone or preserved. Returns the last word on it; null when the watch
 * was ended and the guest was left alone.
 */
export async function watchGuest(
  xen: Hypervisor,
  guest: { readonly domid: number; readonly uuid: string },
  config: DomainConfig,
  hooks: WatchHooks,
): Promise<string | null> {
  let current = guest.domid;
  let startedMs = performance.now();
  while (!hooks.stopped()) {
    await sleep(pollMs);
    const info = await xen.info(current);
    // A number may come back; the UUID makes it certain.
    if (info === null || info.uuid !== guest.uuid) return 'the domain was destroyed';
    const event = lifeEventOf(info);
    if (event === null) continue;
    if (!(await hooks.permitted())) return null;
    if (performance.now() - startedMs < rebootPauseMsMin) await sleep(rebootPauseMsMin);
    const done = await carryOut(xen, current, event, config, hooks.log);
    if (done.kind === 'destroyed') return `the guest ended by ${event}`;
    if (done.kind === 'kept') {
      return `the guest ended by ${event} and is kept as it is (action ${done.action})`;
    }
    current = done.domid;
    startedMs = performance.now();
    hooks.restarted(current);
  }
  return null;
}
