/** What it means that disks are left alone (-d), in one sentence. Pure. */
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
