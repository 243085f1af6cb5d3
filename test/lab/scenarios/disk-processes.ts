/**
 * One of the processes between a guest and its disk dies, or all of them: no request of the guest
 * fails, what it wrote is on its disk, and in the end nothing of ours is under its volume.
 */
import { makeVolume } from '../disks.ts';
import { hangMs, setGuestDisk, sleep, verifyGuestDisk, waitFor } from '../lab.ts';
import { peek, protectExit } from '../session.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';

const volumeMib = 24;
const requestsPerSecond = 100;

type Victim = 'the disk guard' | 'protect' | 'both';
const victims: readonly Victim[] = ['the disk guard', 'protect', 'both'];

/** The brackets keep the shell that runs this line out of what it finds. */
const diskGuards = "pgrep -f '[t]sremus-disk-guard --'";

async function kill(trial: Trial, guest: string, victim: Victim): Promise<void> {
  const pid = (await peek(trial.lab, 'a', guest, 'primary'))?.pid;
  const guards = `$(${diskGuards})`;
  const pids = { 'the disk guard': guards, protect: `${pid}`, both: `${guards} ${pid}` }[victim];
  const killed = await trial.lab.ssh('a', `kill -KILL ${pids}`);
  trial.check(`${victim} to be killed`, killed.code === 0, killed);
}

/** The table of the guest's volume on host A, and whatever else of ours is there. */
async function tables(trial: Trial): Promise<string> {
  return (await trial.lab.ssh('a', 'dmsetup table')).stdout.trim();
}

async function isPlain(trial: Trial): Promise<boolean> {
  const lines = (await tables(trial)).split('\n');
  return lines.length === 1 && lines.every((line) => line.includes(' linear '));
}

async function processesDie(trial: Trial, index: number): Promise<void> {
  const victim = victims[index % victims.length] as Victim;
  const disk = await makeVolume(trial.lab, 'h1', volumeMib);
  const guest = await trial.createGuest('a', 'pvh', 200, 'h1', { disk });
  await setGuestDisk(guest, requestsPerSecond);
  // Unbuffered: the guest is to be asked, whoever has died.
  await trial.protect('a', guest, 1, { disks: true });
  trial.check('a mirror', /^vg0-h1: .* mirror /m.test(await tables(trial)), await tables(trial));
  await sleep(trial.random.between(0, 2000));
  const atMs = trial.begins();
  trial.say(`killing ${victim}`);
  await kill(trial, guest, victim);
  if (victim === 'the disk guard') {
    trial.checkEqual('exit code of protect', await protectExit(trial.lab, 'a', guest), 16);
  } else {
    const stopped = await trial.lab.ssh('a', `tsremus stop ${guest}`);
    trial.check('exit code 0 of stop', stopped.code === 0, stopped);
  }
  await waitFor(`the plain table of ${guest}`, hangMs, async () => isPlain(trial));
  trial.measure('kill_to_plain_ms', Date.now() - atMs);
  await trial.checkSpeaks(guest, 'a');
  const disked = await verifyGuestDisk(guest);
  trial.check(`${guest}: no request that failed, and all on its disk`, disked.ok, disked);
  const notes = 'ls /run/tsremus/disks 2>/dev/null | grep -v lock$';
  const left = await trial.lab.ssh('a', `${diskGuards}; ${notes}`);
  trial.checkEqual('left of the mirror', left.stdout.trim(), '');
}

export const diskProcesses: Scenario = {
  name: 'disk-processes',
  proves: 'whichever process dies between a guest and its disk, no request of the guest fails',
  tier: 'turn',
  shows: ['outlives-tsremus', 'process-dies'],
  trials: { ci: 3, soak: 20 },
  seconds: 80,
  run: processesDie,
};
