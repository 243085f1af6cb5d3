/**
 * What a report is made of (`tsremus report`): everything that this host has written down of a
 * guest's sessions, whether one runs, has ended or has died; what holds here; and what runs here.
 */
import { closeSync, fsyncSync, openSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { arch, cpus, release } from 'node:os';
import { join } from 'node:path';
import type { Environment } from '../config/settings.ts';
import { type ShownSetting, shownSettings } from '../config/settings-file.ts';
import { UsageError } from '../config/usage-error.ts';
import { version } from '../config/version.ts';
import { adviceLine } from '../core/texts/advice.ts';
import { errnoCode, OperationError, storageError } from '../host/errors.ts';
import { cleanText } from '../host/text.ts';
import type { EventRecord } from '../registry/event-record.ts';
import { type PastSession, pastSessions } from '../registry/past.ts';
import { judgeSession, momentNow } from '../registry/report.ts';
import { pastEvents, pastFigures } from './events.ts';
import { thisHost } from './host.ts';
import { listSinceBoot } from './listing.ts';
import { placesOf } from './places.ts';
import { guestSettings } from './settings-files.ts';

/** What runs on this host: a name and what it says of its version. */
export interface Part {
  readonly name: string;
  readonly version: string;
}

export interface Report {
  /** RFC 3339. */
  readonly made: string;
  readonly host: string;
  /** The guest's name. */
  readonly domain: string;
  /** What the report is about. */
  readonly subject: PastSession;
  /** All that are known of the guest, the newest first. */
  readonly sessions: readonly PastSession[];
  /** Of the guest, on this host, the oldest first. */
  readonly events: readonly EventRecord[];
  /** What holds for the next session of the guest; a text: why that is not known. */
  readonly settings: readonly ShownSetting[] | string;
  readonly parts: readonly Part[];
}

const textBytesMax = 200;

/** The first line of a small file; null: it cannot be read. */
function firstLine(path: string): string | null {
  try {
    const [line = ''] = readFileSync(path, 'utf8').split('\n');
    return cleanText(line.trim(), textBytesMax);
  } catch {
    return null;
  }
}

/** Linux tells Xen's version without any library. */
function xenVersion(sysfs: string): string | null {
  const folder = join(sysfs, 'hypervisor/version');
  const said = ['major', 'minor', 'extra'].map((name) => firstLine(join(folder, name)));
  const [major, minor, extra] = said;
  return major == null || minor == null ? null : `${major}.${minor}${extra ?? ''}`;
}

function systemName(): string | null {
  try {
    const [, name] =
      /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8')) ?? [];
    return name === undefined ? null : cleanText(name, textBytesMax);
  } catch {
    return null;
  }
}

function partsOf(sysfs: string): Part[] {
  const found = [
    ['tsremus', version],
    ['Xen', xenVersion(sysfs) ?? 'not known: this system is no dom0'],
    ['Linux', `${release()} ${arch()}`],
    ['system', systemName() ?? 'not known'],
    ['Node', process.version],
    ['processors', `${cpus().length}, ${cleanText(cpus()[0]?.model ?? 'unknown', textBytesMax)}`],
  ] as const;
  return found.map(([name, said]) => ({ name, version: said }));
}

async function settingsFor(domain: string, env: Environment): Promise<Report['settings']> {
  try {
    return shownSettings(await guestSettings(domain, env), env, true);
  } catch (error) {
    if (error instanceof UsageError || error instanceof OperationError) return error.message;
    throw error;
  }
}

function nothingKnown(domain: string): OperationError {
  return new OperationError('no-such-session', `no session of ${domain} is known on this host`, {
    op: 'report',
    subject: domain,
    hint: adviceLine({ kind: 'show-all' }),
  });
}

/** The one whose id begins as was typed, or the newest. Throws `no-such-session`. */
function chosen(
  sessions: readonly PastSession[],
  domain: string,
  wanted: string | undefined,
): PastSession {
  const [newest] = sessions;
  if (newest === undefined) throw nothingKnown(domain);
  if (wanted === undefined) return newest;
  const found = sessions.find(({ session }) => session.startsWith(wanted));
  if (found !== undefined) return found;
  const known = sessions.slice(0, 5).map(({ session }) => session.slice(0, 8));
  const none = `no session of ${domain} on this host begins with ${wanted}`;
  const text = `${none}: known are ${known.join(', ')}`;
  throw new OperationError('no-such-session', text, {
    op: 'report',
    subject: domain,
    hint: adviceLine({ kind: 'show-events', domain }),
  });
}

/**
 * Reads what there is of the guest called so, or with that UUID. Throws OperationError, with
 * `no-such-session` where there is nothing.
 */
export async function gatherReport(
  typed: string,
  session: string | undefined,
  env: Environment,
): Promise<Report> {
  const host = thisHost(env);
  const isOf = (one: { readonly domain: string; readonly uuid: string }) =>
    one.domain === typed || one.uuid === typed.toLowerCase();
  const now = momentNow(host);
  const { sessions: entries } = await listSinceBoot(env);
  const reports = entries
    .filter(({ status }) => status.buffer_only !== true && isOf(status))
    .map(({ status, liveness }) => judgeSession(status, liveness, now));
  const records = pastFigures(env, (one) => isOf(one.kind === 'session' ? one.status : one));
  const events = pastEvents(env).filter(isOf);
  const sessions = pastSessions(reports, records, events);
  const subject = chosen(sessions, typed, session);
  const domain = nameOf(subject) ?? events.at(-1)?.domain ?? typed;
  return {
    ...{ made: host.clock.wall().toISOString(), host: host.settings.hostName, domain },
    ...{ subject, sessions, events },
    settings: await settingsFor(domain, env),
    parts: partsOf(placesOf(host).sysfs),
  };
}

function nameOf({ report, record, figures }: PastSession): string | undefined {
  return (report ?? record)?.status.domain ?? figures.at(-1)?.domain;
}

/** It says how this host is: for root until somebody passes it on. */
const fileMode = 0o600;

/** Writes a file that was not there before, or leaves none. Throws OperationError. */
export function writeNew(path: string, text: string): void {
  let fd: number;
  try {
    fd = openSync(path, 'wx', fileMode);
  } catch (error) {
    if (errnoCode(error) !== 'EEXIST') throw storageError(error, 'write', path);
    throw new OperationError('storage', `${path} is there already, and is left as it is`, {
      op: 'write',
      subject: path,
      hint: adviceLine({ kind: 'see-file', path }),
    });
  }
  try {
    writeFileSync(fd, text);
    fsyncSync(fd);
  } catch (error) {
    unlinkSync(path);
    throw storageError(error, 'write', path);
  } finally {
    closeSync(fd);
  }
}
