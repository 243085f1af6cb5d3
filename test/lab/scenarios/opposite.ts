/** Two guests protected in opposite directions at once; then one of the hosts dies. */
import {
  guestConfig,
  guestState,
  type HostId,
  heartbeatTimeoutMs,
  hosts,
  otherHost,
} from '../lab.ts';
import { protectExit, waitForEpoch, waitForState } from '../session.ts';
import { typeWhatStatusSays } from './processes.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';

const guestOf: Readonly<Record<HostId, string>> = { a: 'g1', b: 'h1' };
const thirdOf: Readonly<Record<HostId, string>> = { a: 'g2', b: 'g3' };

/** Two guests and what serves them share each emulated processor, and xl besides. */
const args = () => ['--heartbeat-timeout', String(heartbeatTimeoutMs(3000))];

/** While libxl is at work for tsremus, xl must be able to do its own: they share a lock file. */
async function useXl(trial: Trial, host: HostId): Promise<void> {
  const third = thirdOf[host];
  const name = hosts[host].name;
  const listed = await trial.lab.ssh(host, 'xl list');
  trial.check(`${name}: xl list beside tsremus`, listed.code === 0, listed);
  const script = `cat >/run/${third}.cfg && xl create -q /run/${third}.cfg`;
  const input = guestConfig(third, trial.kindFor('pv'));
  const beganMs = Date.now();
  const created = await trial.lab.ssh(host, script, { input });
  trial.measure('xl_create_ms', Date.now() - beganMs);
  trial.check(`${name}: xl create beside tsremus`, created.code === 0, created);
  // Four guests, two of them being copied, share two emulated processors.
  if (created.code === 0) await trial.firstAnswer(third);
}

async function opposite(trial: Trial): Promise<void> {
  await trial.createGuest('a', 'pv', 200, guestOf.a);
  await trial.createGuest('b', 'pvh', 200, guestOf.b);
  await Promise.all([
    trial.protect('a', guestOf.a, 1, { args: args() }).then(() => useXl(trial, 'a')),
    trial.protect('b', guestOf.b, 1, { args: args() }).then(() => useXl(trial, 'b')),
  ]);
  for (const host of ['a', 'b'] as const) {
    const entry = await waitForEpoch(trial.lab, host, guestOf[host], 5);
    trial.checkEqual(`state of ${guestOf[host]}`, entry.state, 'protected');
  }
  await killAndCheck(trial, 'b');
}

async function killAndCheck(trial: Trial, dying: HostId): Promise<void> {
  const survivor = otherHost(dying);
  const [lost, own] = [guestOf[dying], guestOf[survivor]];
  const [lostBefore, ownBefore] = [await guestState(lost), await guestState(own)];
  const killedMs = await trial.kill(dying);
  const answer = await trial.firstAnswer(lost);
  trial.measure('kill_to_answer_ms', answer.atMs - killedMs);
  await trial.checkContinues(lost, lostBefore, answer.state);
  // The survivor's own guest lost its backup: with -n it is paused until a person decides.
  await waitForState(trial.lab, survivor, own, 'primary', ['held']);
  await typeWhatStatusSays(trial, own);
  trial.checkEqual('exit code of protect', await protectExit(trial.lab, survivor, own), 16);
  const ownAnswer = await trial.firstAnswer(own);
  trial.reviveInBackground(dying);
  await trial.checkContinues(own, ownBefore, ownAnswer.state);
  await trial.checkDomains(survivor, [own, lost, thirdOf[survivor]]);
}

export const oppositeDirections: Scenario = {
  name: 'opposite',
  proves: 'two guests are protected in opposite directions beside xl; a host dies and both run on',
  tier: 'turn',
  shows: ['two-guests', 'host-dies'],
  trials: { ci: 1, soak: 5 },
  seconds: 120,
  run: opposite,
};
