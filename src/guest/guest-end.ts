/**
 * A protected guest ended by itself, and the permission for that was given: what its
 * configuration says of such an end is carried out, unless somebody else does.
 */
import { errorText } from '../host/errors.ts';
import type { Log } from '../host/log.ts';
import type { DomainInfo, Hypervisor } from '../hypervisor/port.ts';
import { type OtherWatch, otherWatcher } from '../hypervisor/xen/other-watcher.ts';
import type { Guest } from '../session/primary/preflight.ts';
import { carryOut, lifeEventOf } from './watch.ts';

/** What became of the guest. */
export interface GuestEnd {
  /** A clause for the administrator. */
  readonly text: string;
  /** The domain that runs now, or is kept; null: none. */
  readonly domid: number | null;
  /** True when it runs on, and nothing of its end is left to be done. */
  readonly isRunning: boolean;
}

const othersMsMax = 20_000;
const pollMs = 500;

const gone: GuestEnd = { text: 'its domain is gone', domid: null, isRunning: false };

/** The guest under another number, booted anew by somebody else; else it is gone. */
async function elsewhere(xen: Hypervisor, guest: Guest): Promise<GuestEnd> {
  const domid = await xen.find(guest.name);
  const info = domid === null ? null : await xen.info(domid);
  if (domid === null || info === null || info.uuid !== guest.uuid || info.dying) return gone;
  const text = `somebody else booted it anew, as domain ${domid}, without a copy`;
  return { text, domid, isRunning: true };
}

function isThere(info: DomainInfo | null, guest: Guest): info is DomainInfo {
  return info !== null && info.uuid === guest.uuid && !info.dying;
}

/** Waits for the other watcher to do its work. */
async function leave(xen: Hypervisor, guest: Guest, who: string): Promise<GuestEnd> {
  const end = performance.now() + othersMsMax;
  while (isThere(await xen.info(guest.domid), guest)) {
    if (performance.now() > end) {
      return { text: `it is left to ${who}`, domid: guest.domid, isRunning: false };
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  return elsewhere(xen, guest);
}

/** Carries out what the guest's end asks for; with -e (`wait` false) nobody does. Never rejects. */
export async function settleGuestEnd(
  xen: Hypervisor,
  guest: Guest,
  wait: boolean,
  log: Log,
  others: OtherWatch = otherWatcher,
): Promise<GuestEnd> {
  const { domid } = guest;
  try {
    const info = await xen.info(domid);
    if (!isThere(info, guest)) return await elsewhere(xen, guest);
    const event = lifeEventOf(info);
    if (event === null) return { text: 'its domain runs', domid, isRunning: true };
    if (!wait) return { text: 'its domain is left as it is (-e)', domid, isRunning: false };
    const who = others(guest);
    if (who !== null) return await leave(xen, guest, who);
    const done = await carryOut(xen, domid, event, guest.config, (text) => log.info(text));
    switch (done.kind) {
      case 'restarted': {
        const text = `it was booted anew, as domain ${done.domid}, without a copy`;
        return { text, domid: done.domid, isRunning: true };
      }
      case 'destroyed':
        return { ...gone, text: 'its domain was destroyed, as configured' };
      case 'kept':
        return { text: `its domain is kept (action ${done.action})`, domid, isRunning: false };
    }
  } catch (error) {
    log.error(errorText(error));
    return { text: `nobody runs it now: ${errorText(error)}`, domid: null, isRunning: false };
  }
}
