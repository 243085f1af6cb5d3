/**
 * What surrounds the core: who helps it dies, is told to end or does not answer, the hosts part,
 * a host comes back without the guest that it had taken over. Several ends on one guest each: to
 * start a guest and to copy it takes longer than what is shown.
 */
import { cut, type GuestState, guestState, hangMs, heal, hosts, waitFor } from '../lab.ts';
import { peek, protectExit, sessionLog, status, waitForState } from '../session.ts';
import { cutArgs } from './cut.ts';
import { checkUnprotected } from './processes.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';

const buffered = { buffered: true };

/** The process of the session in that role. */
async function processOf(trial: Trial, host: 'a' | 'b', guest: string): Promise<number> {
  const role = host === 'a' ? 'primary' : 'backup';
  const entry = await peek(trial.lab, host, guest, role);
  if (entry === undefined) throw new Error(`no ${role} of ${guest}`);
  return entry.pid;
}

/** Pid of the process that stands by the guest; NaN where there is none. */
async function guardOf(trial: Trial): Promise<number> {
  // The brackets keep the shell that runs this line out of what it finds.
  const { stdout } = await trial.lab.ssh('a', "pgrep -f 'tsremus.*[ ][g]uard|[g]uard of'");
  return Number.parseInt(stdout, 10);
}

async function guardKilled(trial: Trial, guest: string): Promise<void> {
  const first = await guardOf(trial);
  trial.check('a guard', Number.isInteger(first), first);
  const killed = await trial.lab.ssh('a', `kill -KILL ${first}`);
  trial.check('the guard to be killed', killed.code === 0, killed);
  const log = await waitFor(`another guard of ${guest}`, hangMs, async () => {
    const lines = await sessionLog(trial.lab, 'a', guest, 'primary');
    return lines.some(({ text }) => text === 'the guard was started again') ? lines : undefined;
  });
  const at = (pattern: RegExp) => log.find(({ text }) => pattern.test(text))?.timeMs ?? Number.NaN;
  const missingMs = at(/^the guard was started again/) - at(/its guard died/);
  trial.check('that the log said that it had died', missingMs >= 0, missingMs);
  trial.measure('without_guard_ms', missingMs);
  const second = await guardOf(trial);
  trial.check('another guard', Number.isInteger(second) && second !== first, { first, second });
  await waitForState(trial.lab, 'a', guest, 'primary', ['protected']);
}

/** What became of the session was seen: its status goes, the guest can be protected anew. */
async function seen(trial: Trial, guest: string): Promise<void> {
  const stopped = await trial.lab.ssh('a', `tsremus stop ${guest}`);
  trial.check('exit code 0 of stop, for what was seen', stopped.code === 0, stopped);
}

/** The backup gives its word, or somebody for it, and the guest runs on without a copy. */
async function checkPromised(trial: Trial, guest: string, what: string, fromMs: number) {
  const code = await protectExit(trial.lab, 'a', guest);
  trial.measure(`${what}_to_exit_ms`, Date.now() - fromMs);
  trial.checkEqual(`${what}: exit code of protect`, code, 16);
  await trial.checkSpeaks(guest, 'a');
  await checkUnprotected(trial, guest);
  await trial.checkDomains('b', []);
}

/** An orderly reboot of the backup's host tells its receive to end. */
async function receiveTold(trial: Trial, guest: string): Promise<void> {
  const pid = await processOf(trial, 'b', guest);
  const atMs = trial.begins();
  await trial.lab.ssh('b', `kill -TERM ${pid}`);
  await checkPromised(trial, guest, 'told', atMs);
}

async function receiveDeaf(trial: Trial, guest: string): Promise<void> {
  const pid = await processOf(trial, 'b', guest);
  await trial.lab.ssh('b', `kill -STOP ${pid}`);
  await checkPromised(trial, guest, 'deaf', Date.now());
  const left = await trial.lab.ssh('b', `kill -0 ${pid}`);
  trial.check('the deaf receive to be gone', left.code !== 0, left);
}

async function helpersEnd(trial: Trial): Promise<void> {
  const guest = await trial.createGuest('a', 'pvh', 200);
  const before = await guestState(guest);
  await trial.protect('a', guest, 1, buffered);
  await guardKilled(trial, guest);
  await receiveTold(trial, guest);
  await seen(trial, guest);
  await trial.protect('a', guest, 1, buffered);
  await receiveDeaf(trial, guest);
  await trial.checkContinues(guest, before, await guestState(guest));
}

/** Agreed that the primary goes on: its backup's host dies, and nobody has to type anything. */
async function goesOnAlone(trial: Trial, guest: string): Promise<void> {
  await trial.protect('a', guest, 1, { ...buffered, args: ['--without-witness=primary'] });
  const killedMs = await trial.kill('b');
  const code = await protectExit(trial.lab, 'a', guest);
  trial.measure('alone_to_exit_ms', Date.now() - killedMs);
  trial.checkEqual('alone: exit code of protect', code, 16);
  await trial.checkSpeaks(guest, 'a');
  await checkUnprotected(trial, guest);
}

/** B's copy runs, B loses its power and comes back: A's guest, the last one, waits for a person. */
async function lastGuest(trial: Trial, guest: string, before: GuestState): Promise<void> {
  await trial.protect('a', guest, 1, { ...buffered, args: cutArgs() });
  trial.atEnd(heal);
  await cut('both');
  trial.begins();
  await trial.checkSpeaks(guest, 'b');
  await waitForState(trial.lab, 'b', guest, 'backup', ['active']);
  await trial.kill('b');
  await trial.bootAgain('b');
  await heal();
  const held = await waitFor('the news that nobody is there', hangMs, async () => {
    const entry = await peek(trial.lab, 'a', guest, 'primary');
    return entry?.reason?.includes('no guest is there') ? entry : undefined;
  });
  trial.checkEqual('absent: state on hosta', held.state, 'held');
  await trial.checkDomains('a', [guest]);
  const shown = await status(trial.lab, 'a', guest);
  trial.checkEqual('absent: exit code of status', shown.code, 2);
  const line = held.next.find((next) => next.includes('stop --lost'));
  trial.check(`what to type on ${hosts.b.name}`, line?.includes(hosts.b.name) === true, held.next);
  trial.returns();
  const lost = await trial.lab.ssh('b', `tsremus stop --lost --vouch ${guest} ${guest}`);
  trial.check('exit code 0 of stop --lost', lost.code === 0, lost);
  trial.checkEqual('lost: exit code of protect', await protectExit(trial.lab, 'a', guest), 16);
  const { state } = await trial.firstAnswer(guest);
  await trial.checkContinues(guest, before, state);
}

async function hostsPart(trial: Trial): Promise<void> {
  const guest = await trial.createGuest('a', 'pvh', 200);
  const before = await guestState(guest);
  await goesOnAlone(trial, guest);
  await seen(trial, guest);
  await trial.bootAgain('b');
  await lastGuest(trial, guest, before);
}

export const helpersDie: Scenario = {
  name: 'helpers',
  proves:
    'a guard that dies is started again; a receive that is told to end, or is deaf, gives way, ' +
    'and the guest runs on',
  tier: 'core',
  shows: ['outlives-tsremus', 'nothing-silent', 'backup-lost', 'process-dies'],
  trials: { ci: 1, soak: 5 },
  seconds: 120,
  run: helpersEnd,
};

export const hostsParted: Scenario = {
  name: 'parted',
  proves:
    'where it was agreed the guest goes on alone; and where its copy was lost with the host, the ' +
    'last guest is held, not destroyed, until a person says so',
  tier: 'core',
  shows: ['never-the-last', 'nothing-silent', 'backup-lost', 'long-cut'],
  trials: { ci: 1, soak: 5 },
  seconds: 150,
  run: hostsPart,
};
