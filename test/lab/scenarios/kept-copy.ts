/**
 * Both are lost, one after the other: the primary's host dies, and the process that holds the copy
 * when it has built that. What stands there is all that is left of the guest.
 */
import { guestState, hangMs, sleep, waitFor } from '../lab.ts';
import { peek, status } from '../session.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';

/**
 * That the copy is active cannot be recorded: what leads nowhere has that file's name. So the copy
 * stands built, and the record says activating, for as long as the trial needs.
 */
const block =
  'cd /var/lib/tsremus && for one in *.standby; do ' +
  'ln -s nowhere "$(basename $one .standby).outcome"; done';
const unblock = 'find /var/lib/tsremus -type l -delete';

async function killedWithCopyBuilt(trial: Trial, index: number): Promise<void> {
  const { lab } = trial;
  const guest = await trial.createGuest('a', index % 2 === 0 ? 'pvh' : 'pv', 2000);
  await trial.protect('a', guest);
  await sleep(trial.random.between(0, 1500));
  const before = await guestState(guest);
  const blocked = await lab.ssh('b', block);
  trial.check('exit code 0 of what blocks the record', blocked.code === 0, blocked);
  trial.atEnd(async () => void (await lab.ssh('b', unblock)));
  await trial.kill('a');
  const entry = await waitFor(`the copy of ${guest} to be built`, hangMs, async () => {
    const now = await peek(lab, 'b', guest, 'backup');
    return now?.copy_built ? now : undefined;
  });
  await lab.ssh('b', `kill -KILL ${entry.pid}; ${unblock}`);
  await sleep(2000);
  trial.checkEqual('beacons from hostb before failover', trial.spoken(guest, 'b').length, 0);
  await checkKept(trial, guest);
  const typedMs = Date.now();
  const done = await lab.ssh('b', `tsremus failover --yes ${guest}`);
  trial.check('exit code 0 of failover', done.code === 0, done);
  const answer = await trial.firstAnswer(guest);
  trial.measure('failover_to_answer_ms', answer.atMs - typedMs);
  trial.reviveInBackground('a');
  await trial.checkContinues(guest, before, answer.state);
  await trial.checkDomains('b', [guest]);
  const after = await status(lab, 'b', guest);
  trial.checkEqual('state on hostb', after.sessions[0]?.state, 'active');
}

/** It is named, with what to type; and `stop`, which nobody answers for, leaves it alone. */
async function checkKept(trial: Trial, guest: string): Promise<void> {
  const shown = await trial.lab.ssh('b', `tsremus status ${guest}`);
  trial.checkEqual('exit code of status', shown.code, 2);
  const isNamed = /stands here, whole/.test(shown.stdout);
  trial.check('the copy named by status', isNamed, shown.stdout);
  const isOffered = shown.stdout.includes(`Try: tsremus failover ${guest} `);
  trial.check('the command to type in the output of status', isOffered, shown.stdout);
  const stopped = await trial.lab.ssh('b', `tsremus stop ${guest}`);
  trial.checkEqual('exit code of stop', stopped.code, 18);
  await trial.checkDomains('b', [guest]);
}

export const keptCopy: Scenario = {
  name: 'kept-copy',
  proves: 'a built copy whose process died with the primary is named, kept, and run by failover',
  tier: 'turn',
  shows: ['never-the-last', 'nothing-silent', 'host-dies'],
  trials: { ci: 1, soak: 4 },
  seconds: 60,
  run: killedWithCopyBuilt,
};
