/**
 * The README's way from two bare hosts to a protected guest, line by line as it stands there, with
 * the Debian package's files on one host and the npm tarball's on the other.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeVolume, volumePath } from '../disks.ts';
import { installPackages, removePackages } from '../installed.ts';
import { type HostId, heartbeatTimeoutMs } from '../lab.ts';
import { waitForEpoch } from '../session.ts';
import { checkoutDir } from '../settings.ts';
import { small } from './clients.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';

/** The guest of the README and its disk, as they are called and as large as they can be here. */
const guest = 'h1';
const diskMib = 8;

interface Line {
  readonly host: HostId;
  readonly command: string;
}

/** What the README types, in its order; a comment behind it is for people. */
function readmeLines(): Line[] {
  const text = readFileSync(join(checkoutDir, 'README.md'), 'utf8');
  const [, section = ''] = /\n## From two bare Xen hosts[^\n]*\n(.*?)\n## /s.exec(text) ?? [];
  return [...section.matchAll(/^ {4}host(a|b)# (.+?)(?: {2,}# .*)?$/gm)].map(
    ([, host = '', command = '']) => ({
      host: host as HostId,
      command: command.replaceAll('web1', guest).replace('-L 10g', `-L ${diskMib}m`),
    }),
  );
}

async function typed(trial: Trial, { host, command }: Line): Promise<string> {
  const ran = await trial.lab.ssh(host, command);
  trial.check(`exit code 0 of ${command} on host${host}`, ran.code === 0, ran);
  return ran.stdout;
}

/** What `check` found amiss is mended by the very line that it offers, once for each. */
async function mendedUntilWell(trial: Trial, line: Line): Promise<void> {
  for (let mended = 0; mended < 4; mended += 1) {
    const ran = await trial.lab.ssh(line.host, line.command);
    if (ran.code === 0) return trial.measure('mended_before_well', mended);
    const [, cure = ''] = /^ {2}fail .*\n +Try: (.*)$/m.exec(ran.stdout) ?? [];
    trial.say(`check fails; it says: ${cure}`);
    await typed(trial, { host: line.host, command: cure });
  }
  trial.check('check to be content after its own cures', false, line.command);
}

/** As in a terminal that is closed then. */
async function protectedBy(trial: Trial, { host, command }: Line): Promise<void> {
  const env = `TSREMUS_HEARTBEAT_TIMEOUT=${heartbeatTimeoutMs()}`;
  const line = `${env} setsid ${command} </dev/null >/run/protect-${guest}.out 2>&1 &`;
  await trial.lab.ssh(host, line);
  await waitForEpoch(trial.lab, host, guest, 2);
}

/** How each line of the README is typed, by its beginning; null: a test of its own does. */
const ways: readonly (readonly [
  RegExp,
  ((trial: Trial, line: Line) => Promise<unknown>) | null,
])[] = [
  // The lab's keys are there from the start.
  [/^ssh-copy-id /, null],
  [/^lvcreate /, typed],
  [/^(mkdir|echo) /, typed],
  [/^tsremus check /, mendedUntilWell],
  [/^tsremus protect /, protectedBy],
  [/^tsremus status$/, typed],
  // test/e2e/watch.test.ts, in a terminal.
  [/^tsremus status --watch$/, null],
  [/^tsremus report /, typed],
  [/^tsremus set /, typed],
  // Scenarios of their own.
  [/^tsremus drill /, null],
  [/^tsremus stop /, typed],
  [/^tsremus failover /, null],
];

async function installed(trial: Trial): Promise<void> {
  const { lab } = trial;
  const disk = await makeVolume(lab, guest, diskMib);
  await lab.ssh('b', `lvremove -q -y ${disk}`);
  trial.atEnd(() => removePackages(lab));
  await installPackages(lab);
  await trial.createGuest('a', 'pvh', 200, guest, { ...small, disk: volumePath(guest) });
  const lines = readmeLines();
  trial.check('ten lines or more in the README', lines.length >= 10, lines);
  for (const line of lines) {
    const [, way] = ways.find(([begins]) => begins.test(line.command)) ?? [];
    trial.check('a way to type every line of the README', way !== undefined, line);
    if (!way) continue;
    trial.say(`host${line.host}# ${line.command}`);
    await way(trial, line);
  }
  await trial.checkDomains('b', []);
}

export const installTest: Scenario = {
  name: 'install',
  proves: 'the README leads from two bare hosts to a protected guest: the package, the tarball',
  tier: 'turn',
  shows: ['nothing-silent', 'ordered-end'],
  trials: { ci: 1, soak: 1 },
  seconds: 240,
  run: installed,
};
