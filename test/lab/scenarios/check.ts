/** `tsremus check` says of two real hosts and a guest what protection then finds. */
import { makeVolume } from '../disks.ts';
import { small } from './clients.ts';
import type { Scenario } from './scenario.ts';
import { backupOf, type Trial } from './trial.ts';

interface Line {
  readonly where: string;
  readonly name: string;
  readonly level: string;
  readonly text: string;
}

interface Checked {
  readonly code: number | null;
  readonly lines: readonly Line[];
  readonly bytesPerSecond: number;
}

async function checked(trial: Trial, guest: string): Promise<Checked> {
  const ran = await trial.lab.ssh('a', `tsremus check --json ${guest} ${backupOf('a')}`);
  trial.check('it says what it found', ran.stdout.startsWith('{'), ran);
  const { lines, bytes_per_second: bytesPerSecond } = JSON.parse(ran.stdout);
  return { code: ran.code, lines, bytesPerSecond };
}

const failed = ({ lines }: Checked) => lines.filter(({ level }) => level === 'fail');

async function checkThenProtect(trial: Trial): Promise<void> {
  const { lab } = trial;
  const disk = await makeVolume(lab, 'g1', 8);
  const guest = await trial.createGuest('a', 'pvh', 200, 'g1', { ...small, disk });
  const well = await checked(trial, guest);
  trial.checkEqual('lines that fail', JSON.stringify(failed(well)), '[]');
  trial.checkEqual('exit code where nothing fails', well.code, 0);
  // What only a real hypervisor says: a stand-in cannot be wrong about it.
  for (const name of [
    'xen',
    'log-dirty',
    'xen-versions',
    'processors',
    'room',
    'needs',
    'suspend',
    'disks',
    'copy-disks',
  ]) {
    const found = well.lines.filter((line) => line.name === name);
    const isWell = found.length > 0 && found.every(({ level }) => level === 'ok');
    trial.check(`${name} is well`, isWell, found);
  }
  trial.check('the path was measured', well.bytesPerSecond > 0, well.bytesPerSecond);
  await trial.checkDomains('b', []);

  await lab.ssh('b', `echo of another guest > ${disk}`);
  const foreign = await checked(trial, guest);
  const why = failed(foreign).map(({ where, name }) => `${where} ${name}`);
  trial.checkEqual('the line that fails of a foreign disk', why.join(), 'there copy-disks');
  await lab.ssh('b', `blkdiscard -z ${disk}`);

  const auto = '/etc/xen/auto/g1.cfg';
  await lab.ssh('b', `mkdir -p /etc/xen/auto && echo 'name = "${guest}"' > ${auto}`);
  try {
    const ill = await checked(trial, guest);
    trial.checkEqual('exit code where a line fails', ill.code, 10);
    const names = failed(ill).map(({ where, name }) => `${where} ${name}`);
    trial.checkEqual('the line that fails', names.join(), 'there autostart');
  } finally {
    await lab.ssh('b', `rm ${auto}`);
  }
  // What it said is so.
  await trial.protect('a', guest, 1, { disks: true });
  const stopped = await lab.ssh('a', `tsremus stop ${guest}`);
  trial.check('protected then, until stopped', stopped.code === 0, stopped);
}

export const checkTest: Scenario = {
  name: 'check',
  proves: 'check finds nothing amiss where protection works, and one thing where one is',
  tier: 'turn',
  shows: ['nothing-silent'],
  trials: { ci: 1, soak: 1 },
  seconds: 90,
  run: checkThenProtect,
};
