/** What cannot be done is said in one message with its own exit code, and the guest runs on. */
import { type GuestState, guestState, type HostId } from '../lab.ts';
import type { Scenario } from './scenario.ts';
import { backupOf, type Trial } from './trial.ts';

interface Refusal {
  readonly name: string;
  readonly code: number;
  /** What the message must name. */
  readonly says: RegExp;
  readonly command: string;
  /** Makes the trouble, and takes it away again. */
  readonly prepare?: readonly [HostId, string, string];
}

const fill =
  'mkdir -p /var/lib/tsremus && mount -t tmpfs -o size=64k tmpfs /var/lib/tsremus && ' +
  '{ cat /dev/zero >/var/lib/tsremus/filler 2>/dev/null; true; }';

function refusals(guest: string): Refusal[] {
  const backup = backupOf('a');
  const protect = (host: string, domain = guest) => `tsremus protect -F -n -d ${domain} ${host}`;
  return [
    { name: 'no such domain', code: 12, says: /nobody/, command: protect(backup, 'nobody') },
    { name: 'wrong host', code: 13, says: /nosuchhost/, command: protect('nosuchhost') },
    {
      name: 'backup without tsremus',
      code: 13,
      says: /tsremus/,
      command: protect(backup),
      prepare: [
        'b',
        'mv /usr/local/sbin/tsremus /usr/local/sbin/tsremus.away',
        'mv /usr/local/sbin/tsremus.away /usr/local/sbin/tsremus',
      ],
    },
    {
      name: 'disk full on the backup',
      code: 15,
      says: /full|space/i,
      command: protect(backup),
      prepare: ['b', fill, 'umount /var/lib/tsremus'],
    },
    {
      name: 'not root',
      code: 77,
      says: /root/,
      command: `setpriv --reuid=65534 --regid=65534 --clear-groups ${protect(backup)}`,
    },
    {
      name: 'no Xen',
      code: 69,
      says: /libxenlight|Xen/,
      command: `TSREMUS_LIBXL=/nonexistent/libxenlight.so ${protect(backup)}`,
    },
    {
      name: 'unbuffered without -F',
      code: 64,
      says: /-F/,
      command: `tsremus protect -n ${guest} ${backup}`,
    },
  ];
}

async function refuse(trial: Trial, guest: string, refusal: Refusal): Promise<void> {
  const [host, make, undo] = refusal.prepare ?? [];
  if (host && make) {
    const made = await trial.lab.ssh(host, make);
    trial.check(`${refusal.name}: trouble made`, made.code === 0, made);
  }
  const done = await trial.lab.ssh('a', refusal.command);
  if (host && undo) await trial.lab.ssh(host, undo);
  const { name } = refusal;
  const errors = done.stderr.split('\n').filter((line) => /^(tsremus|Error):/.test(line));
  trial.checkEqual(`${name}: exit code`, done.code, refusal.code);
  trial.check(`${name}: one message that names it`, errors.length === 1, done.stderr);
  trial.check(
    `${name}: a message with ${refusal.says}`,
    refusal.says.test(done.stderr),
    done.stderr,
  );
  trial.check(`${name}: nothing on stdout`, done.stdout === '', done.stdout);
  trial.measure('refused_after_ms', done.durationMs);
  await trial.checkSpeaks(guest, 'a');
  await trial.checkDomains('b', []);
}

async function messages(trial: Trial): Promise<void> {
  const guest = await trial.createGuest('a', 'pv', 2000);
  const before: GuestState = await guestState(guest);
  for (const refusal of refusals(guest)) await refuse(trial, guest, refusal);
  const entry = await trial.protect('a', guest, 1);
  const again = await trial.lab.ssh('a', `tsremus protect -F -n -d ${guest} ${backupOf('a')}`);
  trial.checkEqual('already protected: exit code', again.code, 11);
  const names = new RegExp(`${guest}.*${entry.pid}`);
  trial.check('a message with guest and process', names.test(again.stderr), again.stderr);
  const stopped = await trial.lab.ssh('a', `tsremus stop ${guest}`);
  trial.check('protection as it was, until stopped', stopped.code === 0, stopped);
  await trial.checkDomains('b', []);
  await trial.checkContinues(guest, before, await guestState(guest));
}

export const messagesTest: Scenario = {
  name: 'messages',
  proves:
    'each thing that cannot be done has one message and its exit code, and leaves the guest alone',
  tier: 'turn',
  shows: ['nothing-silent'],
  trials: { ci: 1, soak: 1 },
  seconds: 60,
  run: messages,
};
