/** What there is on this host: its sessions, and the output buffers that none looks after. */
import { statfsSync } from 'node:fs';
import type { Environment } from '../config/settings.ts';
import { adviceLine } from '../core/texts/advice.ts';
import { copiesRefusedText, disksRefusedText, mirrorsLeftText } from '../core/texts/disks-left.ts';
import type { RefusedDisks } from '../disk/mirror/refused.ts';
import { type LeftBufferPorts, listAll } from '../guest/left-buffers.ts';
import { errnoCode, errorText, OperationError } from '../host/errors.ts';

import { findBuffers } from '../output/plug/find.ts';
import { openDevices } from '../output/plug/interfaces.ts';
import {
  type DeclaredGuest,
  type MissingGuest,
  missingGuest,
  withoutSession,
} from '../registry/missing.ts';
import type { Listing, SessionEntry } from '../registry/port.ts';
import type { ResyncStatus } from '../registry/resync-status.ts';
import { type ThisHost, thisHost, thisRegistry } from './host.ts';
import { guestFilePath, guestSettings } from './settings-files.ts';

/** Where leftovers of this host are looked for. */
export function leftBufferPorts(host: ThisHost): LeftBufferPorts {
  const { settings, store, clock } = host;
  const places = { dir: settings.runDirectory, store, devices: openDevices() };
  return { registry: thisRegistry(host), clock, findBuffers: () => findBuffers(places) };
}

/** Every session of this host, and every buffer that none looks after as one that is held. */
export function listEverything(env: Environment): Promise<Listing> {
  return listAll(leftBufferPorts(thisHost(env)));
}

/** The same; nothing where no session has run since this host was booted. */
export async function listSinceBoot(env: Environment): Promise<Listing> {
  try {
    return await listEverything(env);
  } catch (error) {
    if (error instanceof OperationError && errnoCode(error.detail.cause) === 'ENOENT') {
      return { sessions: [], broken: [] };
    }
    throw error;
  }
}

/** Resyncs that run here; none where nothing of ours has run since this host was booted. */
export function listResyncs(env: Environment): readonly ResyncStatus[] {
  try {
    return thisRegistry(thisHost(env)).resyncs();
  } catch (error) {
    if (error instanceof OperationError && errnoCode(error.detail.cause) === 'ENOENT') return [];
    throw error;
  }
}

/** Of `declared` those that no session on this host has, with what their files say. */
export async function missingGuests(
  declared: readonly string[],
  sessions: readonly SessionEntry[],
  env: Environment,
): Promise<readonly MissingGuest[]> {
  const names = withoutSession(declared, sessions);
  return Promise.all(names.map(async (name) => missingGuest(await declaredGuest(name, env))));
}

/** A file that cannot be used declares its guest all the same. */
async function declaredGuest(domain: string, env: Environment): Promise<DeclaredGuest> {
  const file = guestFilePath(domain, env) ?? '';
  try {
    const values = await guestSettings(domain, env);
    const peer = values.find(({ key }) => key === 'peer')?.text ?? null;
    return { domain, file, peer, wrong: null };
  } catch (error) {
    return { domain, file, peer: null, wrong: errorText(error) };
  }
}

/** What is wrong with this host and with no session alone. */
export interface HostProblem {
  /** A sentence without final stop. */
  readonly text: string;
  /** A line to type here. */
  readonly next: string;
}

/** The directories that sessions write to and that have no room left. */
export function fullDisks(env: Environment): HostProblem[] {
  const { runDirectory, logDirectory } = thisHost(env).settings;
  return [
    [runDirectory, 'status is not kept up to date'],
    [logDirectory, 'logs have gaps'],
  ].flatMap(([dir = '', what]) =>
    isFull(dir)
      ? [{ text: `${dir} is full: ${what}`, next: adviceLine({ kind: 'free-space', dir }) }]
      : [],
  );
}

/** What dead sessions left under volumes of their guests. */
export async function leftMirrors(
  env: Environment,
  sessions: readonly SessionEntry[],
  resyncs: readonly ResyncStatus[],
): Promise<HostProblem[]> {
  const host = thisHost(env);
  const { listNotes, mirrorFolder } = await import('../disk/mirror/left.ts');
  const notes = await listNotes({ ...host, folder: mirrorFolder(host.settings.runDirectory) });
  const isAlive = (session: string) =>
    sessions.some(({ status, liveness }) => status.session === session && liveness === 'alive');
  const isCopied = (of: string) =>
    resyncs.some(({ uuid, role }) => uuid === of && role === 'primary');
  return notes
    .filter(({ session, uuid }) => !isAlive(session) && !isCopied(uuid))
    .map(({ domain, volumes }) => ({
      text: mirrorsLeftText(
        domain,
        volumes.map(({ name }) => name),
      ),
      next: adviceLine({ kind: 'stop-clear', domain }),
    }));
}

export type { RefusedDisks };

/** What the marks of this host tell of guests whose sessions are not in `sessions`. */
export interface MarkedHere {
  /** Of guests of this host, whose copies may have gone on. */
  readonly sources: readonly RefusedDisks[];
  readonly copies: readonly RefusedDisks[];
}

/** Rejects when the marks cannot be read. */
export async function markedHere(
  env: Environment,
  sessions: readonly SessionEntry[],
): Promise<MarkedHere> {
  const { store, settings } = thisHost(env);
  const { listMarks } = await import('../disk/mirror/mark.ts');
  const { refusedIn } = await import('../disk/mirror/refused.ts');
  const marks = await listMarks({ store, stateDirectory: settings.stateDirectory });
  const isKnown = (session: string) => sessions.some(({ status }) => status.session === session);
  return {
    sources: refusedIn(marks, 'source', isKnown),
    copies: refusedIn(marks, 'copy', isKnown),
  };
}

/** Disks of guests of this host that wait for an answer of the other one; none if unreadable. */
export async function refusedDisks(
  env: Environment,
  sessions: readonly SessionEntry[],
): Promise<HostProblem[]> {
  const { sources } = await markedHere(env, sessions).catch(() => ({ sources: [] }));
  return sources.map(({ domain, paths, peer }) => ({
    text: disksRefusedText(domain, paths, peer.host),
    next: adviceLine({ kind: 'stop-ask-and-clear', domain, peer: peer.host }),
  }));
}

/** What is said of a guest that only copies on this host tell of; null: none does. */
export async function copiesHere(
  domain: string,
  env: Environment,
  sessions: readonly SessionEntry[],
): Promise<string | null> {
  const { copies } = await markedHere(env, sessions).catch(() => ({ copies: [] }));
  const found = copies.find((one) => one.domain === domain || one.uuid === domain.toLowerCase());
  return found === undefined ? null : copiesRefusedText(found.paths, found.peer.host);
}

function isFull(dir: string): boolean {
  try {
    const { bavail, files, ffree } = statfsSync(dir);
    return bavail === 0 || (files > 0 && ffree === 0);
  } catch {
    return false; // not there yet
  }
}
