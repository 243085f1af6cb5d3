/** What becomes of the window of `protect` is nothing to its session. */
import { guestState } from '../lab.ts';
import { peek, protectExit, status, waitForEpoch } from '../session.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';

/** What a terminal does to the window: stops it, hangs up, and its shell kills it. */
const losses = ['STOP', 'HUP', 'KILL'] as const;

async function lost(trial: Trial, index: number): Promise<void> {
  const guest = await trial.createGuest('a', index % 2 === 0 ? 'pvh' : 'pv', 2000);
  const entry = await trial.protect('a', guest, 1, { inWindow: true });
  const before = await guestState(guest);
  const parent = await trial.lab.ssh('a', `ps -o ppid= -p ${entry.pid}`);
  const window = Number(parent.stdout.trim());
  trial.begins();
  for (const signal of losses) {
    const sent = await trial.lab.ssh('a', `kill -${signal} ${window}`);
    trial.check(`${signal}: a window to send it to`, sent.code === 0, sent);
    const now = await peek(trial.lab, 'a', guest, 'primary');
    await waitForEpoch(trial.lab, 'a', guest, (now?.epoch ?? 0) + 6);
  }
  trial.checkEqual('exit code of the window', await protectExit(trial.lab, 'a', guest), 137);
  const copy = await peek(trial.lab, 'b', guest, 'backup');
  trial.checkEqual('the copy on hostb', copy?.state, 'standby');
  const shown = await status(trial.lab, 'a', guest);
  trial.checkEqual('exit code of status on hosta', shown.code, 0);
  const stopped = await trial.lab.ssh('a', `tsremus stop ${guest}`);
  trial.check('exit code 0 of stop', stopped.code === 0, stopped);
  await trial.checkDomains('b', []);
  await trial.checkContinues(guest, before, await guestState(guest));
}

export const windowLost: Scenario = {
  name: 'window-lost',
  proves: 'a window that is stopped, hung up on and killed costs neither the session nor the guest',
  tier: 'turn',
  shows: ['outlives-tsremus'],
  trials: { ci: 1, soak: 4 },
  seconds: 60,
  run: lost,
};
