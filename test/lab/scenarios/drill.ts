/** A rehearsal as an administrator types it: both hosts live on, and so does the guest. */
import { guestState } from '../lab.ts';
import { protectExit, status } from '../session.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';

interface Report {
  readonly passed: boolean;
  readonly text: string;
  readonly timeline: readonly { readonly after_ms: number; readonly text: string }[];
}

async function drilled(trial: Trial): Promise<void> {
  const { lab } = trial;
  const guest = await trial.createGuest('a', 'pvh', 1000);
  await trial.protect('a', guest, 2, { buffered: true, disks: true });
  const before = await guestState(guest);
  const seen = await lab.ssh('a', `tsremus drill --dry-run ${guest}`);
  trial.check('exit code 0 of --dry-run', seen.code === 0, seen);
  // No limit that a machine without KVM could pass: what is judged is that it came back.
  const typed = `tsremus drill --yes --json --limit 600 --back-peer hosta-r ${guest}`;
  const done = await lab.ssh('a', typed);
  trial.check('exit code 0 of the drill', done.code === 0, done);
  const report = JSON.parse(done.stdout) as Report;
  trial.check('it has passed', report.passed, report);
  const ranMs = report.timeline.find(({ text }) => text.includes(' ran on '))?.after_ms ?? -1;
  trial.measure('drill_to_run_ms', ranMs);
  trial.measure('drill_to_protected_back_ms', report.timeline.at(-1)?.after_ms ?? -1);
  trial.checkEqual('exit code of protect', await protectExit(lab, 'a', guest), 17);
  const answer = await trial.firstAnswer(guest);
  await trial.checkContinues(guest, before, answer.state);
  await trial.checkDomains('b', [guest]);
  const held = await status(lab, 'a', guest);
  const states = held.sessions.map(({ role, state }) => `${role} ${state}`);
  trial.check('a copy on hosta', states.includes('backup standby'), states);
  const stopped = await lab.ssh('b', `tsremus stop ${guest}`);
  trial.check('exit code 0 of stop on hostb', stopped.code === 0, stopped);
}

export const drill: Scenario = {
  name: 'drill',
  proves: 'a drill takes a guest to the other host and has it protected back, connections included',
  tier: 'turn',
  shows: ['one-active', 'nothing-silent'],
  trials: { ci: 1, soak: 4 },
  seconds: 90,
  run: drilled,
};
