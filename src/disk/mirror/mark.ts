/**
 * The durable marks of guests' disks on this host: whose a disk is, what it holds, and which
 * generation of that. A file for each disk of a guest, below the state directory.
 *
 *   M1  nothing is written to a disk here before its mark says `copying`
 *   M2  a mark says `whole` only when all that counts is written and durable; and of a copy only
 *       from then on, for it is torn before: nobody is to boot it
 *   M3  each activation makes a new generation, and so does a guest that goes on here without its
 *       copy: of one parent, so that neither is the newer one where both went on. Data goes from
 *       the newer to the older one, and what holds another one is never written over but by a
 *       person's word, who removes the mark
 *   M4  a disk without this guest's mark is somebody else's, unless it is blank
 *   M5  one that is torn, or older than another, or whose guest may have gone on with its copy, is
 *       refused to everybody else: LVM is told so (lvm.ts), which outlives this host's boot, and
 *       block-tsremus reads it here
 */
import { join } from 'node:path';
import { OperationError } from '../../host/errors.ts';
import type { Store } from '../../host/store.ts';

export interface DiskMark {
  /** The guest. */
  readonly uuid: string;
  /** As the guest calls it. */
  readonly disk: string;
  /** Where it is on this host. */
  readonly path: string;
  /** Who writes to it: the guest that is here, or its primary's session. */
  readonly role: 'source' | 'copy';
  readonly state: 'copying' | 'whole';
  readonly generation: number;
  /** From which this one was made. */
  readonly parent: number;
  /**
   * Of a source: whose copy was begun, and may go on without it; null: none was. Of a copy: which
   * writes to it, as long as it is torn.
   */
  readonly session: string | null;
  /** As LVM calls it, `vg0/web1`; null: it is none of LVM's, or an older version's mark. */
  readonly lvm: string | null;
  /** The guest's name; null: an older version's mark. */
  readonly domain: string | null;
  /** The other host of that session, where the guest's copy may go on; null: none may. */
  readonly peer: MarkedPeer | null;
}

/** Who has the other end of a disk, for whoever asks after a boot. */
export interface MarkedPeer {
  readonly host: string;
  /** Of a source: how its backup is asked for the promise (-s); null: by ssh. */
  readonly sshCommand: string | null;
  readonly heartbeatTimeoutMs: number;
}

/** A disk of a guest, and where it is here. */
export type MarkedDisk = Pick<DiskMark, 'uuid' | 'disk' | 'path' | 'lvm' | 'domain'>;

/** A session, and where its copy of the guest is; `peer` null: only disks are copied. */
export interface SourceSession {
  readonly session: string;
  readonly peer: MarkedPeer | null;
}

const version = 1;
/** A transport command may be long. */
const bytesMax = 64 * 1024;

type MarkStore = Pick<Store, 'ensureDir' | 'readText' | 'writeDurably'>;

/** Where marks are, and what keeps them. */
export interface MarkPlace {
  readonly store: MarkStore;
  readonly stateDirectory: string;
}

/** `uuid` and `disk` were checked where they came in: neither has a slash. */
export function markPath(stateDirectory: string, uuid: string, disk: string): string {
  return join(stateDirectory, 'disks', `${uuid}.${disk}`);
}

/** Null: there is none. Throws OperationError('storage') for one that is damaged. */
export async function readMark(
  { store, stateDirectory }: MarkPlace,
  uuid: string,
  disk: string,
): Promise<DiskMark | null> {
  const path = markPath(stateDirectory, uuid, disk);
  const text = await store.readText(path, bytesMax);
  if (text === null) return null;
  const mark = parseMark(text);
  if (mark !== null && mark.uuid === uuid && mark.disk === disk) return mark;
  throw new OperationError('storage', `the mark of a disk is damaged: ${path}`, {
    op: 'read-mark',
    subject: path,
  });
}

/** Durable when this returns. */
export async function writeMark(
  { store, stateDirectory }: MarkPlace,
  mark: DiskMark,
): Promise<void> {
  await store.ensureDir(join(stateDirectory, 'disks'));
  const path = markPath(stateDirectory, mark.uuid, mark.disk);
  // Said for share/xen/block-tsremus, which looks for that and for the path.
  const refused = isRefused(mark);
  await store.writeDurably(path, `${JSON.stringify({ version, ...mark, refused })}\n`);
}

/**
 * The generation of the disk of a guest that runs here; `found`: its mark. A guest that runs on
 * what was a torn copy does so by somebody's will: what it holds is a new generation. So it is
 * where a session before ended without a word: the guest has gone on.
 */
export function sourceGeneration(found: DiskMark | null): number {
  const isNew = found !== null && (found.state === 'copying' || found.session !== null);
  return (found?.generation ?? 1) + (isNew ? 1 : 0);
}

/**
 * Marks the disk of a guest that runs here as what a session copies from; its generation. Where
 * that makes no copy of the guest, one that was made before may still go on.
 */
export async function markSource(
  place: MarkPlace,
  disk: MarkedDisk,
  of: SourceSession,
): Promise<number> {
  const found = await readMark(place, disk.uuid, disk.disk);
  const generation = sourceGeneration(found);
  const isNew = found !== null && generation > found.generation;
  const parent = isNew ? found.generation : (found?.parent ?? 0);
  const isOpen = of.peer === null && found !== null && isRefused(found) && found.role === 'source';
  const { session, peer } = isOpen ? found : of;
  const { uuid, path, lvm, domain } = disk;
  const mark = { uuid, disk: disk.disk, path, lvm, domain, generation, parent } as const;
  await writeMark(place, { ...mark, session, peer, role: 'source', state: 'whole' });
  return generation;
}

/** Whether nobody but a session is to use the disk (M5). */
export function isRefused(mark: DiskMark): boolean {
  const { role, state, session, peer, generation, parent } = mark;
  if (role === 'source') return session !== null && peer !== null;
  // Whole, and nobody has run on it: the guest's own disk is elsewhere.
  return state === 'copying' || generation === parent;
}

type ListedPlace = MarkPlace & { readonly store: Pick<Store, 'listDir'> };

/** The marks of this host, or of one guest here, as far as they can be read. */
export async function listMarks(place: ListedPlace, uuid?: string): Promise<readonly DiskMark[]> {
  const names = await place.store.listDir(join(place.stateDirectory, 'disks'));
  const found: DiskMark[] = [];
  for (const name of names) {
    const dot = name.indexOf('.');
    const of = name.slice(0, dot);
    if (dot < 0 || (uuid !== undefined && of !== uuid)) continue;
    // What is no mark of a disk is nobody's: whoever uses it is told.
    const mark = await readMark(place, of, name.slice(dot + 1)).catch(() => null);
    if (mark !== null) found.push(mark);
  }
  return found;
}

async function sourcesOf(
  place: ListedPlace,
  uuid: string,
  session: string,
): Promise<readonly DiskMark[]> {
  const marks = await listMarks(place, uuid);
  return marks.filter((mark) => mark.role === 'source' && mark.session === session);
}

/**
 * The guest goes on here without the copies that `session` made: what its disks hold is a new
 * generation (M3). Once for each session, however often it is called.
 */
export async function goOnAlone(place: ListedPlace, uuid: string, session: string): Promise<void> {
  for (const mark of await sourcesOf(place, uuid, session)) {
    const { generation: parent } = mark;
    const alone = { generation: parent + 1, parent, session: null, peer: null };
    await writeMark(place, { ...mark, ...alone });
  }
}

/**
 * The guest goes on elsewhere, with the copies that `session` made: its disks here have what was
 * never committed, and are torn copies of what it has there (M2).
 */
export async function cede(place: ListedPlace, uuid: string, session: string): Promise<void> {
  for (const mark of await sourcesOf(place, uuid, session)) {
    const { generation } = mark;
    await writeMark(place, { ...mark, role: 'copy', state: 'copying', parent: generation });
  }
}

const isCount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

/** lvm(8), VALID NAMES. */
const lvmName = /^[A-Za-z0-9+_.][A-Za-z0-9+_.-]*\/[A-Za-z0-9+_.][A-Za-z0-9+_.-]*$/;

function isPeer(value: unknown): value is MarkedPeer {
  if (typeof value !== 'object' || value === null) return false;
  const { host, sshCommand, heartbeatTimeoutMs } = value as Record<string, unknown>;
  if (typeof host !== 'string' || !isCount(heartbeatTimeoutMs)) return false;
  return sshCommand === null || typeof sshCommand === 'string';
}

function parseMark(text: string): DiskMark | null {
  let found: Readonly<Record<string, unknown>>;
  try {
    found = JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch {
    return null;
  }
  if (typeof found !== 'object' || found === null || found['version'] !== version) return null;
  const { uuid, disk, path, role, state, generation, parent, session = null } = found;
  const { lvm = null, domain = null, peer = null } = found;
  if (typeof uuid !== 'string' || typeof disk !== 'string' || typeof path !== 'string') return null;
  if (role !== 'source' && role !== 'copy') return null;
  if (state !== 'copying' && state !== 'whole') return null;
  if (!isCount(generation) || !isCount(parent)) return null;
  if (session !== null && typeof session !== 'string') return null;
  // It becomes a word of a command.
  if (lvm !== null && (typeof lvm !== 'string' || !lvmName.test(lvm))) return null;
  if (domain !== null && typeof domain !== 'string') return null;
  if (peer !== null && !isPeer(peer)) return null;
  const about = { lvm, domain, peer };
  return { uuid, disk, path, role, state, generation, parent, session, ...about };
}
