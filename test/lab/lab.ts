/**
 * The lab, for tests, the demonstration and the soak: two real Xen hosts on this machine.
 *
 *     const lab = await openLab('my test');      // takes the lock, boots what is missing
 *     await lab.createGuest('a', 'g1', 'pv', { rate: 2000 });
 *     await lab.ssh('a', 'tsremus protect -F -n -d g1 hostb');
 *     await lab.kill('a');
 *     lab.close();                                // gives the lock back; the hosts stay up
 *
 * Guarantees: one user at a time (lock.ts); every wait has a limit; what fails names the log to
 * look at; `down` leaves nothing behind but the cache, also after a crash.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Asked, needsModel } from './asked.ts';
import { ensureBuilt, type Images, type Report } from './build.ts';
import { type CommandResult, LabError, RefusedError, run } from './command.ts';
import {
  createGuest,
  type GuestKind,
  type GuestOptions,
  requireKind,
  setProgram,
} from './guest.ts';
import {
  closeConnection,
  emulatorPid,
  executeIn,
  isRunning,
  killEmulator,
  markConsole,
  startEmulator,
  waitForBoot,
} from './host.ts';
import { acquireLock, withLock } from './lock.ts';
import { requireRoot } from './machine.ts';
import { createNetwork, deleteNetwork, heal, networkExists, processesInside } from './network.ts';
import { buildStamp, makePayload, stageInstallation } from './payload.ts';
import { type HostId, hostIds, hosts, runDir } from './settings.ts';
import { askedSuite, defaultSuite } from './suites.ts';

export {
  type Beacon,
  type BeaconCapture,
  captureBeacons,
  findGaps,
  findTwoSpeakers,
} from './beacons.ts';
export { type CommandResult, hangMs, LabError, RefusedError, sleep, waitFor } from './command.ts';
export * from './guest.ts';
export { monitor } from './host.ts';
export { type CutDirection, type CutTimes, cut, cutFor, heal } from './network.ts';
export { type HostId, hosts, otherHost } from './settings.ts';

const imagesPath = join(runDir, 'images.json');
const payloadPath = join(runDir, 'payload.tar');

/** A lab that is up and that this process may use. */
export interface Lab {
  readonly images: Images;
  /** Runs a command in a host; never rejects because of the command's exit code. */
  ssh(
    host: HostId,
    command: string | readonly string[],
    options?: { timeoutMs?: number; input?: string | Buffer },
  ): Promise<CommandResult>;
  /** SIGKILL of the host's emulator; returns the time of the kill in ms of Date.now(). */
  kill(host: HostId): Promise<number>;
  /** Stops a host as a stalled machine would, and lets it run on. */
  freeze(host: HostId): void;
  thaw(host: HostId): void;
  /** Boots a host that does not run, from the disk that it left. */
  start(host: HostId): Promise<void>;
  /** Kills the host if it runs and boots it from a fresh disk. */
  restart(host: HostId): Promise<void>;
  createGuest(host: HostId, name: string, kind: GuestKind, options?: GuestOptions): Promise<void>;
  /** Destroys all guests and copies on the running hosts, ends tsremus there, heals the network. */
  clean(): Promise<void>;
  /** Pushes the checkout's present build into the running hosts. */
  install(): Promise<void>;
  /** Gives the lock back. The hosts stay up. */
  close(): void;
}

/**
 * Takes the lock, brings everything up that is not, and hands out the lab: of the suite that was
 * asked for, here or by TSREMUS_LAB_SUITE, else of the default. Hosts of another one that are up
 * are refused, so that no result is of another suite than its reader thinks.
 */
export async function openLab(
  purpose: string,
  report: Report = () => {},
  { suite = askedSuite() ?? defaultSuite, kind = null }: Asked = {},
): Promise<Lab> {
  const release = acquireLock(purpose);
  try {
    const images = await up({ report, suite, kind });
    return labOf(images, release);
  } catch (error) {
    release();
    throw error;
  }
}

function labOf(images: Images, release: () => void): Lab {
  return {
    images,
    ssh: (host, command, options) => executeIn(host, images, command, options),
    kill,
    freeze,
    thaw,
    start: (host) => bootHosts([host], images, false),
    restart: async (host) => {
      if (isRunning(host)) await kill(host);
      await bootHosts([host], images, true);
    },
    createGuest: (host, name, kind, options) => createGuest(images, host, name, kind, options),
    clean: () => clean(images),
    install: async () => {
      await install(images);
    },
    close: release,
  };
}

/** Builds what is missing and boots the hosts that do not run. Fresh hosts get fresh disks. */
export async function up(
  options: Asked & { report?: Report; only?: HostId } = {},
): Promise<Images> {
  const { report = () => {}, suite = askedSuite(), kind = null } = options;
  requireRoot();
  return withLock('lab up', async () => {
    await endHalfBooted();
    if (!hostIds.some(isRunning)) await sweep();
    // Hosts that run decide what the others boot: the pair must be of one build.
    const running = existsSync(imagesPath) && networkExists();
    const images = running
      ? currentImages()
      : await ensureBuilt(suite ?? defaultSuite, needsModel(kind), report);
    if (suite !== undefined && images.suite !== suite) {
      throw new RefusedError(`the lab that is up is of ${images.suite}, not of ${suite}`, {
        hint: `npm run lab -- down; or take it as it is, with --suite ${images.suite}`,
      });
    }
    if (kind !== null) requireKind(images, kind);
    if (!networkExists()) {
      mkdirSync(runDir, { recursive: true, mode: 0o700 });
      await createNetwork();
    }
    writeFileSync(imagesPath, JSON.stringify(images));
    setProgram(images.program);
    // Of hosts that were up before, their last boots count.
    if (boots.length === 0) boots.push(...hostIds.filter(isRunning).map(bootSecondsOf));
    const outdated = hostIds.filter((id) => isRunning(id) && installedStamp(id) !== buildStamp());
    if (outdated.length > 0) await install(images, outdated);
    const wanted = options.only ? [options.only] : hostIds;
    await bootHosts(
      wanted.filter((id) => !isRunning(id)),
      images,
      true,
      report,
    );
    await heal();
    return images;
  });
}

/** A run that was interrupted leaves hosts that nobody saw boot. */
async function endHalfBooted(): Promise<void> {
  for (const id of hostIds) {
    if (isRunning(id) && !existsSync(readyMark(id))) await killEmulator(id);
  }
}

const boots: number[] = [];

/**
 * How long the boots of the hosts took that this process uses, seconds. By this yardstick of the
 * machine, as it is now, its other times are to be read.
 */
export const bootSeconds: readonly number[] = boots;

/** A quiet machine boots a host in 17 seconds, and its hosts are heard of every 100 ms. */
const quietBootSeconds = 25;
const timeoutMsPerBootSecond = 150;
const timeoutMsMax = 60_000;

/**
 * The heartbeat timeout of a session that is to see a dead host and no slow one, ms: `leastMs` on a
 * quiet machine, and more the longer the hosts' last boots took. (One that booted hosts in 113 s
 * let a backup, at work on its seed, be silent for 8.5 s.)
 */
export function heartbeatTimeoutMs(leastMs = 1000): number {
  const slowest = Math.max(0, ...boots.slice(-hostIds.length));
  if (slowest <= quietBootSeconds) return leastMs;
  const neededMs = Math.round(slowest) * timeoutMsPerBootSecond;
  return Math.min(timeoutMsMax, Math.max(leastMs, neededMs));
}

const readyMark = (id: HostId) => join(hosts[id].dir, 'ready');
const bootSecondsOf = (id: HostId) => Number(readFileSync(readyMark(id), 'utf8'));
const stampPath = (id: HostId) => join(hosts[id].dir, 'installed');

/** Which build of the checkout a host has. */
function installedStamp(id: HostId): string {
  return existsSync(stampPath(id)) ? readFileSync(stampPath(id), 'utf8') : '';
}

/** What the running lab was started with; fails when it is not up. */
export function currentImages(): Images {
  if (!existsSync(imagesPath))
    throw new LabError('the lab is not up', { hint: 'npm run lab -- up' });
  const images = JSON.parse(readFileSync(imagesPath, 'utf8')) as Images;
  setProgram(images.program);
  return images;
}

async function bootHosts(
  wanted: readonly HostId[],
  images: Images,
  fresh: boolean,
  report: Report = () => {},
): Promise<void> {
  const missing = wanted.filter((id) => !isRunning(id));
  if (missing.length === 0) return;
  const startMs = performance.now();
  const stamp = buildStamp();
  // Each boot has its own payload file: an emulator may still read the one before.
  const absent = await makePayload(join(runDir, 'stage'), `${payloadPath}.new`, images);
  if (absent.length > 0) report(`not built yet, so not installed: ${absent.join(', ')}`);
  await Promise.all(
    missing.map(async (id) => {
      const payload = join(hosts[id].dir, 'payload.tar');
      mkdirSync(hosts[id].dir, { recursive: true });
      await run(['cp', '--reflink=auto', `${payloadPath}.new`, payload]);
      await closeConnection(id);
      rmSync(readyMark(id), { force: true });
      const offset = markConsole(id);
      await startEmulator(id, images, payload, { fresh });
      await waitForBoot(id, offset);
      await executeIn(id, images, 'true'); // opens the shared connection
      writeFileSync(stampPath(id), stamp);
      const seconds = (performance.now() - startMs) / 1000;
      writeFileSync(readyMark(id), String(seconds));
      boots.push(seconds);
      report(`${hosts[id].name} is up after ${seconds.toFixed(1)} s`);
    }),
  );
  rmSync(`${payloadPath}.new`, { force: true });
}

/** Ends everything that the lab started, now or in a run that crashed. */
export async function down(): Promise<void> {
  requireRoot();
  await withLock('lab down', sweep);
}

async function sweep(): Promise<void> {
  for (const id of hostIds) {
    await closeConnection(id);
    await killEmulator(id);
  }
  await endInside();
  await deleteNetwork();
  rmSync(runDir, { recursive: true, force: true });
}

/** Ends what still runs in the lab's namespace: captures, pings and shells of the lab. */
async function endInside(): Promise<void> {
  for (const pid of await processesInside()) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // gone by itself
    }
  }
}

/** Stops a host as a stalled machine would: its clock runs on, its network goes silent. */
export function freeze(id: HostId): void {
  signalEmulator(id, 'SIGSTOP');
}

/** Lets a frozen host run on. */
export function thaw(id: HostId): void {
  signalEmulator(id, 'SIGCONT');
}

function signalEmulator(id: HostId, signal: 'SIGSTOP' | 'SIGCONT'): void {
  const pid = emulatorPid(id);
  if (pid === undefined) throw new LabError(`${hosts[id].name} does not run`);
  process.kill(pid, signal);
}

/** SIGKILL of a host's emulator, and nothing else. The answer is when, in ms of Date.now(). */
export async function kill(id: HostId): Promise<number> {
  if (emulatorPid(id) === undefined) throw new LabError(`${hosts[id].name} does not run`);
  const timeMs = Date.now();
  await killEmulator(id);
  await closeConnection(id);
  return timeMs;
}

/** Runs a command in a host of the running lab. */
export async function ssh(
  id: HostId,
  command: string | readonly string[],
  options: { timeoutMs?: number; input?: string | Buffer; inherit?: boolean } = {},
): Promise<CommandResult> {
  return executeIn(id, currentImages(), command, options);
}

/** Pushes the present build into running hosts; the answer is what is not built yet. */
export async function install(
  images: Images = currentImages(),
  into: readonly HostId[] = hostIds.filter(isRunning),
): Promise<string[]> {
  const stamp = buildStamp();
  const stage = join(runDir, 'stage-install');
  rmSync(stage, { recursive: true, force: true });
  const absent = stageInstallation(stage);
  const archive = `${stage}.tar`;
  await run([
    'tar',
    '--create',
    '--file',
    archive,
    '--owner=0',
    '--group=0',
    '--directory',
    stage,
    '.',
  ]);
  const input = readFileSync(archive);
  const script = [
    'rm -rf /opt/.new && mkdir /opt/.new && tar -x -C /opt/.new --no-same-owner',
    // A running tsremus keeps the files that it has open; new ones find only the new build.
    'rm -rf /opt/tsremus && mv /opt/.new/opt/tsremus /opt/tsremus',
    'mv /opt/.new/usr/local/sbin/tsremus /usr/local/sbin/tsremus && rm -rf /opt/.new',
  ].join(' && ');
  await Promise.all(
    into.map(async (id) => {
      const result = await executeIn(id, images, script, { input });
      if (result.code !== 0) {
        throw new LabError(`cannot install in ${hosts[id].name}: ${result.stderr.trim()}`, {
          log: hosts[id].consoleLog,
        });
      }
      writeFileSync(stampPath(id), stamp);
    }),
  );
  rmSync(stage, { recursive: true, force: true });
  rmSync(archive, { force: true });
  return absent;
}

/** Ends tsremus and xl's migrations, destroys every guest and copy, on all running hosts. */
export async function clean(images: Images = currentImages()): Promise<void> {
  await heal();
  const script = readFileSync(new URL('host/clean', import.meta.url), 'utf8');
  await Promise.all(
    hostIds.filter(isRunning).map(async (id) => {
      const result = await executeIn(id, images, 'bash -s', { input: script });
      if (result.code !== 0) {
        throw new LabError(`cannot clean ${hosts[id].name}: ${result.stderr.trim()}`, {
          log: hosts[id].consoleLog,
        });
      }
    }),
  );
}
