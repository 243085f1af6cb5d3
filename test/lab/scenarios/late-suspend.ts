/**
 * A guest obeys a request to suspend when it gets to it. `xl pause` keeps it from that: its session
 * is killed, or Xen gives up after its minute, and only then it is unpaused.
 */
import { guestState, hangMs, sleep, waitFor } from '../lab.ts';
import { peek, protectExit, status } from '../session.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';

/** The guest speaks for so long after it was unpaused, ms: a late suspend has come by then. */
const speaksMs = 20_000;

async function paused(trial: Trial, index: number): Promise<void> {
  const guest = await trial.createGuest('a', index % 4 < 2 ? 'pvh' : 'pv', 2000);
  // The backup's own silence is not what is tested.
  await trial.protect('a', guest, 3);
  const before = await guestState(guest);
  await trial.lab.ssh('a', `xl pause ${guest}`);
  trial.begins();
  // Within this time the session asks it to suspend, and says who keeps it from that.
  await waitFor('status names who stops the guest', hangMs, async () => {
    const [found] = (await status(trial.lab, 'a', guest)).sessions;
    return found?.reason?.includes('somebody has paused') === true ? found : undefined;
  });
  if (index % 2 === 0) await killProtect(trial, guest);
  else await outlast(trial, guest);
  await trial.lab.ssh('a', `xl unpause ${guest}`);
  const unpausedMs = Date.now();
  await sleep(speaksMs);
  await trial.checkSpeaks(guest, 'a');
  const late = trial.spoken(guest, 'a').filter(({ timeMs }) => timeMs > unpausedMs + speaksMs / 2);
  trial.check('a guest that still speaks', late.length > 0, { beacons: late.length });
  await trial.checkContinues(guest, before, await guestState(guest));
}

async function killProtect(trial: Trial, guest: string): Promise<void> {
  const entry = await peek(trial.lab, 'a', guest, 'primary');
  if (entry === undefined) throw new Error(`no primary of ${guest} to kill`);
  await trial.lab.ssh('a', `kill -KILL ${entry.pid}`);
  await sleep(2000);
}

/** Xen waits 60 s for the acknowledgement, and for as long again for the suspend. */
async function outlast(trial: Trial, guest: string): Promise<void> {
  const code = await protectExit(trial.lab, 'a', guest);
  trial.checkEqual('exit code of protect', code, 16);
}

export const lateSuspend: Scenario = {
  name: 'late-suspend',
  proves: 'a guest that obeys a request to suspend late is resumed, whatever has ended meanwhile',
  tier: 'turn',
  shows: ['outlives-tsremus', 'nothing-silent'],
  trials: { ci: 1, soak: 4 },
  seconds: 180,
  run: paused,
};
