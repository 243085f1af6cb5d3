/** How a session and its guest are named on the wire, in records and in file names. */
import type { Chance } from '../host/clock.ts';

/**
 * A guest's name. xl checks nothing (libxl_domain.c, libxl__domain_rename), so blanks, quotes and
 * umlauts are fine. Not so a slash, because names become file names, here as with Xen
 * (libxl_dm.c, libxl__create_qemu_logfile), what could forge a line or an option, and blanks that
 * nobody sees. A character beyond U+FFFF would be two of JavaScript's, and half of one is none.
 */
const never = String.raw`\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff/`;
export const domainNamePattern = new RegExp(`^[^${never} .-](?:[^${never}]{0,126}[^${never} ])?$`);
export const domainNameRule =
  'must be 1 to 128 characters up to U+FFFF (no emoji), none of them a slash or a control ' +
  'character, not begin with a dash, a dot or a blank, nor end with a blank';

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
