/**
 * What the mirror driver needs of its host, as ports: the native library, what the kernel says of
 * block devices, commands, and the disk guard's process. src/app opens them.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import type { Time } from '../../host/clock.ts';
import { errorText } from '../../host/errors.ts';
import type { Store } from '../../host/store.ts';
import type { CaptureLibrary, GuardDescriptors } from '../../native/capture.ts';
import { type DeviceFiles, deviceFiles } from '../backing.ts';
import type { GuestPorts } from './guests.ts';
import type { MarkedDisk, SourceSession } from './mark.ts';

/** What is asked of the native half. */
export type Captures = Pick<
  CaptureLibrary,
  | 'lookAtVolume'
  | 'makeUnder'
  | 'repairVolume'
  | 'openCapture'
  | 'insertMirror'
  | 'startCopy'
  | 'giveDigests'
  | 'sealCapture'
  | 'readCapture'
  | 'checkCapture'
  | 'lookAtCapture'
  | 'closeCapture'
>;

export interface MirrorFiles extends DeviceFiles {
  /** The names in a folder; rejects with its `code`. */
  list(path: string): Promise<readonly string[]>;
}

/** A disk guard (native/disk/guard.c) as a process. */
export interface GuardProcess {
  readonly pid: number | null;
  /** How it ended: a signal, an exit code, or why it could not start. */
  readonly gone: Promise<string>;
  /** Tells it to take the mirror away and end. */
  tell(): void;
  kill(): void;
}

export interface MirrorPorts extends Time, GuestPorts {
  /** Loads FFI; opened when a disk is looked at. */
  captures(): Promise<Captures>;
  readonly files: MirrorFiles;
  readonly store: Store;
  /** Where locks, and notes of what was put under which volume, are kept. */
  readonly folder: string;
  /** What a first copy may read of a disk in a second; 0: as much as goes. */
  readonly copyBytesPerSecond: number;
  /** Runs a command of this host's; rejects with an OperationError that names it. */
  run(argv: readonly string[]): Promise<void>;
  /** Starts the guard with `argv`; what it gets of the capture is closed here. */
  startGuard(
    argv: readonly string[],
    given: GuardDescriptors,
    onLine: (line: string) => void,
  ): GuardProcess;
  /** Marks a disk as one that a session copies from (mark.ts); its generation. */
  markSource(disk: MarkedDisk, of: SourceSession): Promise<number>;
  /** Has LVM do as the marks of the guest's disks say (lvm.ts). Never rejects. */
  followMarks(uuid: string): Promise<void>;
  /** For the log. */
  say(text: string): void;
}

/** Of this host, whose files are below `root`. */
export function mirrorFiles(root: string): MirrorFiles {
  return { ...deviceFiles(root), list: (path) => readdir(root + path) };
}

/** As the guard's arguments name them; 0 to 2 lead nowhere. */
export const guardDescriptors = { leg: 3, session: 4, log: 5, pace: 6 } as const;

/** A line of the guard's is far shorter (guard.c). */
const lineCharactersMax = 4_096;

function linesOf(stream: Readable, onLine: (line: string) => void): void {
  let rest = '';
  stream.on('error', () => {});
  stream.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString('utf8')).split('\n');
    rest = (lines.pop() ?? '').slice(0, lineCharactersMax);
    for (const line of lines) onLine(line);
  });
}

/** Starts `program` as the guard, in a session of its own. */
export function spawnGuard(
  program: string,
  argv: readonly string[],
  { leg, pace }: GuardDescriptors,
  onLine: (line: string) => void,
): GuardProcess {
  let child: ChildProcess;
  try {
    child = spawn(program, argv, {
      detached: true,
      cwd: '/',
      stdio: ['ignore', 'ignore', 'ignore', leg, 'pipe', 'pipe', pace],
    });
  } finally {
    closeSync(leg);
    closeSync(pace);
  }
  // Node's pipes are sockets.
  const pipes: readonly (Writable | Readable | null | undefined)[] = child.stdio;
  const session = pipes[guardDescriptors.session] as Writable | null | undefined;
  const log = pipes[guardDescriptors.log] as Readable | null | undefined;
  session?.on('error', () => {});
  if (log) linesOf(log, onLine);
  const gone = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(errorText(error)));
    child.once('close', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  return {
    pid: child.pid ?? null,
    gone,
    tell: () => session?.write('.'),
    kill: () => child.kill('SIGKILL'),
  };
}
