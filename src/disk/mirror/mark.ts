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
  /** Of a source: whose copy was begun, and may go on without it; null: none was. */
  readonly session: string | null;
}

/** A disk of a guest, and where it is here. */
export type MarkedDisk = Pick<DiskMark, 'uuid' | 'disk' | 'path'>;

const version = 1;
const bytesMax = 4096;

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
  await store.writeDurably(path, `${JSON.stringify({ version, ...mark })}\n`);
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

/** Marks the disk of a guest that runs here as what `session` copies from; its generation. */
export async function markSource(
  place: MarkPlace,
  disk: MarkedDisk,
  session: string,
): Promise<number> {
  const found = await readMark(place, disk.uuid, disk.disk);
  const generation = sourceGeneration(found);
  const isNew = found !== null && generation > found.generation;
  const parent = isNew ? found.generation : (found?.parent ?? 0);
  const { uuid, path } = disk;
  const mark = { uuid, disk: disk.disk, path, generation, parent, session } as const;
  await writeMark(place, { ...mark, role: 'source', state: 'whole' });
  return generation;
}

/**
 * The guest goes on here without the copies that `session` made: what its disks hold is a new
 * generation (M3). Once for each session, however often it is called.
 */
export async function goOnAlone(
  place: MarkPlace & { readonly store: Pick<Store, 'listDir'> },
  uuid: string,
  session: string,
): Promise<void> {
  const prefix = `${uuid}.`;
  const names = await place.store.listDir(join(place.stateDirectory, 'disks'));
  for (const name of names.filter((one) => one.startsWith(prefix))) {
    // What is no mark of a disk is nobody's: whoever uses it is told.
    const mark = await readMark(place, uuid, name.slice(prefix.length)).catch(() => null);
    if (mark?.role !== 'source' || mark.session !== session) continue;
    const { generation: parent } = mark;
    await writeMark(place, { ...mark, generation: parent + 1, parent, session: null });
  }
}

const isCount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

function parseMark(text: string): DiskMark | null {
  let found: Readonly<Record<string, unknown>>;
  try {
    found = JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch {
    return null;
  }
  if (typeof found !== 'object' || found === null || found['version'] !== version) return null;
  const { uuid, disk, path, role, state, generation, parent, session = null } = found;
  if (typeof uuid !== 'string' || typeof disk !== 'string' || typeof path !== 'string') return null;
  if (role !== 'source' && role !== 'copy') return null;
  if (state !== 'copying' && state !== 'whole') return null;
  if (!isCount(generation) || !isCount(parent)) return null;
  if (session !== null && typeof session !== 'string') return null;
  return { uuid, disk, path, role, state, generation, parent, session };
}
