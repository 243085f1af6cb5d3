/** The guest itself ends: power-off, reboot and crash, under protection and after a takeover. */
import { endGuest, guestState, sleep, waitFor } from '../lab.ts';
import { protectExit } from '../session.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';

type Ending = 'poweroff' | 'reboot' | 'crash';

/** Time in which a copy that should be gone would have come alive. */
const resurrectionMs = 4000;

async function endProtected(trial: Trial, guest: string, how: Ending): Promise<void> {
  await trial.protect('a', guest, 1);
  const spokenBefore = trial.spoken(guest, 'b').length;
  const endedMs = Date.now();
  await endGuest(guest, how);
  const code = await protectExit(trial.lab, 'a', guest, 60_000);
  trial.measure(`${how}_to_exit_ms`, Date.now() - endedMs);
  trial.checkEqual(`${how}: exit code of protect`, code, 19);
  await sleep(resurrectionMs);
  await trial.checkDomains('b', []);
  const spoken = trial.spoken(guest, 'b').length - spokenBefore;
  trial.checkEqual(`${how}: beacons from hostb`, spoken, 0);
  await trial.lab.ssh('a', `tsremus stop ${guest}`); // seen
}

/**
 * xl's own daemon left at the first checkpoint ("Domain has suspended"), so the ended guest stays
 * where it is until somebody clears it up.
 */
async function clear(trial: Trial, guest: string): Promise<void> {
  await trial.lab.ssh('a', `xl destroy ${guest}`);
  await trial.checkDomains('a', []);
}

async function underProtection(trial: Trial): Promise<void> {
  const guest = await trial.createGuest('a', 'pv', 2000);
  await endProtected(trial, guest, 'reboot');
  await clear(trial, guest);
  await trial.createGuest('a', 'pvh', 200, guest);
  await endProtected(trial, guest, 'crash');
  await clear(trial, guest);
  await trial.createGuest('a', 'pv', 200, guest);
  await endProtected(trial, guest, 'poweroff');
  await clear(trial, guest);
}

async function afterTakeover(trial: Trial, index: number): Promise<void> {
  const guest = await trial.createGuest('a', index % 2 === 0 ? 'pv' : 'pvh', 0);
  await trial.protect('a', guest, 1);
  await trial.kill('a');
  const { state } = await trial.firstAnswer(guest, 30_000);
  await endGuest(guest, 'reboot');
  const rebootMs = Date.now();
  await waitFor(`${guest} after its reboot on hostb`, 60_000, async () => {
    const now = await guestState(guest, 1000).catch(() => undefined);
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
    'a guest that powers off, reboots or crashes ends its protection, and nothing is resurrected',
  trials: { ci: 1, soak: 5 },
  run: underProtection,
};

export const guestReboots: Scenario = {
  name: 'reboot-after-takeover',
  proves: 'after a takeover the backup does with the guest what its configuration says',
  trials: { ci: 1, soak: 4 },
  run: afterTakeover,
};
