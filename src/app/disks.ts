/** The disks of this host's guests, and what replicates them. */
import { join } from 'node:path';
import { devicePathOf } from '../disk/block-script.ts';
import type { MirrorPorts } from '../disk/mirror/host.ts';
import type { DiskDriver, DiskFacts } from '../disk/port.ts';
import { errorText } from '../host/errors.ts';
import { run } from '../host/runner.ts';
import type { GuestDisk, GuestSpec } from '../hypervisor/port.ts';
import type { CaptureLibrary } from '../native/capture.ts';
import type { ThisHost } from './host.ts';
import { loadLvm, lvmPorts } from './lvm.ts';
import { unitForDiskGuard } from './own-unit.ts';

/** modprobe, and udev that may be busy, ms. */
const commandMsMax = 30_000;

const guardProgram = 'tsremus-disk-guard';

/** What the mirror driver needs of this host. `say`: for the log. */
export async function mirrorPorts(
  host: ThisHost,
  { uuid, name }: Pick<GuestSpec, 'uuid' | 'name'>,
  say: (text: string) => void,
  copyBytesPerSecond = 0,
): Promise<MirrorPorts> {
  const { mirrorFiles, spawnGuard } = await import('../disk/mirror/host.ts');
  const { mirrorFolder } = await import('../disk/mirror/left.ts');
  const { readGuestDevices } = await import('../disk/mirror/guests.ts');
  const { besideNative } = await import('../native/loader.ts');
  // Now: a session's end may come when an upgrade has taken the files away.
  const { followMarks } = await import('../disk/mirror/lvm.ts');
  const lvm = await lvmPorts(host, say);
  const { clock, timers, store, settings, env, nativePath } = host;
  let library: CaptureLibrary | null = null;
  return {
    clock,
    timers,
    store,
    say,
    copyBytesPerSecond,
    guestDevices: readGuestDevices,
    async markSource(disk, of) {
      const { markSource } = await import('../disk/mirror/mark.ts');
      const path = join(env['SIMXL_HOST'] ?? '', disk.path);
      const { stateDirectory } = settings;
      return markSource({ store, stateDirectory }, { ...disk, path }, of);
    },
    followMarks: (of) => followMarks(lvm, of),
    files: mirrorFiles(env['SIMXL_HOST'] ?? ''),
    folder: mirrorFolder(settings.runDirectory),
    async captures() {
      const { CaptureLibrary } = await import('../native/capture.ts');
      library ??= new CaptureLibrary(nativePath);
      return library;
    },
    async run(argv) {
      await run(argv, { timeoutMs: commandMsMax });
    },
    startGuard(argv, given, onLine) {
      const guard = spawnGuard(besideNative(guardProgram, nativePath), argv, given, onLine);
      if (guard.pid !== null) void unitForDiskGuard(host, guard.pid, uuid, name);
      return guard;
    },
  };
}

/** Looks at each disk: what no driver takes, and why. */
export function diskRefusals(host: ThisHost): Pick<DiskDriver, 'refusals'> {
  return {
    async refusals(spec) {
      const { writableDisks } = spec;
      if (writableDisks.length === 0) return [];
      const { diskRefusals: refusalsOf } = await import('../disk/look.ts');
      const { lookAtDrbd } = await import('../disk/drbd/look.ts');
      const { drbdTools } = await import('../disk/drbd/tools.ts');
      const { roomRefusals } = await import('../disk/mirror/room.ts');
      const { lookForMirror } = await import('../disk/mirror/volume.ts');
      const ports = await mirrorPorts(host, spec, () => {});
      const { files } = ports;
      const drivers = [lookAtDrbd(drbdTools(files)), lookForMirror(ports)];
      const refusals = await refusalsOf(files, drivers, writableDisks);
      return [...refusals, ...roomRefusals(host.settings, writableDisks)];
    },
  };
}

/** What a session would tell the other host of the guest's disks; nothing is changed. */
export async function describeDisks(
  host: ThisHost,
  spec: GuestSpec,
): Promise<readonly { readonly facts: DiskFacts }[]> {
  const { lookAtOwn } = await import('../disk/mirror/compared.ts');
  const { readMark, sourceGeneration } = await import('../disk/mirror/mark.ts');
  const { store, settings } = host;
  const place = { store, stateDirectory: settings.stateDirectory };
  const generationOf = async (name: string) =>
    sourceGeneration(await readMark(place, spec.uuid, name));
  return lookAtOwn(await mirrorPorts(host, spec, () => {}), spec, generationOf);
}

/**
 * The mirror driver's end on the primary, for guests whose disks are replicated, or compared.
 * `copyBytesPerSecond`: what a first copy may read of each; 0: as much as goes.
 */
export function primaryDisks(
  host: ThisHost,
  say: (text: string) => void,
  copyBytesPerSecond = 0,
): Pick<DiskDriver, 'name' | 'openPrimary' | 'openCompared' | 'goOnAlone' | 'cede'> {
  return {
    name: 'mirror',
    goOnAlone: (uuid, session) => goOnAlone(host, { uuid, session }, say),
    cede: (uuid, session) => cedeDisks(host, { uuid, session }, say),
    async openPrimary(spec, session, copy) {
      if (spec.writableDisks.length === 0) return [];
      const { openMirrors } = await import('../disk/mirror/primary.ts');
      const ports = await mirrorPorts(host, spec, say, copyBytesPerSecond);
      return openMirrors(ports, spec, session, copy);
    },
    async openCompared(spec) {
      const { openOwn } = await import('../disk/mirror/compared.ts');
      const { HasherLibrary } = await import('../native/hasher.ts');
      const { nativePath, env } = host;
      const attach = async (disk: GuestDisk) => join(env['SIMXL_HOST'] ?? '', devicePathOf(disk));
      const ports = { hasher: new HasherLibrary(nativePath), attach, isAnyFile: false };
      return openOwn(await mirrorPorts(host, spec, say), ports, spec);
    },
  };
}

/** What repairDisks and goOnAlone need, loaded while the files are there: an upgrade takes them. */
export async function loadDiskRepair(): Promise<void> {
  await Promise.all([
    loadLvm(),
    import('../disk/mirror/host.ts'),
    import('../disk/mirror/guests.ts'),
    import('../disk/backing.ts'),
    import('../disk/mirror/left.ts'),
    import('../disk/mirror/lvm.ts'),
    import('../disk/mirror/mark.ts'),
    import('../native/loader.ts'),
    import('../native/capture.ts'),
  ]);
}

interface EndedSession {
  readonly uuid: string;
  readonly session: string;
}

/**
 * The guest goes on here without the copies of that session (mark.ts, M3), and everybody may use
 * its disks again. Never rejects.
 */
export async function goOnAlone(
  host: ThisHost,
  { uuid, session }: EndedSession,
  say: (text: string) => void,
): Promise<void> {
  const { goOnAlone: note } = await import('../disk/mirror/mark.ts');
  const { followMarks } = await import('../disk/mirror/lvm.ts');
  const ports = await lvmPorts(host, say);
  await note(ports, uuid, session).catch((error: unknown) => {
    say(`that ${uuid} goes on alone could not be noted of its disks: ${errorText(error)}`);
  });
  await followMarks(ports, uuid);
}

/**
 * It goes on with them, elsewhere. The disks here may be under mirrors still: whoever closes those
 * puts the volumes away. Never rejects.
 */
async function cedeDisks(
  { store, settings: { stateDirectory } }: ThisHost,
  { uuid, session }: EndedSession,
  say: (text: string) => void,
): Promise<void> {
  const { cede } = await import('../disk/mirror/mark.ts');
  await cede({ store, stateDirectory }, uuid, session).catch((error: unknown) => {
    say(`that ${uuid} goes on elsewhere could not be noted of its disks: ${errorText(error)}`);
  });
}

/** The same where no session has them any more. Never rejects. */
export async function cedeLeft(
  host: ThisHost,
  ended: EndedSession,
  say: (text: string) => void,
): Promise<void> {
  const { followMarks } = await import('../disk/mirror/lvm.ts');
  await cedeDisks(host, ended, say);
  await followMarks(await lvmPorts(host, say), ended.uuid);
}

/**
 * Takes away what dead sessions of the guest left of mirrors; sentences of what was done, and of
 * what could not be. Never rejects.
 */
export async function repairDisks(
  host: ThisHost,
  { uuid, domain: name }: { readonly uuid: string; readonly domain: string },
): Promise<readonly string[]> {
  const { repairLeft } = await import('../disk/mirror/left.ts');
  return repairLeft(await mirrorPorts(host, { uuid, name }, () => {}), uuid);
}
