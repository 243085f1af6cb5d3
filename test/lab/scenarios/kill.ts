/** The death of the primary's host, at random moments of protection and of the first copy. */
import { guestClocks, guestState, hangMs, type Lab, sleep, waitFor } from '../lab.ts';
import { peek, protect, sessionLog, status } from '../session.ts';
import {
  acknowledgedEpoch,
  checkActivatedFrom,
  checkLoss,
  firstAnswer,
  measureClocks,
  measureSteps,
  variantOf,
} from './death.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';

async function killWhileProtected(trial: Trial, index: number): Promise<void> {
  const { kind: wish, rate } = variantOf(index);
  const kind = trial.kindFor(wish);
  const guest = await trial.createGuest('a', kind, rate);
  await trial.protect('a', guest, 2);
  const waitMs = trial.random.between(0, 4000);
  trial.say(`${guest}: ${kind}, ${rate} pages/s, killed after ${Math.round(waitMs)} ms`);
  await sleep(waitMs);
  const clocks = await guestClocks(guest);
  const before = await guestState(guest);
  const least = await acknowledgedEpoch(trial, guest);
  const killedMs = await trial.kill('a');
  const answer = await firstAnswer(trial, guest, killedMs);
  trial.reviveInBackground('a');
  await trial.checkContinues(guest, before, answer.state);
  await checkActivatedFrom(trial, guest, least);
  checkLoss(trial, guest, killedMs, { buffered: false });
  await measureSteps(trial, guest, killedMs);
  measureClocks(trial, clocks, await guestClocks(guest));
  await trial.checkDomains('b', [guest]);
  const after = await status(trial.lab, 'b', guest);
  const state = after.sessions.find((entry) => entry.role === 'backup')?.state;
  trial.checkEqual('state on hostb', state, 'active');
  trial.checkEqual('exit code of status on hostb', after.code, 2);
}

/** How the backup's session ended, by its log; it keeps no status of a copy that never was. */
async function backupEnd(lab: Lab, guest: string): Promise<string> {
  return waitFor(`the end of the backup's session of ${guest}`, hangMs, async () => {
    const log = await sessionLog(lab, 'b', guest, 'backup');
    return log.find((line) => /^the session is over/.test(line.text))?.text;
  });
}

async function killInSeed(trial: Trial, index: number): Promise<void> {
  const { kind, rate } = variantOf(index);
  const guest = await trial.createGuest('a', kind, rate);
  const before = await guestState(guest);
  const percent = trial.random.between(1, 70);
  await protect(trial.lab, 'a', guest);
  const entry = await waitFor(`the seed of ${guest}`, hangMs, async () => {
    const now = await peek(trial.lab, 'a', guest, 'primary');
    const seeding = (now?.seed_percent ?? 0) >= percent;
    return now !== undefined && (seeding || (now.epoch ?? -1) >= 0) ? now : undefined;
  });
  const killedMs = await trial.kill('a');
  trial.say(`killed at ${entry.seed_percent ?? 100} % of the seed (${entry.state})`);
  const end = await backupEnd(trial.lab, guest);
  trial.measure('kill_to_report_ms', Date.now() - killedMs);
  if (/"activated"/.test(end)) {
    trial.say('the seed was complete when the host died; an activation is right then');
    const { state } = await trial.firstAnswer(guest);
    trial.reviveInBackground('a');
    await trial.checkContinues(guest, before, state);
    trial.isVoid('the seed was complete when the host died');
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
  tier: 'turn',
  shows: ['whole-epochs', 'host-dies'],
  trials: { ci: 2, soak: 6 },
  seconds: 70,
  run: killWhileProtected,
};

export const killSeed: Scenario = {
  name: 'kill-in-seed',
  proves: 'a host that dies during the first copy leaves no copy, no activation and a clear report',
  tier: 'turn',
  shows: ['whole-epochs', 'nothing-silent', 'host-dies'],
  trials: { ci: 1, soak: 4 },
  seconds: 60,
  run: killInSeed,
};
