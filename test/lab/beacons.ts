/**
 * Beacons of the guests, captured outside both hosts, each with the host whose wire it came over.
 * This is the check that no two hosts ever speak for one guest.
 */
import { hangMs, LabError } from './command.ts';
import { startInside } from './inside.ts';
import { type HostId, hostIds, hosts } from './settings.ts';

export interface Beacon {
  /** Milliseconds of Date.now(), taken by the kernel when the frame came. */
  readonly timeMs: number;
  readonly host: HostId;
  readonly guest: string;
  readonly boot: string;
  readonly sequence: number;
  readonly counter: number;
}

/** A running capture on both hosts' taps. */
export interface BeaconCapture {
  /** All beacons so far, in order of arrival per host. */
  readonly beacons: readonly Beacon[];
  /** Ends the capture and returns everything it saw. */
  stop(): Promise<readonly Beacon[]>;
  /** Waits for the first beacon after now (or already seen) that the test accepts. */
  waitFor(accept: (beacon: Beacon) => boolean, timeoutMs?: number): Promise<Beacon>;
}

/** Starts capturing; returns when it certainly misses nothing any more. */
export async function captureBeacons(): Promise<BeaconCapture> {
  const taps = hostIds.map((id) => `${id}=${hosts[id].lanTap}`);
  const beacons: Beacon[] = [];
  const listeners = new Set<(beacon: Beacon) => void>();
  const program = await startInside(['capture', ...taps], (line) => {
    const beacon = parseBeacon(line);
    beacons.push(beacon);
    for (const listener of listeners) listener(beacon);
  });
  return {
    beacons,
    stop: async () => {
      await program.stop();
      return beacons;
    },
    waitFor: (accept, timeoutMs = hangMs) => firstBeacon(beacons, listeners, accept, timeoutMs),
  };
}

function firstBeacon(
  seen: readonly Beacon[],
  listeners: Set<(beacon: Beacon) => void>,
  accept: (beacon: Beacon) => boolean,
  timeoutMs: number,
): Promise<Beacon> {
  const already = seen.find(accept);
  if (already) return Promise.resolve(already);
  return new Promise((resolve, reject) => {
    const listener = (beacon: Beacon) => {
      if (!accept(beacon)) return;
      clearTimeout(timer);
      listeners.delete(listener);
      resolve(beacon);
    };
    const timer = setTimeout(() => {
      listeners.delete(listener);
      reject(new LabError(`no such beacon within ${timeoutMs} ms`));
    }, timeoutMs);
    listeners.add(listener);
  });
}

function parseBeacon(line: string): Beacon {
  const [time, host, guest, boot, sequence, counter] = line.split(' ');
  return {
    timeMs: Number(time),
    host: host as HostId,
    guest: guest ?? '',
    boot: boot ?? '',
    sequence: Number(sequence),
    counter: Number(counter),
  };
}

/** A time at which both hosts spoke for one guest, or the guest's past came back to life. */
export interface TwoSpeakers {
  readonly guest: string;
  readonly first: Beacon;
  readonly second: Beacon;
}

/**
 * The changes of speaker that must not be: host X, then host Y, then X again for the same boot of
 * the same guest. One change is a failover; a second one means that both were alive. Planned
 * moves back and forth must be captured one by one.
 */
export function findTwoSpeakers(beacons: readonly Beacon[]): TwoSpeakers[] {
  const found: TwoSpeakers[] = [];
  const last = new Map<string, Beacon>();
  const left = new Map<string, Set<HostId>>();
  for (const beacon of [...beacons].sort((x, y) => x.timeMs - y.timeMs)) {
    const key = `${beacon.guest} ${beacon.boot}`;
    const before = last.get(key);
    const gone = left.get(key) ?? new Set<HostId>();
    if (before && before.host !== beacon.host) gone.add(before.host);
    if (before && gone.has(beacon.host)) {
      found.push({ guest: beacon.guest, first: before, second: beacon });
    }
    left.set(key, gone);
    last.set(key, beacon);
  }
  return found;
}

/** Silences of a guest longer than `overMs`, as a client outside would see them. */
export function findGaps(
  beacons: readonly Beacon[],
  guest: string,
  overMs: number,
): { readonly fromMs: number; readonly lengthMs: number }[] {
  const times = beacons.filter((beacon) => beacon.guest === guest).map((beacon) => beacon.timeMs);
  times.sort((x, y) => x - y);
  return times
    .slice(1)
    .map((time, i) => ({ fromMs: times[i] as number, lengthMs: time - (times[i] as number) }))
    .filter((gap) => gap.lengthMs > overMs);
}
