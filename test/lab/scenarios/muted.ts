/**
 * tsremus is killed while it holds output back: the buffer stays closed, and whoever clears up
 * needs the permission that an opening needs.
 */
import { type GuestKind, guestState, sleep } from '../lab.ts';
import { peek, status } from '../session.ts';
import { setFlow, startFlood, startSink } from '../traffic.ts';
import { Clients, small } from './clients.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';
import { guestNumberOf, Watched } from './watched.ts';

/** Frames must not come for this long, be the backup active by then or not, ms. */
const muteMs = 5000;
/**
 * A frame that was released right before the kill is out of the host by then, ms, even where the
 * host stands still for a moment. Whether those that leave until then may is seen by their epochs.
 */
const leavingMs = 1000;

/** SIGKILL of protect; the answer is when, by the host's own clock, right after the kill. */
async function killProtect(trial: Trial, guest: string): Promise<number> {
  const entry = await peek(trial.lab, 'a', guest, 'primary');
  if (entry === undefined) throw new Error(`no primary of ${guest} to kill`);
  trial.begins();
  const { stdout } = await trial.lab.ssh('a', `kill -KILL ${entry.pid}; echo $EPOCHREALTIME`);
  return Number(stdout.trim()) * 1000;
}

/** A loaded guest whose protect is killed; then nothing may leave the host any more. */
async function killUnderLoad(trial: Trial, kind: GuestKind, holdMs: number) {
  const guest = await trial.createGuest('a', kind, 200, undefined, small);
  const args = ['--hold', String(holdMs)];
  const watched = await Watched.protect(trial, 'a', [guest], { buffered: true, args });
  const stopSink = await startSink();
  await setFlow(guest, 'udp4', 256 * 1024);
  const stopFlood = await startFlood(guest, 60);
  trial.atEnd(async () => void (await stopFlood()));
  trial.atEnd(async () => void (await stopSink()));
  const clients = await Clients.connect(trial, guest);
  await sleep(trial.random.between(0, 2000));
  const killedMs = await killProtect(trial, guest);
  await sleep(muteMs);
  const records = await watched.fetch();
  const number = guestNumberOf(guest);
  const left = records.filter(
    ({ fromGuest, leaves, guest: mac, timeMs }) =>
      fromGuest && leaves && (mac & 0xff) === number && timeMs > killedMs,
  );
  const last = left.reduce((latest, { timeMs }) => Math.max(latest, timeMs), killedMs);
  trial.measure('last_frame_after_kill_ms', last - killedMs);
  const escaped = left.filter(({ timeMs }) => timeMs > killedMs + leavingMs);
  trial.check('not one frame after the kill', escaped.length === 0, {
    frames: escaped.length,
    first: escaped[0],
    afterMs: Math.round((escaped[0]?.timeMs ?? 0) - killedMs),
  });
  watched.checkVerdict(guest, await watched.judge(guest, records), ['flow', 'ping4', 'arp']);
  return { guest, clients, watched };
}

/** Nobody has taken over yet: stop gets the promise, opens the buffer, the guest goes on here. */
async function promised(trial: Trial, kind: GuestKind): Promise<void> {
  const { guest, clients, watched } = await killUnderLoad(trial, kind, 600_000);
  const shown = await status(trial.lab, 'a', guest);
  trial.checkEqual('exit code of status on hosta', shown.code, 2);
  const stopMs = Date.now();
  const stopped = await trial.lab.ssh('a', `tsremus stop ${guest}`);
  trial.check('exit code 0 of stop', stopped.code === 0, stopped);
  trial.measure('stop_ms', Date.now() - stopMs);
  await trial.checkSpeaks(guest, 'a');
  await clients.waitAlive(stopMs);
  clients.checkUnbroken();
  await trial.checkContinues(guest, watched.stateBefore(guest), await guestState(guest));
  await trial.checkDomains('a', [guest]);
  await trial.checkDomains('b', []);
}

/** The backup has taken over: stop on the primary may only destroy what it holds back. */
async function takenOver(trial: Trial, kind: GuestKind): Promise<void> {
  const { guest, clients, watched } = await killUnderLoad(trial, kind, 1000);
  const first = await trial.capture.waitFor(
    (beacon) => beacon.guest === guest && beacon.host === 'b',
  );
  const stopped = await trial.lab.ssh('a', `tsremus stop ${guest}`);
  trial.say(`stop: exit ${stopped.code}: ${(stopped.stdout + stopped.stderr).trim()}`);
  trial.checkEqual('exit code of stop', stopped.code, 17);
  await trial.checkDomains('a', []);
  await trial.checkDomains('b', [guest]);
  await clients.waitAlive(first.timeMs);
  clients.checkUnbroken();
  const { state } = await trial.firstAnswer(guest);
  await trial.checkContinues(guest, watched.stateBefore(guest), state);
}

async function muted(trial: Trial, index: number): Promise<void> {
  // Two trials have both ends and both kinds, four have each end with each kind.
  const kind = [0, 3].includes(index % 4) ? 'pv' : 'pvh';
  await (index % 2 === 0 ? promised : takenOver)(trial, kind);
}

export const protectMuted: Scenario = {
  name: 'muted',
  proves: 'when protect is killed not one frame escapes, and stop clears up as far as permitted',
  tier: 'turn',
  shows: ['output-commit', 'outlives-tsremus', 'never-the-last', 'process-dies'],
  trials: { ci: 2, soak: 2 },
  seconds: 70,
  run: muted,
};
