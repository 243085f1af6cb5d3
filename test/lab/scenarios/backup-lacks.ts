/** What the backup's host has not is said before there is a copy, with what makes it there. */
import { guestMac, guestState } from '../lab.ts';
import { small } from './clients.ts';
import type { Scenario } from './scenario.ts';
import { backupOf, type Trial } from './trial.ts';

const bridge = 'xenbr9';

/** A second interface, to a bridge that only the guest's host has. */
function ownBridge(guest: string): string {
  const vifs = [
    `"mac=${guestMac(guest, 0)},bridge=xenbr0"`,
    `"mac=${guestMac(guest, 1)},bridge=${bridge}"`,
  ];
  return `vif = [${vifs.join(', ')}]`;
}

async function refusedThenProtected(trial: Trial): Promise<void> {
  const { lab } = trial;
  const name = 'g1';
  const options = { ...small, interfaces: 2, extraConfig: ownBridge(name) };
  const guest = await trial.createGuest('a', 'pv', 200, name, options);
  const before = await guestState(guest);
  const refused = await lab.ssh('a', `tsremus protect -F -n -d ${guest} ${backupOf('a')}`);
  trial.checkEqual('exit code of the refusal', refused.code, 10);
  trial.check('it names the bridge', refused.stderr.includes(bridge), refused.stderr);
  const [, line = ''] =
    /^Try: (ssh .* ip link add name xenbr9 type bridge)/m.exec(refused.stderr) ?? [];
  trial.check('a line that makes it there', line !== '', refused.stderr);
  await trial.checkSpeaks(guest, 'a');
  await trial.checkDomains('b', []);
  // As it stands there.
  const made = await lab.ssh('a', line);
  trial.check('the line can be pasted', made.code === 0, made);
  await trial.protect('a', guest, 1);
  const stopped = await lab.ssh('a', `tsremus stop ${guest}`);
  trial.check('protected then, until stopped', stopped.code === 0, stopped);
  await trial.checkDomains('b', []);
  await trial.checkContinues(guest, before, await guestState(guest));
}

async function backupLacks(trial: Trial): Promise<void> {
  const { lab } = trial;
  const made = await lab.ssh('a', `ip link add ${bridge} type bridge && ip link set ${bridge} up`);
  trial.check('trouble made', made.code === 0, made);
  try {
    await refusedThenProtected(trial);
  } finally {
    for (const host of ['a', 'b'] as const) await lab.ssh(host, `ip link del ${bridge}`);
  }
}

export const backupLacksTest: Scenario = {
  name: 'backup-lacks',
  proves: 'a bridge that the backup has not is refused at the start, with the line that makes it',
  tier: 'turn',
  shows: ['nothing-silent'],
  trials: { ci: 1, soak: 1 },
  seconds: 90,
  run: backupLacks,
};
