/**
 * Everything a guest can send, as much as it can: what leaves its host is recorded there, frame
 * by frame, and held against the acknowledgements.
 */
import { checkFlow } from '../commit-check.ts';
import { installFault } from '../faults/build.ts';
import type { FrameRecord } from '../frame-records.ts';
import { type GuestKind, guestState, hangMs, heartbeatTimeoutMs, sleep } from '../lab.ts';
import { peek, protectExit, status, waitForEpoch } from '../session.ts';
import { flowNumber, type SinkReport, setFlow, startFlood, startSink } from '../traffic.ts';
import { small } from './clients.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';
import { guestNumberOf, Watched } from './watched.ts';

const kinds: readonly GuestKind[] = ['pvh', 'pv'];
/** Two trials of the soak look at more than 200 epochs together. */
const epochsOf = { ci: 20, soak: 115 } as const;
/** In some the guest may not have come to send anything, the slower the machine the more. */
const epochsShare = 0.5;
const askedPerSecond = 150;
/** The sender of which nothing may be lost, and its small brothers. */
const steadyBytesPerSecond = 1024 * 1024;
const taggedBytesPerSecond = 32 * 1024;
/** A host under such a load hears late; what is tested here is not the timeout. */
const patience = () => ['--heartbeat-timeout', String(heartbeatTimeoutMs(5000))];
/** All kinds of frames that the verdict must have looked at. */
const kindsSent = ['flow', 'vlan', 'ping4', 'ping6', 'arp'];

type Ender = () => Promise<unknown>;

async function startLoad(trial: Trial, guest: string): Promise<() => Promise<SinkReport>> {
  const stopSink = await startSink();
  const stopFlood: Ender = await startFlood(guest, askedPerSecond);
  trial.atEnd(async () => void (await stopFlood()));
  trial.atEnd(async () => void (await stopSink()));
  await setFlow(guest, 'udp4', steadyBytesPerSecond);
  await setFlow(guest, 'udp6', 'max', 400);
  await setFlow(guest, 'vlan', taggedBytesPerSecond, 200);
  return async () => {
    for (const flow of ['udp4', 'udp6', 'vlan'] as const) await setFlow(guest, flow, 0);
    await stopFlood();
    await sleep(1000); // what is on its way comes
    return stopSink();
  };
}

async function floodAndStop(trial: Trial, index: number): Promise<void> {
  const kind = kinds[index % 2] as GuestKind;
  const guest = await trial.createGuest('a', kind, 200, undefined, small);
  const watched = await Watched.protect(trial, 'a', [guest], { buffered: true, args: patience() });
  // An answer: so it knows the way out, which it may have lost while its first epochs took long.
  const { flows } = await guestState(guest);
  const stopLoad = await startLoad(trial, guest);
  const { epoch } = (await peek(trial.lab, 'a', guest, 'primary')) ?? {};
  const epochs = epochsOf[trial.mode];
  const beganMs = Date.now();
  await waitForEpoch(trial.lab, 'a', guest, (epoch ?? 0) + epochs, hangMs + epochs * 10_000);
  trial.measure('epoch_every_ms', (Date.now() - beganMs) / epochs);
  const stopped = await trial.lab.ssh('a', `tsremus stop ${guest}`);
  trial.check('exit code 0 of stop', stopped.code === 0, stopped);
  trial.checkEqual('exit code of protect', await protectExit(trial.lab, 'a', guest), 0);
  await sleep(1000);
  const sunk = await stopLoad();
  const records = await watched.fetch();
  const verdict = await watched.judge(guest, records);
  watched.checkVerdict(guest, verdict, kindsSent);
  const least = epochsShare * epochs;
  trial.check(`${least} epochs or more looked at`, verdict.epochs >= least, verdict.epochs);
  await watched.checkCounts(guest);
  const isLoad = ({ flow, flowSequence }: FrameRecord) => flowSequence > (flows[flow] ?? 0);
  checkNothingLost(trial, guest, records.filter(isLoad), sunk);
  await trial.checkContinues(guest, watched.stateBefore(guest), await guestState(guest));
  await trial.checkDomains('b', []);
  await checkNothingLeft(trial);
}

/** From when protection was there until after its end, at 1 MiB/s. */
function checkNothingLost(
  trial: Trial,
  guest: string,
  records: readonly FrameRecord[],
  sunk: SinkReport,
): void {
  const steady = checkFlow(records, guestNumberOf(guest), flowNumber.udp4);
  trial.check('nothing of the steady sender lost', steady.missing + steady.again === 0, steady);
  const arrived = sunk.flows[flowNumber.udp4];
  trial.check('all of it arrived, once', arrived?.missing === 0 && arrived.again === 0, sunk);
  trial.checkEqual('damaged datagrams', sunk.damaged, 0);
  const flat = checkFlow(records, guestNumberOf(guest), flowNumber.udp6);
  trial.measure('flat_out_frames', flat.frames);
  trial.measure('flat_out_missing', flat.missing);
  trial.checkEqual('frames of the flat-out sender said twice', flat.again, 0);
  trial.measure('frames_late', steady.late + flat.late);
}

/** Devices, filters and files of the buffer are gone with it. */
export async function checkNothingLeft(trial: Trial): Promise<void> {
  const list = 'ip -o link show type ifb; tc qdisc show | grep -e clsact -e ingress; true';
  const { stdout } = await trial.lab.ssh('a', list);
  trial.checkEqual('devices and filters left on hosta', stdout, '');
  const after = await status(trial.lab, 'a');
  trial.checkEqual('sessions left on hosta', after.sessions.length, 0);
}

/** What must be found where nothing is held back. */
async function floodUnbuffered(trial: Trial): Promise<void> {
  const guest = await trial.createGuest('a', 'pv', 200, undefined, small);
  const watched = await Watched.protect(trial, 'a', [guest], { buffered: false, args: patience() });
  const stopLoad = await startLoad(trial, guest);
  const { epoch } = (await peek(trial.lab, 'a', guest, 'primary')) ?? {};
  await waitForEpoch(trial.lab, 'a', guest, (epoch ?? 0) + 5);
  await stopLoad();
  await trial.lab.ssh('a', `tsremus stop ${guest}`);
  const records = await watched.fetch();
  const verdict = await watched.judge(guest, records);
  const total = Object.values(verdict.checked).reduce((sum, count) => sum + count, 0);
  trial.measure('early_percent', (100 * verdict.early) / Math.max(1, total));
  trial.check('most frames to leave early', verdict.early > total / 2, verdict);
  await watched.checkCounts(guest);
}

/** What must be found where the barrier comes when the guest runs again. */
async function floodPastLateBarrier(trial: Trial): Promise<void> {
  const library = await installFault(trial.lab, 'a', 'late-barrier');
  const guest = await trial.createGuest('a', 'pvh', 200, undefined, small);
  const env = { TSREMUS_NATIVE: library };
  const watched = await Watched.protect(trial, 'a', [guest], {
    ...{ buffered: true, args: patience(), env },
  });
  const stopLoad = await startLoad(trial, guest);
  const { epoch } = (await peek(trial.lab, 'a', guest, 'primary')) ?? {};
  await waitForEpoch(trial.lab, 'a', guest, (epoch ?? 0) + 10);
  await stopLoad();
  await trial.lab.ssh('a', `tsremus stop ${guest}`);
  const verdict = await watched.judge(guest, await watched.fetch());
  trial.measure('early_frames', verdict.early);
  trial.check('frames to leave early', verdict.early > 0, verdict);
}

export const flood: Scenario = {
  name: 'flood',
  proves:
    'no frame leaves before its acknowledgement, whatever it is; an ordered stop loses none of them',
  tier: 'core',
  shows: ['output-commit', 'any-frame', 'ordered-end'],
  trials: { ci: 2, soak: 2, core: 1 },
  seconds: 80,
  run: floodAndStop,
};

export const floodWithout: Scenario = {
  name: 'flood-unbuffered',
  proves: 'without the buffer the same capture finds frames that left before',
  tier: 'soak',
  shows: [],
  trials: { ci: 0, soak: 2 },
  seconds: 55,
  run: floodUnbuffered,
};

export const floodLate: Scenario = {
  name: 'late-barrier',
  proves: 'where the barrier is set after the resume the same capture finds frames that left early',
  tier: 'soak',
  shows: [],
  trials: { ci: 0, soak: 1 },
  seconds: 80,
  run: floodPastLateBarrier,
};
