/** One of the processes dies, or the backup's host: the guest runs on, or waits for a command. */
import { findGaps, guestState, hangMs, sleep, waitFor } from '../lab.ts';
import { peek, protectExit, status, waitForEpoch, waitForState } from '../session.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';

/** A guest under protection at a random moment; odd trials are PVH. */
async function protectedGuest(trial: Trial, index: number) {
  const guest = await trial.createGuest('a', index % 2 === 0 ? 'pv' : 'pvh', 2000);
  await trial.protect('a', guest);
  await sleep(trial.random.between(0, 1500));
  return { guest, before: await guestState(guest) };
}

/** SIGKILL of the process that holds the session on that side. */
async function killSession(trial: Trial, host: 'a' | 'b', guest: string): Promise<number> {
  const role = host === 'a' ? 'primary' : 'backup';
  const entry = await peek(trial.lab, host, guest, role);
  if (entry === undefined) throw new Error(`no ${role} of ${guest} to kill`);
  const atMs = trial.begins();
  await trial.lab.ssh(host, `kill -KILL ${entry.pid}`);
  return atMs;
}

/** The longest silence of the guest since a moment, the present one included. */
function silenceSince(trial: Trial, guest: string, fromMs: number): number {
  const beacons = trial.beacons.filter((beacon) => beacon.timeMs >= fromMs - 500);
  const last = beacons.filter((beacon) => beacon.guest === guest).at(-1)?.timeMs ?? fromMs;
  const gaps = findGaps(beacons, guest, 0).map((gap) => gap.lengthMs);
  return Math.max(Date.now() - last, 0, ...gaps);
}

async function receiveKilled(trial: Trial, index: number): Promise<void> {
  const { guest, before } = await protectedGuest(trial, index);
  const atMs = await killSession(trial, 'b', guest);
  const code = await protectExit(trial.lab, 'a', guest);
  trial.measure('kill_to_exit_ms', Date.now() - atMs);
  trial.checkEqual('exit code of protect', code, 16);
  await trial.checkSpeaks(guest, 'a');
  trial.measure('longest_silence_ms', silenceSince(trial, guest, atMs));
  await checkUnprotected(trial, guest);
  await trial.checkDomains('b', []);
  await trial.checkContinues(guest, before, await guestState(guest));
}

/** It runs on hosta without a copy, and status there says so. */
export async function checkUnprotected(trial: Trial, guest: string): Promise<void> {
  const answer = await status(trial.lab, 'a', guest);
  trial.checkEqual('exit code of status on hosta', answer.code, 2);
  trial.checkEqual('state on hosta', answer.sessions[0]?.state, 'unprotected');
}

async function backupHostKilled(trial: Trial, index: number): Promise<void> {
  const { guest, before } = await protectedGuest(trial, index);
  const killedMs = await trial.kill('b');
  const held = await waitForState(trial.lab, 'a', guest, 'primary', ['held']).catch(
    () => undefined,
  );
  trial.measure('kill_to_held_ms', Date.now() - killedMs);
  trial.check('the session held on hosta', held !== undefined, held ?? 'another state');
  await waitFor(`the pause of ${guest}`, hangMs, async () => {
    return (await peek(trial.lab, 'a', guest, 'primary'))?.guest_paused;
  });
  const heldMs = Date.now();
  await sleep(1000);
  const late = trial.spoken(guest, 'a').filter(({ timeMs }) => timeMs > heldMs);
  trial.check('a guest that is mute', late.length === 0, { beacons: late.length });
  await typeWhatStatusSays(trial, guest);
  const code = await protectExit(trial.lab, 'a', guest);
  trial.checkEqual('exit code of protect', code, 16);
  const { state } = await trial.firstAnswer(guest);
  trial.reviveInBackground('b');
  await trial.checkContinues(guest, before, state);
  await checkUnprotected(trial, guest);
}

/**
 * The administrator reads `tsremus status` and types, to the letter, what it proposes, and then
 * what that proposes: to vouch for a dead host is offered once it was asked in vain. There is no
 * terminal to type the guest's name on, so that is said by --vouch.
 */
export async function typeWhatStatusSays(trial: Trial, guest: string): Promise<void> {
  const shown = await trial.lab.ssh('a', `tsremus status ${guest}`);
  trial.checkEqual('exit code of status', shown.code, 2);
  const asking = proposed(shown.stdout, /(tsremus stop \S+)/);
  trial.check('the command to type in the output of status', asking !== null, shown.stdout);
  if (asking === null) return;
  trial.say(`typing: ${asking}`);
  const asked = await trial.lab.ssh('a', asking);
  trial.checkEqual('exit code of the question', asked.code, 18);
  const vouching = proposed(asked.stderr, /(tsremus stop --force-unsafe \S+)/);
  trial.check('the command to type then', vouching !== null, asked.stderr);
  if (vouching === null) return;
  const line = `${vouching} --vouch ${guest}`;
  trial.say(`typing: ${line}`);
  const typedMs = Date.now();
  const done = await trial.lab.ssh('a', line);
  trial.check('exit code 0 of what was typed', done.code === 0, done);
  trial.measure('typed_to_done_ms', Date.now() - typedMs);
}

function proposed(text: string, command: RegExp): string | null {
  return command.exec(text)?.[1] ?? null;
}

async function protectKilled(trial: Trial, index: number): Promise<void> {
  const { guest, before } = await protectedGuest(trial, index);
  const atMs = await killSession(trial, 'a', guest);
  // Whatever libxl was at may still suspend the guest in this time; then it is set going again.
  await sleep(4000);
  await trial.checkSpeaks(guest, 'a');
  trial.measure('longest_silence_ms', silenceSince(trial, guest, atMs));
  const copy = await peek(trial.lab, 'b', guest, 'backup');
  trial.check('the copy waiting on hostb', copy !== undefined && copy.outcome === null, {
    state: copy?.state,
    outcome: copy?.outcome,
  });
  await checkUnprotected(trial, guest);
  const stopped = await trial.lab.ssh('a', `tsremus stop ${guest}`);
  trial.check('exit code 0 of stop', stopped.code === 0, stopped);
  await trial.checkDomains('b', []);
  await trial.checkDomains('a', [guest]);
  const after = await status(trial.lab, 'a');
  trial.checkEqual('sessions left on hosta', after.sessions.length, 0);
  await trial.checkContinues(guest, before, await guestState(guest));
}

async function failoverByHand(trial: Trial, index: number): Promise<void> {
  const { guest, before } = await protectedGuest(trial, index);
  await killSession(trial, 'a', guest);
  await waitForState(trial.lab, 'b', guest, 'backup', ['held']);
  await trial.kill('a');
  await sleep(3000);
  // Without a buffer the end of the link never activates: the guest might still have run.
  trial.checkEqual('beacons from hostb before failover', trial.spoken(guest, 'b').length, 0);
  const typedMs = Date.now();
  // Refused while the primary was heard of within a timeout, by the backup's own clock.
  const done = await waitFor(`the failover of ${guest} not to be refused`, hangMs, async () => {
    const ran = await trial.lab.ssh('b', `tsremus failover --yes ${guest}`);
    return ran.code === 14 ? undefined : ran;
  });
  trial.check('exit code 0 of failover', done.code === 0, done);
  const answer = await trial.firstAnswer(guest);
  trial.measure('failover_to_answer_ms', answer.atMs - typedMs);
  trial.reviveInBackground('a');
  await trial.checkContinues(guest, before, answer.state);
  await trial.checkDomains('b', [guest]);
}

/** Ends of protection that were ordered, one after the other on the same guest. */
const orders: readonly { name: string; code: number; command: (pid: number) => string }[] = [
  { name: 'stop', code: 0, command: () => 'tsremus stop' },
  // As a terminal sends it: to its whole group, and what libxl has started must not end by it.
  {
    name: 'SIGINT',
    code: 130,
    command: (pid) => `kill -INT -- -$(ps -o pgid= -p ${pid} | tr -d ' ') #`,
  },
  { name: 'SIGTERM', code: 143, command: (pid) => `kill -TERM ${pid} #` },
];

async function ordered(trial: Trial, index: number): Promise<void> {
  const guest = await trial.createGuest('a', index % 2 === 0 ? 'pvh' : 'pv', 2000);
  const before = await guestState(guest);
  // Two of the three, so that a guest is protected again after one: every pair has its trial.
  const mine = orders.filter((_, at) => at !== index % orders.length);
  for (const order of mine) {
    await orderEnd(trial, guest, order);
    await trial.checkDomains('b', []);
    await trial.checkDomains('a', [guest]);
    const left = await status(trial.lab, 'a');
    trial.checkEqual(`${order.name}: sessions left on hosta`, left.sessions.length, 0);
  }
  await trial.checkContinues(guest, before, await guestState(guest));
}

async function orderEnd(trial: Trial, guest: string, order: (typeof orders)[number]) {
  const entry = await trial.protect('a', guest, 1);
  const fromMs = Date.now();
  await waitForEpoch(trial.lab, 'a', guest, (entry.epoch ?? 0) + 6);
  const usual = Math.max(...gapsBetween(trial, guest, fromMs, Date.now()));
  const endMs = Date.now();
  const done = await trial.lab.ssh('a', `${order.command(entry.pid)} ${guest}`);
  trial.check(`${order.name}: exit code 0 of the command`, done.code === 0, done);
  const code = await protectExit(trial.lab, 'a', guest);
  trial.measure(`${order.name}_to_exit_ms`, Date.now() - endMs);
  trial.checkEqual(`${order.name}: exit code of protect`, code, order.code);
  await sleep(500);
  const longest = Math.max(...gapsBetween(trial, guest, endMs, Date.now()));
  trial.measure(`${order.name}_silence_ms`, longest);
  trial.measure(`${order.name}_usual_silence_ms`, usual);
  await trial.checkSpeaks(guest, 'a');
}

function gapsBetween(trial: Trial, guest: string, fromMs: number, toMs: number): number[] {
  const beacons = trial.beacons.filter(({ timeMs }) => timeMs >= fromMs && timeMs <= toMs);
  const last = beacons.filter((beacon) => beacon.guest === guest).at(-1)?.timeMs ?? fromMs;
  return [toMs - last, ...findGaps(beacons, guest, 0).map((gap) => gap.lengthMs)];
}

export const receiveDies: Scenario = {
  name: 'receive-killed',
  proves: 'when receive dies the primary gets the promise, and the guest runs on unprotected',
  tier: 'turn',
  shows: ['outlives-tsremus', 'nothing-silent', 'never-the-last', 'backup-lost'],
  trials: { ci: 1, soak: 10 },
  seconds: 60,
  run: receiveKilled,
};

export const backupHostDies: Scenario = {
  name: 'backup-killed',
  proves:
    'when the backup host dies the guest is held until the command that status prints is typed',
  tier: 'core',
  shows: ['nothing-silent', 'never-the-last', 'backup-lost'],
  trials: { ci: 1, soak: 10 },
  seconds: 90,
  run: backupHostKilled,
};

export const protectDies: Scenario = {
  name: 'protect-killed',
  proves: 'when protect is killed the guest is never left suspended, and stop cleans both sides up',
  tier: 'core',
  shows: ['outlives-tsremus', 'never-the-last', 'process-dies'],
  trials: { ci: 1, soak: 20 },
  seconds: 60,
  run: protectKilled,
};

export const failover: Scenario = {
  name: 'failover',
  proves: 'after protect and its host died, failover on the backup runs the copy',
  tier: 'turn',
  shows: ['never-the-last', 'host-dies'],
  trials: { ci: 1, soak: 5 },
  seconds: 80,
  run: failoverByHand,
};

export const stop: Scenario = {
  name: 'stop',
  proves:
    'Ctrl-C, SIGTERM and stop end protection in order: the guest runs on here, the copy is gone',
  tier: 'core',
  shows: ['ordered-end', 'never-the-last'],
  trials: { ci: 3, soak: 6, core: 1 },
  seconds: 100,
  run: ordered,
};
