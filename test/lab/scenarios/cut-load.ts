/**
 * The link between the hosts cut under load, with the output buffered: shorter than the timeout
 * nothing happens but a delay, longer than it the guest moves; a client's connection outlasts both.
 */
import { cutFor, type GuestKind, guestState, sleep } from '../lab.ts';
import { peek, protectExit, waitForEpoch } from '../session.ts';
import { setFlow, startSink } from '../traffic.ts';
import { Clients, small } from './clients.ts';
import { cutArgs, cutTimeoutMs, cutUntilTakeover } from './cut.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';

const bytesPerSecond = 128 * 1024;

async function loadedGuest(trial: Trial, kind: GuestKind) {
  const guest = await trial.createGuest('a', kind, 2000, undefined, small);
  const before = await guestState(guest);
  await trial.protect('a', guest, 1, { buffered: true, args: cutArgs() });
  const stopSink = await startSink();
  trial.atEnd(async () => void (await stopSink()));
  await setFlow(guest, 'udp4', bytesPerSecond);
  return { guest, before, clients: await Clients.connect(trial, guest), stopSink };
}

async function harmless(trial: Trial, guest: string): Promise<void> {
  for (const direction of ['both', 'a-b', 'b-a'] as const) {
    await sleep(trial.random.between(0, 800));
    const epoch = (await peek(trial.lab, 'a', guest, 'primary'))?.epoch ?? 0;
    const times = await cutFor(direction, 0.3 * cutTimeoutMs());
    await waitForEpoch(trial.lab, 'a', guest, epoch + 2);
    trial.measure('recovered_after_ms', Date.now() - times.toMs);
    trial.checkEqual('beacons from hostb', trial.spoken(guest, 'b').length, 0);
  }
}

async function cutUnderLoad(trial: Trial, index: number): Promise<void> {
  const { guest, before, clients, stopSink } = await loadedGuest(
    trial,
    index % 2 === 0 ? 'pv' : 'pvh',
  );
  await harmless(trial, guest);
  await sleep(trial.random.between(0, 2000));
  const direction = index % 2 === 0 ? 'both' : 'a-b';
  const [times, first] = await Promise.all([
    cutUntilTakeover(trial, guest, direction, cutTimeoutMs()),
    trial.capture.waitFor((beacon) => beacon.guest === guest && beacon.host === 'b'),
  ]);
  const tookMs = first.timeMs - times.fromMs;
  trial.measure('beacon_after_timeout_ms', tookMs - cutTimeoutMs());
  const last = trial.spoken(guest, 'a').at(-1)?.timeMs ?? 0;
  trial.check('the last beacon of hosta before the first of hostb', last < first.timeMs, {
    lastBeforeMs: Math.round(first.timeMs - last),
  });
  trial.checkEqual('exit code of protect', await protectExit(trial.lab, 'a', guest), 17);
  await clients.waitAlive(first.timeMs);
  clients.checkUnbroken();
  await trial.checkDomains('a', []);
  await trial.checkDomains('b', [guest]);
  await setFlow(guest, 'udp4', 0);
  const sunk = await stopSink();
  trial.check('no datagram said twice', sunk.flows[0]?.again === 0, sunk);
  await trial.checkContinues(guest, before, await guestState(guest));
}

export const cutLoad: Scenario = {
  name: 'cut-load',
  proves: 'under load, too, a cut ends in a delay or at the backup, and a connection outlasts both',
  tier: 'turn',
  shows: ['one-active', 'short-cut', 'long-cut'],
  trials: { ci: 2, soak: 2 },
  seconds: 90,
  run: cutUnderLoad,
};
