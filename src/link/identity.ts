/** How a session and its guest are named on the wire, in records and in file names. */
import type { Chance } from '../host/clock.ts';

/**
 * A guest's name: what xend allowed (xl itself checks nothing), but no slash, because names become
 * file names, and nothing that begins like an option or a hidden file.
 */
export const domainNamePattern = /^[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,127}$/;
export const domainNameRule =
  'must be 1 to 128 letters, digits or _ - . : + and begin with a letter, digit or _';

export const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
export const uuidRule = 'must be a UUID in lower case';

export const sessionPattern = /^[0-9a-f]{32}$/;
export const sessionRule = 'must be 32 lower-case hexadecimal digits';

/** True for a name that tsremus can protect. */
export function isDomainName(name: string): boolean {
  return domainNamePattern.test(name);
}

/** A new session id: 128 random bits. Made by the primary, once per session. */
export function newSessionId(chance: Chance): string {
  return chance.bytes(16).toString('hex');
}
