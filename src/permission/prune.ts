/**
 * Which records there are, and which may go.
 *
 * A record is removed when it is decided for good (active, promised or lost), was last written more
 * than `ageMs` ago, and is not among the `keepMin` newest of those. An undecided one is never
 * removed.
 * Removing is always safe, because no record is never a promise; what is lost is the answer to a
 * primary that comes back after a month.
 */

import { join } from 'node:path';
import { isFinal } from '../core/permission/record.ts';
import { isTemporaryName, type Store } from '../host/store.ts';
import {
  openRecord,
  type PermissionRecord,
  type RecordPorts,
  readyWords,
  recordPath,
} from './record.ts';

export interface RecordName {
  readonly uuid: string;
  readonly session: string;
}

export interface PruneOptions {
  /** Default 30 days. */
  readonly ageMs?: number;
  /** Default 64. */
  readonly keepMin?: number;
}

const dayMs = 24 * 60 * 60 * 1000;
const ageMsDefault = 30 * dayMs;
const keepMinDefault = 64;
/** The standby file goes first: what is left after a crash in between is no record (R3). */
const parts = [
  ...(['standby', 'decision', 'outcome', 'built', 'running', 'ended', 'lost', 'trial'] as const),
  ...readyWords.map((word) => `ready-${word}`),
];

const namePattern = /^([0-9a-f-]{36})\.([0-9a-f]{32})\.([a-z-]+)$/;

/** Every record in the folder, in the order of names. */
export async function listRecords(dir: string, store: Store): Promise<readonly RecordName[]> {
  const names: RecordName[] = [];
  for (const file of [...(await store.listDir(dir))].sort()) {
    const match = namePattern.exec(file);
    if (match?.[3] === 'standby') names.push({ uuid: match[1] ?? '', session: match[2] ?? '' });
  }
  return names;
}

/** Removes old records and what crashes left; returns the names of the records removed. */
export async function pruneRecords(
  dir: string,
  ports: RecordPorts,
  options: PruneOptions = {},
): Promise<readonly RecordName[]> {
  const oldMs = ports.clock.wall().getTime() - (options.ageMs ?? ageMsDefault);
  const decided: { readonly record: PermissionRecord; readonly atMs: number }[] = [];
  for (const name of await listRecords(dir, ports.store)) {
    const record = openRecord(dir, name.uuid, name.session, ports);
    const atMs = await decidedMs(record, ports.store);
    if (atMs !== null) decided.push({ record, atMs });
  }
  decided.sort((left, right) => right.atMs - left.atMs);
  const removed: RecordName[] = [];
  for (const { record, atMs } of decided.slice(options.keepMin ?? keepMinDefault)) {
    if (atMs >= oldMs) continue;
    await removeRecord(record, ports.store);
    removed.push({ uuid: record.uuid, session: record.session });
  }
  await removeLeftovers(dir, ports);
  return removed;
}

/** When the record was last written, or null when it is undecided or cannot be read. */
async function decidedMs(record: PermissionRecord, store: Store): Promise<number | null> {
  const state = await record.read().catch(() => null);
  if (state === null) return null;
  if (!isFinal(state.permission)) return null;
  let newest = 0;
  for (const part of parts) {
    const path = recordPath(record.dir, record.uuid, record.session, part);
    newest = Math.max(newest, (await store.modifiedMs(path)) ?? 0);
  }
  return newest;
}

async function removeRecord({ dir, uuid, session }: PermissionRecord, store: Store): Promise<void> {
  for (const part of parts) {
    await store.removeFile(recordPath(dir, uuid, session, part));
    if (part === 'standby') await store.syncDir(dir);
  }
}

/** Temporary files of writers that crashed, and files of records whose removal was cut short. */
async function removeLeftovers(dir: string, { store, clock }: RecordPorts): Promise<void> {
  const files = await store.listDir(dir);
  const whole = new Set(files.filter((file) => file.endsWith('.standby')).map(baseOf));
  for (const file of files) {
    const isPart = parts.includes(namePattern.exec(file)?.[3] ?? '');
    const orphan = isPart && !whole.has(baseOf(file));
    if (!orphan && !isTemporaryName(file)) continue;
    const path = join(dir, file);
    const atMs = await store.modifiedMs(path);
    if (atMs !== null && atMs < clock.wall().getTime() - dayMs) await store.removeFile(path);
  }
}

function baseOf(file: string): string {
  return file.slice(0, file.lastIndexOf('.'));
}
