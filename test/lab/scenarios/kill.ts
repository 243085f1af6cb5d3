/** The death of the primary's host, at random moments of protection and of the first copy. */
import { type GuestKind, guestState, type Lab, sleep, waitFor } from '../lab.ts';
import { peek, protect, sessionLog, status } from '../session.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';

const heartbeatTimeoutMs = 1000;
/** The bound of the issue: the heartbeat timeout and six seconds, under emulation. */
const answerMsMax = heartbeatTimeoutMs + 6000;
/** Two epochs and what was done since; at 20,000 pages/s one takes up to 7 s under emulation. */
const lostMsMax = 15_000;

/** All kinds and rates; the first two stand for the rest in CI. */
const variants: readonly { kind: GuestKind; rate: number }[] = [
  { kind: 'pv', rate: 2000 },
  { kind: 'pvh', rate: 2000 },
  { kind: 'pvh', rate: 0 },
  { kind: 'pv', rate: 20_000 },
  { kind: 'pvh', rate: 20_000 },
  { kind: 'pv', rate: 0 },
];

async function killWhileProtected(trial: Trial, index: number): Promise<void> {
  const { kind, rate } = variants[index % variants.length] as (typeof variants)[number];
  const guest = await trial.createGuest('a', kind, rate);
  await trial.protect('a', guest, 2);
  const waitMs = trial.random.between(0, 4000);
  trial.say(`${guest}: ${kind}, ${rate} pages/s, killed after ${Math.round(waitMs)} ms`);
  await sleep(waitMs);
  const before = await guestState(guest);
  const killedMs = await trial.kill('a');
  const answer = await trial.firstAnswer(guest, 30_000);
  const tookMs = answer.atMs - killedMs;
  trial.measure('kill_to_answer_ms', tookMs);
  trial.check(`an answer within ${answerMsMax} ms of the kill`, tookMs <= answerMsMax, tookMs);
  trial.reviveInBackground('a');
  await trial.checkContinues(guest, before, answer.state);
  checkLoss(trial, guest, killedMs);
  await measureSteps(trial, guest, killedMs);
  await trial.checkDomains('b', [guest]);
  const after = await status(trial.lab, 'b', guest);
  const state = after.sessions.find((entry) => entry.role === 'backup')?.state;
  trial.checkEqual('state on hostb', state, 'active');
  trial.checkEqual('exit code of status on hostb', after.code, 2);
}

/** What the guest lived through on A after the epoch it was activated from, in its own time. */
function checkLoss(trial: Trial, guest: string, killedMs: number): void {
  const last = trial.spoken(guest, 'a').at(-1);
  const first = trial.spoken(guest, 'b')[0];
  if (last === undefined || first === undefined) {
    trial.check('beacons from both hosts, one after the other', false, { last, first });
    return;
  }
  const lostMs = (last.counter - first.counter) * 10;
  trial.measure('kill_to_beacon_ms', first.timeMs - killedMs);
  trial.measure('guest_time_lost_ms', lostMs);
  trial.check(`at most ${lostMsMax} ms of the guest's time lost`, lostMs <= lostMsMax, lostMs);
}

/** Where the time went, by the backup's log. */
async function measureSteps(trial: Trial, guest: string, killedMs: number): Promise<void> {
  const log = await sessionLog(trial.lab, 'b', guest, 'backup');
  const at = (pattern: RegExp) => log.find((line) => pattern.test(line.text))?.timeMs;
  const detected = at(/record standby -> activating/);
  const running = at(/^running/);
  if (detected !== undefined) trial.measure('kill_to_detection_ms', detected - killedMs);
  if (detected !== undefined && running !== undefined) {
    trial.measure('detection_to_running_ms', running - detected);
  }
}

/** How the backup's session ended, by its log; it keeps no status of a copy that never was. */
async function backupEnd(lab: Lab, guest: string): Promise<string> {
  return waitFor(`the end of the backup's session of ${guest}`, 30_000, async () => {
    const log = await sessionLog(lab, 'b', guest, 'backup');
    return log.find((line) => /^the session is over/.test(line.text))?.text;
  });
}

async function killInSeed(trial: Trial, index: number): Promise<void> {
  const { kind, rate } = variants[index % variants.length] as (typeof variants)[number];
  const guest = await trial.createGuest('a', kind, rate);
  const percent = trial.random.between(1, 70);
  await protect(trial.lab, 'a', guest);
  const entry = await waitFor(`the seed of ${guest}`, 60_000, async () => {
    const now = await peek(trial.lab, 'a', guest, 'primary');
    const seeding = (now?.seed_percent ?? 0) >= percent;
    return now !== undefined && (seeding || (now.epoch ?? -1) >= 0) ? now : undefined;
  });
  const killedMs = await trial.kill('a');
  trial.say(`killed at ${entry.seed_percent ?? 100} % of the seed (${entry.state})`);
  const end = await backupEnd(trial.lab, guest);
  trial.measure('kill_to_report_ms', Date.now() - killedMs);
  if (/"activated"/.test(end) && entry.seed_percent === null) {
    trial.say('the seed was complete when the host died; an activation is right then');
    await trial.firstAnswer(guest, 30_000);
    return;
  }
  trial.check('the word never-whole in the log of the backup', /never-whole/.test(end), end);
  trial.reviveInBackground('a');
  await sleep(2000);
  trial.checkEqual('beacons from hostb', trial.spoken(guest, 'b').length, 0);
  await trial.checkDomains('b', []);
  const after = await status(trial.lab, 'b');
  trial.checkEqual('sessions left on hostb', after.sessions.length, 0);
}

export const kill: Scenario = {
  name: 'kill',
  proves:
    'after the death of its host the guest goes on at the other one, memory and counter intact',
  trials: { ci: 2, soak: 18 },
  run: killWhileProtected,
};

export const killSeed: Scenario = {
  name: 'kill-in-seed',
  proves: 'a host that dies during the first copy leaves no copy, no activation and a clear report',
  trials: { ci: 1, soak: 4 },
  run: killInSeed,
};
