/** The link between the hosts cut both ways and one way, shorter and longer than the timeout. */
import {
  type CutDirection,
  type CutTimes,
  cutFor,
  cut as cutNow,
  findGaps,
  type GuestState,
  guestState,
  heal,
  heartbeatTimeoutMs,
  sleep,
} from '../lab.ts';
import { peek, protectExit, sessionLog, waitForEpoch, waitForState } from '../session.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';

/**
 * Long enough that a host of a busy machine seldom stands still for what a short cut leaves of it.
 * Where one does, the backup has heard nothing for a whole timeout and takes over, rightly: then
 * the trial is void and begins again (trial.ts).
 */
export const cutTimeoutMs = () => heartbeatTimeoutMs(3000);
/** A primary that hears nothing asks for the promise only later than any of these cuts lasts. */
export const cutArgs = () => ['--heartbeat-timeout', String(cutTimeoutMs()), '--hold', '600000'];

interface Cut {
  readonly direction: CutDirection;
  readonly share: number;
}

/**
 * Cuts that must end in nothing but a delay. From B to A even twice the timeout: B hears A all the
 * time, so it must not take over; A hears nothing and waits.
 */
const harmless: readonly Cut[] = [
  ...(['a-b', 'b-a', 'both'] as const).flatMap((direction) =>
    [0.3, 0.8].map((share) => ({ direction, share })),
  ),
  { direction: 'b-a', share: 2 },
];

const nameOf = ({ direction, share }: Cut) => `${direction}_${share}`;

/** Of an emulated host a heartbeat may be late just now. */
const holdsCopy = (state: unknown) => state === 'standby' || state === 'late';

/** Everything as before the cut, an epoch or two later. */
async function checkUnharmed(trial: Trial, guest: string, cut: Cut, before: number) {
  const what = `after the cut ${direction(cut)}`;
  await waitForEpoch(trial.lab, 'a', guest, before + 2);
  // One epoch that takes long under emulation is `late` for a moment, cut or no cut.
  const entry = await waitForState(trial.lab, 'a', guest, 'primary', ['protected']).catch(
    () => undefined,
  );
  trial.check(`${what}: state on hosta "protected"`, entry !== undefined, 'another state');
  if (entry === undefined) return;
  trial.checkEqual(`${what}: guest paused`, entry.guest_paused, false);
  const copy = await peek(trial.lab, 'b', guest, 'backup');
  trial.check(`${what}: hostb holds a copy`, holdsCopy(copy?.state), copy?.state);
  trial.checkEqual(`${what}: beacons from hostb`, trial.spoken(guest, 'b').length, 0);
}

const direction = (cut: Cut) => `${cut.direction} of ${cut.share * cutTimeoutMs()} ms`;

async function cutOnce(trial: Trial, guest: string, cut: Cut): Promise<void> {
  const before = (await peek(trial.lab, 'a', guest, 'primary'))?.epoch ?? 0;
  const seen = trial.beacons.length;
  const times = await cutFor(cut.direction, cut.share * cutTimeoutMs());
  await checkUnharmed(trial, guest, cut, before);
  trial.measure(`recovered_after_${nameOf(cut)}_ms`, Date.now() - times.toMs);
  trial.measure(`cut_${nameOf(cut)}_lasted_ms`, times.toMs - times.fromMs);
  const gaps = findGaps(trial.beacons.slice(seen), guest, 0).map((gap) => gap.lengthMs);
  trial.measure(`silence_${nameOf(cut)}_ms`, Math.max(0, ...gaps));
}

async function harmlessCuts(trial: Trial, index: number): Promise<void> {
  const guest = await trial.createGuest('a', index % 2 === 0 ? 'pv' : 'pvh', 2000);
  await trial.protect('a', guest, 2, { args: cutArgs() });
  const before = await guestState(guest);
  for (let round = 0; round < 2; round += 1) {
    for (const cut of harmless) {
      await sleep(trial.random.between(0, 800));
      await cutOnce(trial, guest, cut);
    }
  }
  await trial.checkContinues(guest, before, await guestState(guest));
}

async function takeover(trial: Trial, index: number): Promise<void> {
  const direction = index % 2 === 0 ? 'both' : 'a-b';
  const guest = await trial.createGuest('a', Math.floor(index / 2) % 2 === 0 ? 'pv' : 'pvh', 2000);
  await trial.protect('a', guest, 2, { args: cutArgs() });
  await sleep(trial.random.between(0, 2000));
  const before = await guestState(guest);
  const [times, first] = await Promise.all([
    cutUntilTakeover(trial, guest, direction, cutTimeoutMs()),
    trial.capture.waitFor((beacon) => beacon.guest === guest && beacon.host === 'b'),
  ]);
  // Comparable whatever the timeout is.
  const tookMs = first.timeMs - times.fromMs;
  trial.measure(`beacon_after_timeout_${direction}_ms`, tookMs - cutTimeoutMs());
  const code = await protectExit(trial.lab, 'a', guest);
  trial.checkEqual('exit code of protect', code, 17);
  await checkMuteBefore(trial, guest, first.timeMs);
  await trial.checkDomains('a', []);
  await trial.checkDomains('b', [guest]);
  await waitForState(trial.lab, 'b', guest, 'backup', ['active']);
  await continues(trial, guest, before);
}

/**
 * Cuts until the backup has decided to take over, and for two timeouts at least, so that it heals
 * in the midst of it on a fast machine and never too early on a slow one.
 */
export async function cutUntilTakeover(
  trial: Trial,
  guest: string,
  direction: CutDirection,
  timeoutMs: number,
): Promise<CutTimes> {
  trial.atEnd(heal);
  await cutNow(direction);
  const fromMs = trial.begins();
  await waitForState(trial.lab, 'b', guest, 'backup', ['activating', 'active']);
  await sleep(Math.max(0, fromMs + 2 * timeoutMs - Date.now()));
  await heal();
  return { fromMs, toMs: Date.now() };
}

async function continues(trial: Trial, guest: string, before: GuestState): Promise<void> {
  const { state } = await trial.firstAnswer(guest);
  await trial.checkContinues(guest, before, state);
}

/** A's guest was paused, and mute, before B's spoke: by the log and by what was on the wire. */
async function checkMuteBefore(trial: Trial, guest: string, firstMs: number): Promise<void> {
  const log = await sessionLog(trial.lab, 'a', guest, 'primary');
  const paused = log.find((line) => /^the guest is paused/.test(line.text))?.timeMs;
  const last = trial.spoken(guest, 'a').at(-1)?.timeMs ?? 0;
  trial.check(
    'the guest on hosta paused before hostb spoke',
    paused !== undefined && paused < firstMs,
    { pausedBeforeMs: paused === undefined ? null : Math.round(firstMs - paused) },
  );
  trial.check('the last beacon of hosta before the first of hostb', last < firstMs, {
    lastBeforeMs: Math.round(firstMs - last),
  });
  trial.measure('mute_before_takeover_ms', firstMs - last);
}

/** What is shown is that load does not look like death; how long a silence it makes is a figure. */
const enduring = () => ['--heartbeat-timeout', String(heartbeatTimeoutMs(5000))];

async function endurance(trial: Trial): Promise<void> {
  const seconds = trial.mode === 'soak' ? 600 : 75;
  const guest = await trial.createGuest('a', 'pv', 20_000);
  const entry = await trial.protect('a', guest, 2, { args: enduring() });
  const before = await guestState(guest);
  const beganMs = Date.now();
  const seen = trial.beacons.length;
  while (Date.now() - beganMs < seconds * 1000) {
    await sleep(5000);
    const copy = await peek(trial.lab, 'b', guest, 'backup');
    if (!holdsCopy(copy?.state)) break;
  }
  const now = await waitForEpoch(trial.lab, 'a', guest, (entry.epoch ?? 0) + 2);
  const copy = await peek(trial.lab, 'b', guest, 'backup');
  // Not more than late, and that for a moment.
  await waitForState(trial.lab, 'a', guest, 'primary', ['protected']);
  trial.check('hostb holds a copy', holdsCopy(copy?.state), copy?.state);
  trial.checkEqual('beacons from hostb', trial.spoken(guest, 'b').length, 0);
  const epochs = (now.epoch ?? 0) - (entry.epoch ?? 0);
  trial.measure('epochs', epochs);
  trial.measure('epoch_every_ms', (Date.now() - beganMs) / Math.max(1, epochs));
  for (const epoch of now.epochs) trial.measure('pause_ms', epoch.pause_ms);
  const gaps = findGaps(trial.beacons.slice(seen), guest, 100).map((gap) => gap.lengthMs);
  trial.measure('longest_silence_ms', Math.max(0, ...gaps));
  const pauses = (await sessionLog(trial.lab, 'a', guest, 'primary')).filter((line) =>
    /^the guest is paused/.test(line.text),
  );
  trial.measure('lease_ran_out_times', pauses.length);
  await trial.checkContinues(guest, before, await guestState(guest));
}

export const cutShort: Scenario = {
  name: 'cut-short',
  proves:
    'a cut below the timeout, or one that only the primary feels, ends in a delay and no more',
  tier: 'core',
  shows: ['one-active', 'short-cut'],
  trials: { ci: 1, soak: 5 },
  seconds: 60,
  run: harmlessCuts,
};

export const cutLong: Scenario = {
  name: 'cut-long',
  proves: 'a cut of twice the timeout moves the guest to the backup, and never do both hosts speak',
  tier: 'core',
  shows: ['one-active', 'whole-epochs', 'long-cut'],
  trials: { ci: 2, soak: 20, core: 1 },
  seconds: 80,
  run: takeover,
};

export const enduranceTest: Scenario = {
  name: 'endurance',
  proves: 'minutes at 20,000 dirty pages a second do not look like a dead host',
  tier: 'turn',
  shows: ['one-active'],
  trials: { ci: 1, soak: 1 },
  seconds: 120,
  run: endurance,
};
