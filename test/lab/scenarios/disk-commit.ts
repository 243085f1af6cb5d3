/**
 * A guest with two disks at the death of its host, one of sectors and one with a file system: what
 * it goes on with is memory and disks of one moment, and what a client was told is durable is on
 * both.
 */
import { devicePathOf } from '../../../src/disk/block-script.ts';
import {
  activateVolumes,
  checkFiles,
  digestVolume,
  filesJournalOn,
  journalOn,
  makeFile,
  makeFiles,
  makeVolume,
} from '../disks.ts';
import {
  appendInGuest,
  guestState,
  hangMs,
  setGuestDisk,
  setGuestFiles,
  sleep,
  unmountGuestFiles,
  verifyGuestDisk,
  verifyGuestFiles,
  waitFor,
} from '../lab.ts';
import { backupName, peek, waitForEpoch } from '../session.ts';
import { acknowledgedEpoch, checkActivatedFrom, firstAnswer, measureSteps } from './death.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';

const volumeMib = 24;
const filesMib = 16;
/** Of the guest; under emulation a write over NBD takes milliseconds. */
const requestsPerSecond = 100;
/** Of its files, each of some of the file system's own requests. */
const changesPerSecond = 10;
/** An answer waits for the end of its epoch, which comes late on a busy machine. */
const answerMs = 15_000;

/** A client that has the guest write its journal, entry by entry, until the guest is gone. */
class JournalClient {
  readonly #guest: string;
  #told = 0;
  #over = false;
  readonly #running: Promise<void>;

  constructor(guest: string) {
    this.#guest = guest;
    this.#running = this.#run();
  }

  /** The last entry of which it was told that it is durable. */
  get told(): number {
    return this.#told;
  }

  async #run(): Promise<void> {
    while (!this.#over) {
      try {
        this.#told = Math.max(this.#told, await appendInGuest(this.#guest, answerMs));
      } catch {
        // Held, or its host is dead.
      }
      await sleep(20);
    }
  }

  /** No other entry is asked for. */
  end(): void {
    this.#over = true;
  }

  async close(): Promise<void> {
    this.end();
    await this.#running;
  }
}

/** What the guest has for a disk. */
type DiskSort = 'volume' | 'file';

async function commitDisk(trial: Trial, index: number, sort: DiskSort): Promise<void> {
  const kind = trial.kindFor(index % 2 === 0 ? 'pvh' : 'pv');
  const name = kind === 'pv' ? 'g1' : 'h1';
  const disk = await (sort === 'file' ? makeFile : makeVolume)(trial.lab, name, volumeMib);
  const files = await makeFiles(trial.lab, `${name}-files`, filesMib);
  const script = sort === 'file' ? { diskScript: 'block-tsremus' } : {};
  const device = devicePathOf({ target: disk, script: script.diskScript ?? null });
  const guest = await trial.createGuest('a', kind, 200, name, { disk, files, ...script });
  const before = await guestState(guest);
  await setGuestDisk(guest, requestsPerSecond);
  await setGuestFiles(guest, changesPerSecond);
  await trial.protect('a', guest, 3, { buffered: true, disks: true });
  const client = new JournalClient(guest);
  trial.atEnd(() => client.close());
  const waitMs = trial.random.between(2000, 6000);
  trial.say(`${guest}: ${kind}, killed after ${Math.round(waitMs)} ms`);
  await sleep(waitMs);
  await waitFor('an entry that is durable', hangMs, async () => client.told > 0 || undefined);
  const least = await acknowledgedEpoch(trial, guest);
  const killedMs = await trial.kill('a');
  // What it was told, it was told by then: what comes later comes from the survivor.
  const { told } = client;
  client.end();
  const { state } = await firstAnswer(trial, guest, killedMs);
  await trial.checkContinues(guest, before, state);
  await checkActivatedFrom(trial, guest, least);
  await measureSteps(trial, guest, killedMs);
  const disked = await verifyGuestDisk(guest);
  trial.check(`${guest}: a disk of the moment that its memory is of`, disked.ok, disked);
  trial.measure('sectors_checked', disked.sectors);
  trial.measure('requests', disked.requests);
  const entries = await journalOn(trial.lab, 'b', device, before.boot);
  trial.check(`${told} entries or more, which a client was told of`, entries >= told, entries);
  await checkFilesOf(trial, guest, before.boot, told);
  trial.check('that a client was told of an entry', told > 0, told);
  trial.measure('journal_told', told);
  trial.reviveInBackground('a');
}

/**
 * The second disk: no file is otherwise than the guest's memory has it, nothing in the page cache
 * helps; and, unmounted, what another host reads is a whole file system with all that was told.
 */
async function checkFilesOf(
  trial: Trial,
  guest: string,
  boot: string,
  told: number,
): Promise<void> {
  const name = `${guest}-files`;
  const found = await verifyGuestFiles(guest);
  trial.check(`${guest}: files of the moment that its memory is of`, found.ok, found);
  trial.measure('files', found.files);
  trial.measure('file_changes', found.changes);
  const left = await unmountGuestFiles(guest);
  trial.check(`${guest}: its file system to be unmounted`, !left.mounted && left.ok, left);
  const checked = await checkFiles(trial.lab, 'b', name);
  trial.check('exit code 0 of e2fsck on host B', checked.code === 0, checked);
  const lines = await filesJournalOn(trial.lab, 'b', name, boot);
  trial.check(`${told} lines or more, which a client was told of`, lines >= told, lines);
}

/** The last line of a resync that went well. */
async function resync(trial: Trial, guest: string): Promise<Record<string, number>> {
  const ran = await trial.lab.ssh('b', `tsremus resync --json ${guest} ${backupName('b')}`);
  trial.check('exit code 0 of resync', ran.code === 0, ran);
  return JSON.parse(ran.stdout.trim().split('\n').at(-1) ?? '{}') as Record<string, number>;
}

/** Host A comes back with the disk that it had, which is the older one now. */
async function returnDisk(trial: Trial): Promise<void> {
  const { lab } = trial;
  const name = 'h1';
  const disk = await makeVolume(lab, name, volumeMib);
  const guest = await trial.createGuest('a', 'pvh', 200, name, { disk });
  const before = await guestState(guest);
  await setGuestDisk(guest, requestsPerSecond);
  await trial.protect('a', guest, 2, { buffered: true, disks: true });
  const killedMs = await trial.kill('a');
  await firstAnswer(trial, guest, killedMs);
  await trial.bootAgain('a');
  await activateVolumes(lab, 'a');
  const found = await lab.ssh('a', `test -e ${disk}`);
  trial.check('no path to the disk of a guest that may be elsewhere', found.code !== 0, found);
  const asked = await lab.ssh('a', `tsremus status; tsremus stop ${guest}`);
  trial.check('exit code 17 of stop on a host that came back', asked.code === 17, asked);
  // The guest writes on meanwhile.
  const {
    bytes = 0,
    equal_bytes: equal = 0,
    sent_bytes: sent = 0,
    ms = 0,
  } = await resync(trial, guest);
  trial.measure('resync_ms', ms);
  trial.measure('resync_bytes', bytes);
  trial.measure('resync_equal_bytes', equal);
  trial.measure('resync_sent_bytes', sent);
  trial.check('all of the disk', bytes === volumeMib * 1024 ** 2, bytes);
  const again = await resync(trial, guest);
  trial.measure('resync_again_sent_bytes', again['sent_bytes'] ?? 0);
  const beganMs = Date.now();
  await trial.protect('b', guest, 1, { buffered: true, disks: true });
  trial.measure('back_to_protected_ms', Date.now() - beganMs);
  await setGuestDisk(guest, 0);
  const disked = await verifyGuestDisk(guest);
  trial.check(`${guest}: a disk of the moment that its memory is of`, disked.ok, disked);
  // Nothing is written any more: what these hold is at rest on both hosts.
  const epoch = (await peek(lab, 'b', guest, 'primary'))?.epoch ?? 0;
  await waitForEpoch(lab, 'b', guest, epoch + 2);
  const stopped = await lab.ssh('b', `tsremus stop ${guest}`);
  trial.check('exit code 0 of stop', stopped.code === 0, stopped);
  await trial.checkContinues(guest, before, await guestState(guest));
  const away = await lab.ssh('a', `test -e ${disk}`);
  trial.check('no path to a copy that no session has', away.code !== 0, away);
  const digests = await Promise.all((['a', 'b'] as const).map((id) => digestVolume(lab, id, name)));
  trial.check('the same bytes on both disks', digests[0] === digests[1], digests);
  const verified = await lab.ssh('b', `tsremus resync --verify ${guest} ${backupName('b')}`);
  trial.check('exit code 0 of a comparison', verified.code === 0, verified);
}

export const diskReturn: Scenario = {
  name: 'disk-return',
  proves:
    'a host that comes back is brought up to date while the guest runs, from newer to older only',
  tier: 'turn',
  shows: ['one-commit', 'host-dies'],
  trials: { ci: 1, soak: 4 },
  seconds: 170,
  run: returnDisk,
};

export const diskCommit: Scenario = {
  name: 'disk-commit',
  proves: 'after the death of its host a guest goes on with memory and both disks of one moment',
  tier: 'core',
  shows: ['one-commit', 'host-dies'],
  trials: { ci: 2, soak: 20, core: 1 },
  seconds: 125,
  run: (trial, index) => commitDisk(trial, index, 'volume'),
};

export const diskFile: Scenario = {
  name: 'disk-file',
  proves: 'a disk that is a file, under the script for it, is as good as a volume',
  tier: 'turn',
  shows: ['one-commit', 'host-dies'],
  trials: { ci: 1, soak: 4 },
  seconds: 125,
  run: (trial, index) => commitDisk(trial, index, 'file'),
};
