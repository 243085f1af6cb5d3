/**
 * The run directory (/run/tsremus): per session a status file, a control socket and a claim.
 *
 *     KEY.ROLE.json                 what the session says of itself; replaced by rename, so a
 *                                   reader sees a whole file, old or new, never half of one
 *     KEY.ROLE.resync               what a resync says of itself, which has the same claim
 *     KEY.ROLE.sock                 its control socket
 *     KEY.ROLE.PID-START.claim      the process that owns KEY.ROLE
 *     KEY.watch.PID-START.claim     the process that watches the guest's own end (watch.ts)
 *
 * KEY is the guest's UUID. A claim belongs to one process for ever (pid and start time never come
 * back together), so a dead one can be removed by anybody without a race; a file that one process
 * replaces while another judges it stale could not. To claim, a process writes its own claim
 * and then looks for others: of two that do so at once at least one sees the other and steps back.
 */
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Liveness } from '../core/health/facts.ts';
import { adviceLine } from '../core/texts/advice.ts';
import { type BootClock, type Chance, sleep, type Timers } from '../host/clock.ts';
import { errnoCode, errorText, OperationError, storageError } from '../host/errors.ts';
import type { Log } from '../host/log.ts';
import type { Processes, ProcessId } from '../host/process-id.ts';
import {
  type ControlHandler,
  type ControlRequest,
  type ControlServer,
  type RequestOptions,
  requestControl,
  serveControl,
  silenceMsDefault,
} from './control.ts';
import {
  type BrokenEntry,
  type Claim,
  isSettled,
  type Listing,
  type Registry,
  type Role,
  type SessionEntry,
} from './port.ts';
import { parseResync, type ResyncStatus } from './resync-status.ts';
import type { SessionStatus } from './status.ts';
import { parseStatus } from './status-parser.ts';

const filesMax = 4_096;
const statusBytesMax = 256 * 1024;
const claimTriesMax = 20;
const directoryMode = 0o700;
const fileMode = 0o600;
/** Whom the directory lets in may read how sessions are; to speak to them is for root. */
const statusMode = 0o644;

/** A name for files: safe characters as they are, any other byte as %XX. */
export function fileKey(text: string): string {
  const safe = /[A-Za-z0-9_+-]/;
  return [...Buffer.from(text, 'utf8')]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return safe.test(character) ? character : `%${byte.toString(16).padStart(2, '0')}`;
    })
    .join('');
}

/** Makes the run directory if need be, and refuses one that others could write to. */
function ensureDirectory(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: directoryMode });
    const found = statSync(dir);
    const mine = found.uid === process.geteuid?.() || found.uid === 0;
    if (mine && (found.mode & 0o022) === 0) return;
  } catch (error) {
    throw storageError(error, 'make', dir);
  }
  throw new OperationError('storage', `${dir} can be written to by others than its owner`, {
    op: 'check-run-directory',
    subject: dir,
    hint: adviceLine({ kind: 'close-directory', path: dir }),
  });
}

/** Whatever else has the name is not waited for: a pipe would keep whoever opens it. */
const openFlags = constants.O_RDONLY | constants.O_NONBLOCK;

/** A file's whole text; throws when it is longer than a status can be. */
function readBounded(path: string): string {
  const fd = openSync(path, openFlags);
  try {
    if (!fstatSync(fd).isFile()) throw new Error('it is not a file');
    const buffer = Buffer.alloc(statusBytesMax + 1);
    let length = 0;
    for (;;) {
      const got = readSync(fd, buffer, length, buffer.length - length, null);
      length += got;
      if (length > statusBytesMax) throw new Error(`it is longer than ${statusBytesMax} bytes`);
      if (got === 0) return buffer.toString('utf8', 0, length);
    }
  } finally {
    closeSync(fd);
  }
}

function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errnoCode(error) !== 'ENOENT') throw storageError(error, 'remove', path);
  }
}

/** True when there is a process of this number that /proc hides from us (hidepid). */
function isHidden(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return errnoCode(error) === 'EPERM';
  }
}

/** What of the host a run directory needs. */
export interface RunDirectoryPorts {
  readonly bootClock: BootClock;
  readonly timers: Timers;
  readonly chance: Chance;
  readonly processes: Processes;
}

function livenessOf(
  status: Pick<SessionStatus, 'pid' | 'pid_start' | 'boot_id'>,
  processes: Processes,
): Liveness {
  const id = { pid: status.pid, startTicks: status.pid_start, bootId: status.boot_id };
  const state = processes.state(id);
  return state === 'dead' && isHidden(id.pid) ? 'alive' : state;
}

function readEntry(statusPath: string, processes: Processes): SessionEntry | BrokenEntry | null {
  let text: string;
  try {
    text = readBounded(statusPath);
  } catch (error) {
    // Removed between the listing and the reading: the session was stopped just now.
    if (errnoCode(error) === 'ENOENT') return null;
    return { statusPath, reason: errorText(error) };
  }
  const parsed = parseStatus(text);
  if ('reason' in parsed) return { statusPath, reason: parsed.reason };
  const { status } = parsed;
  const socketPath = statusPath.replace(/\.json$/, '.sock');
  return { status, liveness: livenessOf(status, processes), statusPath, socketPath };
}

/** Null: it is over, or not to be read; what it tells is only for whoever waits. */
function readResync(path: string): ResyncStatus | null {
  try {
    return parseResync(readBounded(path));
  } catch {
    return null;
  }
}

function namesIn(dir: string): string[] {
  let names: string[];
  try {
    names = readdirSync(dir);
  } catch (error) {
    throw storageError(error, 'read', dir);
  }
  if (names.length <= filesMax) return names.sort();
  throw new OperationError('storage', `${dir} holds more than ${filesMax} files`, {
    op: 'read',
    subject: dir,
    hint: adviceLine({ kind: 'see-file', path: dir }),
  });
}

interface Rival {
  readonly path: string;
  readonly id: ProcessId;
}

function claimName(base: string, id: ProcessId): string {
  return `${base}.${id.pid}-${id.startTicks}-${id.bootId}.claim`;
}

/** Claims on `base` (KEY.ROLE) of processes that live; those of dead ones are removed. */
function liveRivals(dir: string, base: string, own: string, processes: Processes): Rival[] {
  const rivals: Rival[] = [];
  for (const name of namesIn(dir)) {
    if (name === own || !name.startsWith(`${base}.`)) continue;
    const match = /^(\d+)-(\d+)-([0-9a-f-]+)\.claim$/.exec(name.slice(base.length + 1));
    if (match === null) continue;
    const path = join(dir, name);
    const id = { pid: Number(match[1]), startTicks: Number(match[2]), bootId: match[3] ?? '' };
    if (processes.state(id) === 'alive') rivals.push({ path, id });
    else unlinkIfThere(path);
  }
  return rivals;
}

function lockedError(domain: string, role: Role | 'watch', pid: number): OperationError {
  const held = {
    primary: 'is protected already',
    backup: 'has its copy here already',
    watch: 'is watched already',
  };
  return new OperationError('already-protected', `${domain} ${held[role]}, by process ${pid}`, {
    op: 'claim',
    subject: domain,
    hint: adviceLine({ kind: 'show', domain }),
  });
}

/** Writes our claim and makes sure that it is the only one; removes it again when it is not. */
async function claimAlone(
  dir: string,
  base: string,
  domain: string,
  role: Role | 'watch',
  { processes, timers, chance }: RunDirectoryPorts,
): Promise<string> {
  const id = processes.self;
  const name = claimName(base, id);
  const path = join(dir, name);
  for (let tries = 1; ; tries += 1) {
    try {
      writeFileSync(path, '', { flag: 'wx', mode: fileMode });
    } catch (error) {
      if (errnoCode(error) === 'EEXIST') throw lockedError(domain, role, id.pid);
      throw storageError(error, 'write', path);
    }
    const rival = liveRivals(dir, base, name, processes)[0];
    if (rival === undefined) return path;
    unlinkIfThere(path);
    // A rival that only asked, as we did, steps back as well: chance decides who asks first now.
    if (tries === claimTriesMax) throw lockedError(domain, role, rival.id.pid);
    await sleep(timers, 5 + chance.share() * 20);
  }
}

/** Drafts that a process left which was killed while it wrote; only the owner writes any. */
function sweepDrafts(dir: string, base: string): void {
  for (const name of namesIn(dir)) {
    const isDraft = ['json', 'resync'].some((kind) => name.startsWith(`${base}.${kind}.`));
    if (isDraft) unlinkIfThere(join(dir, name));
  }
}

function publishTo(
  statusPath: string,
  status: SessionStatus | ResyncStatus,
): OperationError | null {
  const draft = `${statusPath}.${process.pid}.new`;
  try {
    writeFileSync(draft, `${JSON.stringify(status)}\n`, { mode: statusMode });
    chmodSync(draft, statusMode); // whatever the umask
    renameSync(draft, statusPath);
    return null;
  } catch (error) {
    return storageError(error, 'write', statusPath);
  }
}

/**
 * Claims again where somebody cleared /run: a session that lives must not look like what a dead one
 * left, nor be begun a second time.
 */
function keepClaim(claimPath: string): void {
  if (existsSync(claimPath)) return;
  try {
    ensureDirectory(dirname(claimPath));
    writeFileSync(claimPath, '', { mode: fileMode });
  } catch {
    // The status cannot be written either, and says so.
  }
}

function unsettled(entry: SessionEntry | BrokenEntry | null): SessionStatus | null {
  if (entry === null || !('status' in entry)) return null;
  return entry.liveness === 'alive' || isSettled(entry.status) ? null : entry.status;
}

type Subject = Parameters<Registry['socketOf']>[0];

/** KEY.ROLE */
function baseOf({ uuid, domain, role }: Subject): string {
  return `${fileKey(uuid || domain)}.${role}`;
}

const watchBase = (uuid: string) => `${fileKey(uuid)}.watch`;

export class RunDirectory implements Registry {
  readonly #dir: string;
  readonly #ports: RunDirectoryPorts;

  constructor(dir: string, ports: RunDirectoryPorts) {
    this.#dir = dir;
    this.#ports = ports;
  }

  #read(statusPath: string): SessionEntry | BrokenEntry | null {
    return readEntry(statusPath, this.#ports.processes);
  }

  sessions(): Listing {
    const sessions: SessionEntry[] = [];
    const broken: BrokenEntry[] = [];
    for (const name of namesIn(this.#dir)) {
      if (!/\.(primary|backup)\.json$/.test(name)) continue;
      const entry = this.#read(join(this.#dir, name));
      if (entry === null) continue;
      if ('status' in entry) sessions.push(entry);
      else broken.push(entry);
    }
    return { sessions, broken };
  }

  resyncs(): readonly ResyncStatus[] {
    const found: ResyncStatus[] = [];
    for (const name of namesIn(this.#dir)) {
      if (!/\.(primary|backup)\.resync$/.test(name)) continue;
      const status = readResync(join(this.#dir, name));
      if (status !== null && livenessOf(status, this.#ports.processes) === 'alive') {
        found.push(status);
      }
    }
    return found;
  }

  socketOf(subject: Subject): string {
    return join(this.#dir, `${baseOf(subject)}.sock`);
  }

  refreshed(entry: SessionEntry): SessionEntry | null {
    const now = this.#read(entry.statusPath);
    return now !== null && 'status' in now ? now : null;
  }

  forget(entry: SessionEntry): void {
    unlinkIfThere(entry.statusPath);
    unlinkIfThere(entry.socketPath);
  }

  async claimSession(subject: Subject): Promise<Claim> {
    const dir = this.#dir;
    ensureDirectory(dir);
    const base = baseOf(subject);
    const claimPath = await claimAlone(dir, base, subject.domain, subject.role, this.#ports);
    sweepDrafts(dir, base);
    const statusPath = join(dir, `${base}.json`);
    const resyncPath = join(dir, `${base}.resync`);
    // Of one that died.
    unlinkIfThere(resyncPath);
    const socketPath = this.socketOf(subject);
    const before = this.#read(statusPath);
    let released = false;
    return {
      socketPath,
      unsettled: unsettled(before),
      publish(status) {
        if (released) return null;
        keepClaim(claimPath);
        return publishTo(statusPath, status);
      },
      publishResync(status) {
        if (released) return null;
        keepClaim(claimPath);
        return publishTo(resyncPath, status);
      },
      release(what) {
        if (released) return;
        released = true;
        unlinkIfThere(socketPath);
        unlinkIfThere(resyncPath);
        if (what === 'as-before' && before !== null) {
          if ('status' in before) publishTo(statusPath, before.status);
        } else if (what !== 'keep-status') unlinkIfThere(statusPath);
        unlinkIfThere(claimPath);
      },
    };
  }

  watcherOf(uuid: string): ProcessId | null {
    try {
      return liveRivals(this.#dir, watchBase(uuid), '', this.#ports.processes)[0]?.id ?? null;
    } catch (error) {
      if (error instanceof OperationError && errnoCode(error.detail.cause) === 'ENOENT')
        return null;
      throw error;
    }
  }

  async claimWatch(guest: {
    readonly uuid: string;
    readonly name: string;
  }): Promise<(() => void) | null> {
    ensureDirectory(this.#dir);
    const { uuid, name } = guest;
    try {
      const path = await claimAlone(this.#dir, watchBase(uuid), name, 'watch', this.#ports);
      return () => unlinkIfThere(path);
    } catch (error) {
      if (error instanceof OperationError && error.code === 'already-protected') return null;
      throw error;
    }
  }

  amend(
    { uuid, session }: { readonly uuid: string; readonly session: string },
    change: (status: SessionStatus) => SessionStatus,
  ): void {
    for (const role of ['primary', 'backup'] as const) {
      const entry = this.#read(join(this.#dir, `${fileKey(uuid)}.${role}.json`));
      if (entry === null || !('status' in entry) || entry.status.session !== session) continue;
      const failure = publishTo(entry.statusPath, change(entry.status));
      if (failure !== null) throw failure;
    }
  }

  serve(socketPath: string, handler: ControlHandler, log: Log): Promise<ControlServer> {
    const { timers, bootClock } = this.#ports;
    return serveControl(socketPath, handler, timers, { bootClock, log });
  }

  request<Result extends object>(
    socketPath: string,
    request: ControlRequest,
    options: RequestOptions = {},
  ): Promise<Result> {
    const { timers, bootClock } = this.#ports;
    const { silenceMsMax = silenceMsDefault } = options;
    const untilMs = bootClock.sinceBootMs() + silenceMsMax;
    return requestControl<Result>(socketPath, request, timers, { ...options, untilMs });
  }
}
