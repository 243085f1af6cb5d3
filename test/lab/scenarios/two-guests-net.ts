/** Two guests with three interfaces, protected at once; then their host dies. */
import type { FrameRecord } from '../frame-records.ts';
import { recordWire } from '../frames.ts';
import { guestMac, guestState, type HostId, heartbeatTimeoutMs } from '../lab.ts';
import { peek, waitForEpoch } from '../session.ts';
import { setFlow } from '../traffic.ts';
import { Clients, small } from './clients.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';
import { Watched } from './watched.ts';

const epochs = 8;
const bytesPerSecond = 128 * 1024;
const [two, one] = ['g1', 'h1'];
/** Two guests share one emulated processor with all that serves them. */
const args = () => ['--heartbeat-timeout', String(heartbeatTimeoutMs(3000))];

async function waitForEpochs(trial: Trial, host: HostId, guest: string): Promise<void> {
  const now = await peek(trial.lab, host, guest, 'primary');
  await waitForEpoch(trial.lab, host, guest, (now?.epoch ?? 0) + epochs);
}

/** Every interface told the network where it is now, before anything else could. */
function checkAnnounced(trial: Trial, records: readonly FrameRecord[], killedMs: number): void {
  const macs = [guestMac(two, 0), guestMac(two, 1), guestMac(one, 0)];
  for (const mac of macs) {
    const own = records.filter((record) => record.fromGuest && macOf(record) === mac);
    const announced = own.findIndex(({ kind }) => kind === 'announce');
    trial.check(`${mac} announced from hostb`, announced >= 0, { frames: own.length });
    if (announced < 0) continue;
    trial.measure('kill_to_announced_ms', (own[announced]?.timeMs ?? 0) - killedMs);
    trial.measure('frames_before_announced', announced);
  }
}

/** The lab's guests have MACs of Xen's that differ in the last four bytes. */
function macOf(record: FrameRecord): string {
  const hex = record.guest.toString(16).padStart(8, '0');
  return `00:16:${hex.replace(/(..)(?=.)/g, '$1:')}`;
}

async function twoGuests(trial: Trial): Promise<void> {
  await trial.createGuest('a', 'pv', 200, two, { ...small, interfaces: 2 });
  await trial.createGuest('a', 'pvh', 200, one, small);
  const guests = [two, one];
  const watched = await Watched.protect(trial, 'a', guests, { buffered: true, args: args() });
  await setFlow(two, 'udp4', bytesPerSecond);
  await setFlow(two, 'second', bytesPerSecond);
  await setFlow(one, 'udp4', bytesPerSecond);
  const clients = await Promise.all(
    guests.map((guest) => Clients.connect(trial, guest, { intervalUs: 10_000 })),
  );
  await Promise.all(guests.map((guest) => waitForEpochs(trial, 'a', guest)));
  const records = await watched.fetch();
  for (const guest of guests) {
    watched.checkVerdict(guest, await watched.judge(guest, records), ['flow']);
  }
  const interfaces = new Set(
    records.filter(({ kind }) => kind === 'flow').map(({ guest }) => guest),
  );
  trial.checkEqual('interfaces that frames came from', interfaces.size, 3);
  const wire = await recordWire('b');
  const killedMs = await trial.kill('a');
  for (const [index, guest] of guests.entries()) {
    const answer = await trial.firstAnswer(guest);
    trial.measure('kill_to_answer_ms', answer.atMs - killedMs);
    await clients[index]?.waitAlive(answer.atMs);
  }
  checkAnnounced(trial, await wire.stop(), killedMs);
  trial.reviveInBackground('a');
  for (const [index, guest] of guests.entries()) {
    clients[index]?.checkUnbroken();
    await trial.checkContinues(guest, watched.stateBefore(guest), await guestState(guest));
  }
  await trial.checkDomains('b', guests);
}

export const twoGuestsNet: Scenario = {
  name: 'two-guests-net',
  proves: 'two guests with three interfaces are protected at once, and both survive their host',
  tier: 'core',
  shows: ['output-commit', 'host-dies', 'two-guests'],
  trials: { ci: 2, soak: 2, core: 1 },
  seconds: 190,
  run: twoGuests,
};
