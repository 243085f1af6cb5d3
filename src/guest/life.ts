/**
 * What becomes of a guest that ended by itself: what its configuration says of its end
 * (xl.cfg(5), on_poweroff, on_reboot, on_crash) is carried out, as xl's daemon would, unless
 * somebody else does.
 */
import { sleep, type Time } from '../host/clock.ts';
import { errorText } from '../host/errors.ts';
import type { Log } from '../host/log.ts';
import type { GuestInfo, GuestRef, GuestSpec, Hypervisor, LifeEvent } from '../hypervisor/port.ts';

/** Says what happens, for the log. */
export type Say = (text: string) => void;

/** What a guest's end led to. */
export type Consequence =
  | { readonly kind: 'restarted'; readonly guest: GuestRef }
  | { readonly kind: 'destroyed' }
  /** The domain is left to be looked at. */
  | { readonly kind: 'kept'; readonly action: string };

/**
 * Does with a guest that ended by `event` what its configuration says. `known`: what it was made
 * of, where the hypervisor does not tell it any more. `ending`: it is not booted again; what of
 * that fails is only said. Rejects when the guest can be neither removed nor booted.
 */
export async function carryOut(
  hypervisor: Hypervisor,
  guest: GuestRef,
  event: LifeEvent,
  known: GuestSpec,
  { say, ending }: { readonly say: Say; readonly ending?: () => Promise<void> },
): Promise<Consequence> {
  // As it is now: memory or devices may have been changed since (xl: reload_domain_config).
  const spec = await hypervisor.spec(guest).catch(() => known);
  const action = spec.onEnd[event];
  const word = /^keep \((.*)\)$/.exec(action)?.[1] ?? action;
  say(`domain ${guest.id} ended by ${event}; action ${word}`);
  if (action !== 'restart') {
    await ending?.().catch((error: unknown) => say(`its end is not noted: ${errorText(error)}`));
  }
  switch (action) {
    case 'restart': {
      await hypervisor.destroy(guest);
      const next = await hypervisor.boot(spec);
      await hypervisor.unpause(next);
      say(`restarted as domain ${next.id}`);
      return { kind: 'restarted', guest: next };
    }
    case 'destroy':
      await hypervisor.destroy(guest);
      return { kind: 'destroyed' };
    default:
      return { kind: 'kept', action: word };
  }
}

/** What became of the guest. */
export interface GuestEnd {
  /** A clause for the administrator. */
  readonly text: string;
  /** The domain that runs now, or is kept; null: none. */
  readonly guest: GuestRef | null;
  /** True when it runs on, and nothing of its end is left to be done. */
  readonly isRunning: boolean;
}

/** A guest whose end is to be seen to. */
export interface EndedGuest {
  readonly ref: GuestRef;
  readonly name: string;
  readonly spec: GuestSpec;
}

export interface LifePorts extends Time {
  readonly hypervisor: Hypervisor;
  readonly log: Log;
}

const othersMsMax = 20_000;
const pollMs = 500;

const gone: GuestEnd = { text: 'its domain is gone', guest: null, isRunning: false };

/** The guest under another number, booted anew by somebody else; else it is gone. */
async function elsewhere(hypervisor: Hypervisor, { ref, name }: EndedGuest): Promise<GuestEnd> {
  const found = await hypervisor.find(name);
  const info = found === null ? null : await hypervisor.info(found);
  if (found?.uuid !== ref.uuid || !isThere(info)) return gone;
  const text = `somebody else booted it anew, as domain ${found.id}, without a copy`;
  return { text, guest: found, isRunning: true };
}

function isThere(info: GuestInfo | null): info is GuestInfo {
  return info !== null && info.state !== 'dying';
}

/** Waits for the other watcher to do its work. */
async function leave(ports: LifePorts, guest: EndedGuest, who: string): Promise<GuestEnd> {
  const { hypervisor, clock, timers } = ports;
  const endMs = clock.nowMs() + othersMsMax;
  while (isThere(await hypervisor.info(guest.ref))) {
    if (clock.nowMs() > endMs) {
      return { text: `it is left to ${who}`, guest: guest.ref, isRunning: false };
    }
    await sleep(timers, pollMs);
  }
  return elsewhere(hypervisor, guest);
}

/**
 * The permission was given: carries out what the guest's end asks for; with -e (`wait` false)
 * nobody does. Never rejects.
 */
export async function settleGuestEnd(
  ports: LifePorts,
  guest: EndedGuest,
  wait: boolean,
): Promise<GuestEnd> {
  const { hypervisor, log } = ports;
  const { ref } = guest;
  try {
    const info = await hypervisor.info(ref);
    if (!isThere(info)) return await elsewhere(hypervisor, guest);
    if (info.end === null) return { text: 'its domain runs', guest: ref, isRunning: true };
    if (!wait) return { text: 'its domain is left as it is (-e)', guest: ref, isRunning: false };
    const who = hypervisor.otherWatcher(ref, guest.name);
    if (who !== null) return await leave(ports, guest, who);
    const say = (text: string) => log.info(text);
    const done = await carryOut(hypervisor, ref, info.end, guest.spec, { say });
    switch (done.kind) {
      case 'restarted': {
        const text = `it was booted anew, as domain ${done.guest.id}, without a copy`;
        return { text, guest: done.guest, isRunning: true };
      }
      case 'destroyed':
        return { ...gone, text: 'its domain was destroyed, as configured' };
      case 'kept':
        return { text: `its domain is kept (action ${done.action})`, guest: ref, isRunning: false };
    }
  } catch (error) {
    log.error(errorText(error));
    return { text: `nobody runs it now: ${errorText(error)}`, guest: null, isRunning: false };
  }
}
