/** What was agreed for the case that the other host cannot be asked, in one sentence. Pure. */
import type { Agreement } from '../permission/tie.ts';
import { hostWord } from './quote.ts';

interface Subject {
  /** Where it is said. */
  readonly role: 'primary' | 'backup';
  readonly domain: string;
  /** The other host. */
  readonly peer: string;
}

type Sentence = (domain: string, primary: string, backup: string) => string;

const sentences: Readonly<Record<Agreement, Sentence>> = {
  backup: (domain, primary, backup) =>
    `if ${primary} dies, ${domain} goes on on ${backup} by itself; ` +
    `if ${backup} dies, it is held on ${primary} until you say that it may go on`,
  primary: (domain, primary, backup) =>
    `if ${backup} dies, ${domain} goes on on ${primary} by itself, unprotected; ` +
    `if ${primary} dies, its copy waits on ${backup} until you run it`,
  manual: (domain, primary, backup) =>
    `if ${primary} dies, the copy of ${domain} waits on ${backup} until you run it; ` +
    `if ${backup} dies, it is held on ${primary} until you say that it may go on`,
};

/** Which agreement is in force, and what it means for the death of either host. */
export function withoutWitnessText(agreed: Agreement, { role, domain, peer }: Subject): string {
  const [here, there] = ['this host', hostWord(peer)];
  const [primary, backup] = role === 'primary' ? [here, there] : [there, here];
  return `without a witness (${agreed}): ${sentences[agreed](domain, primary, backup)}`;
}
