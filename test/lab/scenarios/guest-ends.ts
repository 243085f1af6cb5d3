/** The guest itself ends: power-off, reboot and crash, under protection and after a takeover. */
import { endGuest, guestState, hangMs, sleep, waitFor } from '../lab.ts';
import { peek, protectExit } from '../session.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';

type Ending = 'poweroff' | 'reboot' | 'crash';

/** Time in which a copy that should be gone would have come alive. */
const resurrectionMs = 4000;

/** The guest ends by itself while it is protected; what its configuration says is done on A. */
async function endProtected(trial: Trial, guest: string, how: Ending): Promise<void> {
  await trial.protect('a', guest, 1);
  const spokenBefore = trial.spoken(guest, 'b').length;
  const endedMs = Date.now();
  await endGuest(guest, how);
  const code = await protectExit(trial.lab, 'a', guest);
  trial.measure(`${how}_to_exit_ms`, Date.now() - endedMs);
  trial.checkEqual(`${how}: exit code of protect`, code, 19);
  const entry = await peek(trial.lab, 'a', guest, 'primary');
  const state = how === 'reboot' ? 'unprotected' : 'ended';
  trial.checkEqual(`${how}: state on hosta`, entry?.state, state);
  await sleep(resurrectionMs);
  await trial.checkDomains('a', how === 'reboot' ? [guest] : []);
  await trial.checkDomains('b', []);
  const spoken = trial.spoken(guest, 'b').length - spokenBefore;
  trial.checkEqual(`${how}: beacons from hostb`, spoken, 0);
  await trial.lab.ssh('a', `tsremus stop ${guest}`); // seen
}

/** Reboots the guest by itself; resolves when it answers with another boot id. */
async function seesReboot(trial: Trial, guest: string, boot: string, what: string): Promise<void> {
  const beganMs = Date.now();
  await waitFor(`${guest} after its reboot ${what}`, hangMs, async () => {
    const now = await guestState(guest, 3000).catch(() => undefined);
    return now !== undefined && now.boot !== boot ? now : undefined;
  });
  trial.measure(`reboot_${what}_to_answer_ms`, Date.now() - beganMs);
}

/** Reboots in the first trial, the other ends in the second. */
async function underProtection(trial: Trial, index: number): Promise<void> {
  await (index % 2 === 0 ? reboots(trial) : crashesAndPowersOff(trial));
}

async function crashesAndPowersOff(trial: Trial): Promise<void> {
  const guest = await trial.createGuest('a', 'pvh', 200);
  await endProtected(trial, guest, 'crash');
  await trial.createGuest('a', 'pv', 200, guest);
  await endProtected(trial, guest, 'poweroff');
}

async function reboots(trial: Trial): Promise<void> {
  const guest = await trial.createGuest('a', 'pv', 2000);
  const first = await guestState(guest);
  await endProtected(trial, guest, 'reboot');
  await seesReboot(trial, guest, first.boot, 'protected');
  // Protected again, and stopped: xl's daemon is gone, the guard watches.
  await trial.protect('a', guest, 1);
  await trial.lab.ssh('a', `tsremus stop ${guest}`);
  const second = await guestState(guest);
  await endGuest(guest, 'reboot');
  await seesReboot(trial, guest, second.boot, 'stopped');
  await endGuest(guest, 'poweroff');
  await trial.checkDomains('a', []);
}

async function afterTakeover(trial: Trial, index: number): Promise<void> {
  const guest = await trial.createGuest('a', index % 2 === 0 ? 'pv' : 'pvh', 0);
  await trial.protect('a', guest, 1);
  await trial.kill('a');
  const { state } = await trial.firstAnswer(guest);
  await endGuest(guest, 'reboot');
  const rebootMs = Date.now();
  await waitFor(`${guest} after its reboot on hostb`, hangMs, async () => {
    const now = await guestState(guest, 3000).catch(() => undefined);
    return now !== undefined && now.boot !== state.boot ? now : undefined;
  });
  trial.measure('reboot_to_answer_ms', Date.now() - rebootMs);
  await trial.checkDomains('b', [guest]);
  trial.reviveInBackground('a');
  await endGuest(guest, 'poweroff');
  await trial.checkDomains('b', []);
}

export const guestEnds: Scenario = {
  name: 'guest-ends',
  proves:
    'a guest that powers off, reboots or crashes ends its protection, nothing is resurrected, ' +
    'and its configuration is obeyed, under protection and after it',
  tier: 'core',
  shows: ['own-end', 'nothing-silent'],
  trials: { ci: 2, soak: 6, core: 1 },
  seconds: 120,
  run: underProtection,
};

export const guestReboots: Scenario = {
  name: 'reboot-after-takeover',
  proves: 'after a takeover the backup does with the guest what its configuration says',
  tier: 'turn',
  shows: ['own-end'],
  trials: { ci: 1, soak: 4 },
  seconds: 120,
  run: afterTakeover,
};
