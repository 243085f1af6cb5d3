/**
 * Stands for src/app/disks.ts in a build of the program: the mirror driver and its native capture
 * as they ship, over a plain file. What the kernel has of a mirror is a model
 * (native/bench/model.c), so the guest's writes never come; a first copy is the real one.
 */
import { join } from 'node:path';
import type { ThisHost } from '../../src/app/host.ts';
import type { MirrorFiles, MirrorPorts } from '../../src/disk/mirror/host.ts';
import { mirrorFolder } from '../../src/disk/mirror/left.ts';
import { markSource, goOnAlone as noteAlone } from '../../src/disk/mirror/mark.ts';
import { openMirrors } from '../../src/disk/mirror/primary.ts';
import { type DiskDriver, noDisks } from '../../src/disk/port.ts';
import { CaptureLibrary } from '../../src/native/capture.ts';

export {
  cedeLeft,
  describeDisks,
  diskRefusals,
  goOnAlone,
  loadDiskRepair,
  repairDisks,
} from '../fixtures/played-disks.ts';

/** The model's volume, at 253:0, and a leg that nobody has. */
const texts: Readonly<Record<string, string>> = {
  '/sys/dev/block/253:0/dm/name': 'vol',
  '/sys/dev/block/253:0/dm/uuid': '',
  '/sys/dev/block/253:0/ro': '0',
  '/sys/dev/block/253:0/queue/logical_block_size': '512',
  '/sys/block/nbd0/dev': '43:0',
};

const files: MirrorFiles = {
  stat: async () => ({ kind: 'block', rdev: 253 << 8 }),
  readLink: async () => '../../devices/virtual/block/dm-0',
  async readText(path) {
    const text = texts[path];
    if (text === undefined) throw Object.assign(new Error(path), { code: 'ENOENT' });
    return text;
  },
  list: async (path) => (path === '/sys/block' ? ['nbd0'] : []),
};

/** Reads `path` where it would read the device over the volume's plain table. */
class FileCaptures extends CaptureLibrary {
  readonly #path: string;

  constructor(native: string | undefined, path: string) {
    super(native);
    this.#path = path;
  }

  override async makeUnder(volume: string, under: string): Promise<string> {
    await super.makeUnder(volume, under);
    return this.#path;
  }
}

/** There is no device to be held; what it was given stays open as long as this process is. */
const startGuard: MirrorPorts['startGuard'] = (_argv, _given, onLine) => {
  let end: (how: string) => void = () => {};
  const gone = new Promise<string>((resolve) => {
    end = resolve;
  });
  queueMicrotask(() => onLine('event=connected'));
  return { pid: process.pid, gone, tell: () => end('exit code 0'), kill: () => end('SIGKILL') };
};

export function primaryDisks(
  host: ThisHost,
  say: (text: string) => void,
  copyBytesPerSecond = 0,
): Pick<DiskDriver, 'name' | 'openPrimary' | 'openCompared' | 'goOnAlone'> {
  const { clock, timers, store, settings, env, nativePath } = host;
  const place = { store, stateDirectory: settings.stateDirectory };
  return {
    name: 'mirror',
    openCompared: noDisks.openCompared,
    goOnAlone: (uuid, session) => noteAlone(place, uuid, session),
    openPrimary(spec, session, copy) {
      const [disk] = spec.writableDisks;
      const captures = new FileCaptures(
        nativePath,
        join(env['SIMXL_HOST'] ?? '', `${disk?.target}`),
      );
      const ports: MirrorPorts = {
        ...{ clock, timers, store, say, copyBytesPerSecond, files, startGuard },
        folder: mirrorFolder(settings.runDirectory),
        captures: async () => captures,
        run: async () => {},
        guestDevices: async () => [],
        markSource: (one, by) => markSource(place, one, by),
        // No volume of LVM's is in it.
        followMarks: async () => {},
      };
      return openMirrors(ports, spec, session, copy);
    },
  };
}
