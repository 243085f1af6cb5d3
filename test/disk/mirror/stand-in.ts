/**
 * A host for the mirror driver: volumes of the device mapper, NBD devices, disk guards and the
 * native capture, as far as the driver sees them. What it was asked is in `did`, in order.
 */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GuestDevice } from '../../../src/disk/mirror/guests.ts';
import type {
  Captures,
  GuardProcess,
  MirrorFiles,
  MirrorPorts,
} from '../../../src/disk/mirror/host.ts';
import { OperationError } from '../../../src/host/errors.ts';
import type { GuestSpec } from '../../../src/hypervisor/port.ts';
import type { CaptureFigures, FoundVolume } from '../../../src/native/capture.ts';
import type { NativeEvent, NativeEventKind } from '../../../src/native/events.ts';
import { store, time } from '../../fixtures/here.ts';

export const uuid = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
export const session = 'a'.repeat(32);

/** A guest with a disk on each of these paths. */
export function guestWith(...targets: readonly string[]): GuestSpec {
  const writableDisks = targets.map((target, at) => {
    return { name: `xvd${'abc'[at]}`, target, format: 'raw', script: null };
  });
  return { name: 'web1', uuid, writableDisks } as unknown as GuestSpec;
}

export class FakeGuard implements GuardProcess {
  readonly argv: readonly string[];
  readonly pid: number;
  readonly gone: Promise<string>;
  /** It does as it is told to. */
  obeys = true;
  die: (how: string) => void = () => {};
  readonly #onLine: (line: string) => void;
  readonly #did: string[];

  constructor(pid: number, argv: readonly string[], onLine: (line: string) => void, did: string[]) {
    this.pid = pid;
    this.argv = argv;
    this.#onLine = onLine;
    this.#did = did;
    this.gone = new Promise((resolve) => {
      this.die = resolve;
    });
  }

  say(line: string): void {
    this.#onLine(line);
  }

  tell(): void {
    this.#did.push('tell guard');
    if (this.obeys) this.die('exit code 0');
  }

  kill(): void {
    this.#did.push('kill guard');
    this.die('SIGKILL');
  }
}

const missing = (path: string) => Object.assign(new Error(path), { code: 'ENOENT' });

export class StandIn {
  readonly did: string[] = [];
  readonly said: string[] = [];
  readonly guards: FakeGuard[] = [];
  /** Disks that are marked as the ones that are copied from. */
  readonly marked: string[] = [];
  /** How often LVM was to do as the marks say. */
  followed = 0;
  /** Of the device mapper, by name. */
  readonly volumes = new Map<string, FoundVolume>();
  /** What sysfs and /dev have; a folder is what is below it. */
  readonly texts = new Map<string, string>();
  readonly devices = new Map<string, number>();
  /** Of each call that is named, errors for the next times that it is made. */
  readonly fails = new Map<string, Error[]>();
  /** How often a volume is busy before it is not. */
  busy = 0;
  takesDigests = true;
  figures: Partial<CaptureFigures> = {};
  /** What the guests of this host have. */
  readonly used: GuestDevice[] = [];
  /** What `readCapture` gives next. */
  pieces: { epoch: number; bytes: number; isEnd: boolean }[] = [];
  onGuard: (guard: FakeGuard) => void = (guard) => guard.say('event=connected device=x nbd=y');
  readonly #events: ((event: NativeEvent) => void)[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), 'tsremus-mirror-'));

  /** A volume `name` at /dev/mapper/NAME, 253:MINOR. */
  addVolume(name: string, minor: number, more: Partial<FoundVolume> = {}, sectorBytes = 512): void {
    const volume = { sizeBytes: 1 << 30, state: 'plain', hasUnder: false, target: '' } as const;
    this.volumes.set(name, { ...volume, leg: { major: 0, minor: 0 }, ...more });
    this.devices.set(`/dev/mapper/${name}`, (253 << 8) | minor);
    const dir = `/sys/dev/block/253:${minor}`;
    this.texts.set(`${dir}/dm/name`, `${name}\n`);
    this.texts.set(`${dir}/dm/uuid`, '\n');
    this.texts.set(`${dir}/ro`, '0\n');
    this.texts.set(`${dir}/queue/logical_block_size`, `${sectorBytes}\n`);
  }

  addLegs(...minors: readonly number[]): void {
    for (const minor of minors) this.texts.set(`/sys/block/nbd${minor}/dev`, `43:${minor}\n`);
  }

  /** What the newest capture tells. */
  tell(kind: NativeEventKind, about: Partial<NativeEvent> = {}): void {
    const values = { a: 0, b: 0, c: 0, d: 0, e: 0, f: 0 };
    this.#events.at(-1)?.({ kind, timeMs: 0, ...values, text: '', ...about });
  }

  #step(what: string, call = what): void {
    this.did.push(what);
    const error = this.fails.get(call)?.shift();
    if (error !== undefined) throw error;
  }

  readonly #files: MirrorFiles = {
    stat: async (path) => {
      const rdev = this.devices.get(path);
      if (rdev === undefined) throw missing(path);
      return { kind: 'block', rdev };
    },
    readText: async (path) => {
      const text = this.texts.get(path);
      if (text === undefined) throw missing(path);
      return text;
    },
    readLink: async () => '../../devices/virtual/block/x',
    list: async (path) => {
      const below = [...this.texts.keys()].filter((one) => one.startsWith(`${path}/`));
      return [...new Set(below.map((one) => one.slice(path.length + 1).split('/')[0] ?? ''))];
    },
  };

  readonly #captures: Captures = {
    lookAtVolume: async (name) => this.volumes.get(name) ?? null,
    makeUnder: async (name) => {
      this.#step(`under ${name}`, 'under');
      return '/dev/dm-9';
    },
    repairVolume: async (name) => {
      this.#step(`repair ${name}`, 'repair');
      const volume = this.volumes.get(name);
      if (volume?.state !== 'mirrored') return false;
      this.volumes.set(name, { ...volume, state: 'plain', hasUnder: false });
      return true;
    },
    openCapture: async ({ leg }, onEvent) => {
      this.#step(`open over nbd${leg.minor}`, 'open');
      this.#events.push(onEvent);
      const guards = { leg: -1, pace: -1 };
      return { handle: 70 + this.#events.length, guards, stopEvents() {} };
    },
    insertMirror: async () => {
      if (this.busy-- > 0) return false;
      this.#step('insert');
      return true;
    },
    startCopy: () => this.#step('copy'),
    sealCapture: (_handle, epoch) => this.#step(`seal ${epoch}`, 'seal'),
    giveDigests: (_handle, first, digests) => {
      this.#step(`digests ${first} ${digests.length}`, 'digests');
      return this.takesDigests;
    },
    readCapture: () => this.pieces.shift() ?? null,
    checkCapture: async () => {
      if (this.busy-- > 0) return false;
      this.#step('check');
      return true;
    },
    lookAtCapture: () => this.figures as CaptureFigures,
    closeCapture: async (handle) => {
      this.#step(`close ${handle}`, 'close');
      return true;
    },
  };

  readonly ports: MirrorPorts = {
    ...time,
    store,
    folder: join(this.#folder, 'disks'),
    copyBytesPerSecond: 0,
    guestDevices: async () => this.used,
    files: this.#files,
    captures: async () => this.#captures,
    run: async (argv) => {
      this.#step(argv.join(' '), argv[0]);
      if (argv[0] === 'modprobe') this.addLegs(0, 1);
    },
    startGuard: (argv, _given, onLine) => {
      this.did.push('guard');
      const guard = new FakeGuard(1000 + this.guards.length, argv, onLine, this.did);
      this.guards.push(guard);
      this.onGuard(guard);
      return guard;
    },
    markSource: async ({ disk, lvm }, { peer }) => {
      this.marked.push(disk);
      this.did.push(...(lvm === null ? [] : [`mark ${lvm} ${peer?.host ?? ''}`.trim()]));
      return 7;
    },
    followMarks: async () => {
      this.followed += 1;
    },
    say: (text) => this.said.push(text),
  };
}

/** A guard that finds somebody else on its NBD device. */
export function refuseGuard(guard: FakeGuard): void {
  guard.say('event=failed device=x why="NBD_SET_SOCK: Device or resource busy"');
  guard.die('exit code 1');
}

/** Where the guest's copy is. */
export const peer = { host: 'hostb', sshCommand: null, heartbeatTimeoutMs: 1000 };

export const refusal = (text: string) => new OperationError('storage', text, { op: 'test' });
