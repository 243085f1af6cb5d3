/** What it means that disks are left alone (-d), or given to others, or left by a session. Pure. */
import { hostWord } from './quote.ts';

interface Subject {
  /** Where it is said. */
  readonly role: 'primary' | 'backup';
  readonly domain: string;
  /** The other host. */
  readonly peer: string;
}

/** Which disks they are, as a person knows them, and what the copy finds in their place. */
export function disksLeftText(disks: readonly string[], { role, domain, peer }: Subject): string {
  const where = role === 'primary' ? `on ${hostWord(peer)}` : 'on this host';
  return (
    `disks are left alone: what ${domain} writes is not copied, ` +
    `and its copy finds what they hold ${where}: ${disks.join(', ')}`
  );
}

/** Of a protected guest's disk that another guest of its host has, too, a clause. */
export function sharedDiskText(disk: string, domids: readonly number[]): string {
  const domains = `${domids.slice(0, -1).join(', ')} and ${domids.at(-1)}`;
  return `disk ${disk} was given to domains ${domains}: what either writes is in the copy`;
}

/** Of a session that died, and what it put under volumes of its guest: for whoever looks. */
export function mirrorsLeftText(domain: string, volumes: readonly string[]): string {
  return (
    `a session of ${domain} died and left devices under ${volumes.join(', ')}: where its disk ` +
    "guard died, too, the guest's writes wait; tsremus stop or the next protect takes them away"
  );
}

/** Of a guest's own disks, while nobody here knows whether its copy went on. */
export function disksRefusedText(domain: string, paths: readonly string[], peer: string): string {
  const other = hostWord(peer);
  return (
    `${paths.join(', ')} of ${domain} is refused to everybody here: it was protected to ` +
    `${other}, which may have taken over since, and was not asked`
  );
}

/** Of copies, a clause. */
export function copiesRefusedText(paths: readonly string[], peer: string): string {
  const whose = `a copy of its disk on ${hostWord(peer)}`;
  return `${paths.join(', ')} is ${whose}, refused to everybody else`;
}
