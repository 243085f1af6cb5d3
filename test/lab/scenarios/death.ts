/** What every trial has in common in which the primary's host dies: variants, figures, checks. */
import type { GuestClocks, GuestKind } from '../lab.ts';
import { peek, sessionLog } from '../session.ts';
import type { Trial } from './trial.ts';

export interface Variant {
  readonly kind: GuestKind;
  /** Pages rewritten per second. */
  readonly rate: number;
}

/** All kinds and rates; the first two stand for the rest in CI. */
const variants: readonly Variant[] = [
  { kind: 'pvh', rate: 2000 },
  { kind: 'pv', rate: 2000 },
  { kind: 'pvh', rate: 0 },
  { kind: 'pv', rate: 20_000 },
  { kind: 'pvh', rate: 20_000 },
  { kind: 'pv', rate: 0 },
];

/** Six trials are all variants once. */
export function variantOf(index: number): Variant {
  return variants[index % variants.length] as Variant;
}

/** Waits for the survivor's first answer. */
export async function firstAnswer(trial: Trial, guest: string, killedMs: number) {
  const answer = await trial.firstAnswer(guest);
  trial.measure('kill_to_answer_ms', answer.atMs - killedMs);
  return answer;
}

/** The newest epoch of which the primary says that it was acknowledged: it must not be lost. */
export async function acknowledgedEpoch(trial: Trial, guest: string): Promise<number> {
  return (await peek(trial.lab, 'a', guest, 'primary'))?.epoch ?? 0;
}

/** The copy was activated from that epoch or from a later one. */
export async function checkActivatedFrom(trial: Trial, guest: string, least: number) {
  const copy = await peek(trial.lab, 'b', guest, 'backup');
  const epoch = copy?.epoch ?? -1;
  trial.check(`a copy of epoch ${least} or later, which was acknowledged`, epoch >= least, epoch);
}

/**
 * What the guest lived through on A after the epoch it was activated from, in its own time, as far
 * as anybody heard of it. With the buffer nobody hears of any of it.
 */
export function checkLoss(
  trial: Trial,
  guest: string,
  killedMs: number,
  { buffered }: { readonly buffered: boolean },
): void {
  const last = trial.spoken(guest, 'a').at(-1);
  const first = trial.spoken(guest, 'b')[0];
  if (last === undefined || first === undefined) {
    trial.check('beacons from both hosts, one after the other', false, { last, first });
    return;
  }
  const lostMs = (last.counter - first.counter) * 10;
  trial.measure('kill_to_beacon_ms', first.timeMs - killedMs);
  trial.measure('guest_time_lost_ms', Math.max(0, lostMs));
  if (buffered) trial.check("nothing lost of the guest's time", lostMs <= 0, lostMs);
}

const activating = /record standby -> activating/;

/** When the backup decided to go on, by its log: what its guest says comes later. */
export async function decidedMs(trial: Trial, guest: string): Promise<number> {
  const log = await sessionLog(trial.lab, 'b', guest, 'backup');
  const timeMs = log.find((line) => activating.test(line.text))?.timeMs;
  if (timeMs === undefined) throw new Error(`no decision in the backup's log of ${guest}`);
  return timeMs;
}

/**
 * What became of the guest's clocks: how much further than the time outside each of them went
 * between the two looks. What a clock stood still for counts against it.
 */
export function measureClocks(trial: Trial, before: GuestClocks, after: GuestClocks): void {
  const outsideMs = after.outsideMs - before.outsideMs;
  const clocks = ['realtime', 'monotonic', 'boottime'] as const;
  for (const clock of clocks) {
    const passedMs = after[`${clock}Ms`] - before[`${clock}Ms`];
    trial.measure(`${clock}_ahead_ms`, passedMs - outsideMs);
  }
  trial.measure('clocks_within_ms', before.withinMs + after.withinMs);
  trial.say(`driven by ${before.source}, then by ${after.source}`);
}

/** Where the time went, by the backup's log. */
export async function measureSteps(trial: Trial, guest: string, killedMs: number): Promise<void> {
  const log = await sessionLog(trial.lab, 'b', guest, 'backup');
  const at = (pattern: RegExp) => log.find((line) => pattern.test(line.text))?.timeMs;
  const detected = at(activating);
  const running = at(/^running/);
  if (detected !== undefined) trial.measure('kill_to_detection_ms', detected - killedMs);
  if (detected !== undefined && running !== undefined) {
    trial.measure('detection_to_running_ms', running - detected);
  }
}
