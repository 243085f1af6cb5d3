/**
 * Every command line of ours that is offered to a person, as data: a caller names a kind of advice
 * and what it speaks of, and never builds a line by hand. Pure.
 *
 * A line can be pasted as it is: its words are quoted for a shell, and why one would type it
 * follows as a comment. Tools of an adapter's own (tc, ip, ssh, apt) stay with the adapter; what
 * `--help` shows as examples stays with the command.
 */
import { hostWord, quoteWords } from './quote.ts';

interface OfGuest {
  /** Name, UUID or number, unquoted. */
  readonly domain: string;
}

interface OfPair extends OfGuest {
  /** The other host as it is known; empty where it is not. */
  readonly peer: string;
}

interface OfProcess {
  readonly pid: number;
}

/** What each kind of advice speaks of. */
interface Abouts {
  /** What `protect` was told, once more. */
  again: { readonly argv: readonly string[] };
  /** The same, of the one guest that is named. */
  'again-of': { readonly argv: readonly string[]; readonly who: string };
  protect: OfGuest;

  'show-all': object;
  show: OfGuest;
  'show-there': OfPair;

  stop: OfGuest;
  /** It may go on here, and its output buffer could not be removed. */
  'stop-retry': OfGuest;
  'stop-ask-again': OfPair;
  /** The same where the session's process is dead. */
  'stop-ask-and-clear': OfPair;
  'stop-clear': OfGuest;
  /** Of a buffer that nothing is known of. */
  'stop-find-out': OfGuest;
  /** On the word of a person (DESIGN.md, "Who may go on"). */
  'stop-vouch': OfPair;
  /** The same where there is no terminal to ask on. */
  'stop-vouch-name': OfGuest;
  'stop-destroy': OfGuest;
  /** A whole copy whose process died, on its own host; and named on the other one. */
  'stop-destroy-copy': OfPair;
  'stop-destroy-copy-there': OfPair;
  /** On the host where the copy took over. */
  'stop-lost-there': OfPair;
  'stop-lost-here': OfPair;
  'stop-lost-name': OfGuest;
  'stop-seen': OfGuest;
  'stop-leave-so': OfGuest;
  /** An interface that came later is protected by a seed of its own: from the beginning. */
  'stop-to-plug-in': OfGuest;
  'stop-here': OfGuest;
  'stop-there': OfPair;
  'stop-if-there': OfPair;

  'failover-yes': OfGuest;
  'failover-here': OfGuest;
  'failover-there': OfPair;
  'failover-if-dead': OfPair;
  /** Of a copy that may be whole or not. */
  'failover-look': OfPair;
  /** Where the primary goes on by itself: on the word of a person. */
  'failover-vouch': OfPair;
  /** A copy that is left held goes when its guest is protected anew. */
  'protect-there': OfPair;

  'set-there': OfPair & { readonly settings: readonly string[] };

  'list-guests': object;
  'list-uuids': object;
  'list-guest': OfGuest;
  'unpause-guest': OfGuest;
  'see-process': OfProcess;
  'end-process': OfProcess;
  /** The directory of the permission's records. */
  'free-record': { readonly dir: string };
}

export type AdviceKind = keyof Abouts;

export type Advice = {
  readonly [Kind in AdviceKind]: { readonly kind: Kind } & Abouts[Kind];
}[AdviceKind];

/** Words of a command, unquoted; and why one would type it, as it follows in a comment. */
interface Line {
  readonly words: readonly string[];
  readonly why: string | null;
}

function tsremus(words: readonly string[], why: string | null = null): Line {
  return { words: ['tsremus', ...words], why };
}

/** Also for texts that say it in other ways: what a person vouches for, who goes on unasked. */
export function neverRan(peer: string | null = null): string {
  const copy = peer === null ? 'the copy' : `the copy on ${hostWord(peer)}`;
  return `${copy} never ran and never will`;
}

const lines: { readonly [Kind in AdviceKind]: (about: Abouts[Kind]) => Line } = {
  again: ({ argv }) => tsremus(argv),
  'again-of': ({ argv, who }) => tsremus(argv, who),
  protect: ({ domain }) => tsremus(['protect', domain, 'HOST']),

  'show-all': () => tsremus(['status']),
  show: ({ domain }) => tsremus(['status', domain]),
  'show-there': ({ domain, peer }) => tsremus(['status', domain], `on ${hostWord(peer)}`),

  stop: ({ domain }) => tsremus(['stop', domain]),
  'stop-retry': ({ domain }) => tsremus(['stop', domain], 'tries again; it may go on here'),
  'stop-ask-again': ({ domain, peer }) =>
    tsremus(['stop', domain], `asks ${hostWord(peer)} once more`),
  'stop-ask-and-clear': ({ domain, peer }) =>
    tsremus(['stop', domain], `asks ${hostWord(peer)}, and clears what is left here`),
  'stop-clear': ({ domain }) => tsremus(['stop', domain], 'clears what is left here'),
  'stop-find-out': ({ domain }) =>
    tsremus(['stop', domain], 'clears it if the guest is gone; else says what may be done'),
  'stop-vouch': ({ domain, peer }) =>
    tsremus(['stop', '--force-unsafe', domain], `only if ${neverRan(peer)}`),
  'stop-vouch-name': ({ domain }) => tsremus(['stop', '--force-unsafe', '--vouch', domain, domain]),
  'stop-lost-there': ({ domain, peer }) =>
    tsremus(['stop', '--lost', domain], `on ${hostWord(peer)}, if it will not run there again`),
  'stop-lost-here': ({ domain, peer }) =>
    tsremus(['stop', '--lost', domain], `here: ${hostWord(peer)} may go on with what it has`),
  'stop-lost-name': ({ domain }) => tsremus(['stop', '--lost', '--vouch', domain, domain]),
  'stop-destroy': ({ domain }) =>
    tsremus(['stop', '--destroy', domain], 'drops what is held, destroys the guest'),
  'stop-destroy-copy': ({ domain, peer }) =>
    tsremus(['stop', '--destroy', domain], `here: give it up, if ${hostWord(peer)} goes on`),
  'stop-destroy-copy-there': ({ domain, peer }) =>
    tsremus(['stop', '--destroy', domain], `on ${hostWord(peer)}, if the guest here is the one`),
  'stop-seen': ({ domain }) => tsremus(['stop', domain], 'here: seen'),
  'stop-leave-so': ({ domain }) => tsremus(['stop', domain], 'seen, leave it so'),
  'stop-to-plug-in': ({ domain }) =>
    tsremus(['stop', domain], 'then protect it again, with all its interfaces'),
  'stop-here': ({ domain }) => tsremus(['stop', domain], 'here: end protection'),
  'stop-there': ({ domain, peer }) =>
    tsremus(['stop', domain], `on ${hostWord(peer)}: end protection there`),
  'stop-if-there': ({ domain, peer }) =>
    tsremus(['stop', domain], `on ${hostWord(peer)}, if the guest runs there`),

  'failover-yes': ({ domain }) => tsremus(['failover', '--yes', domain]),
  'failover-here': ({ domain }) => tsremus(['failover', domain], 'here: run the copy'),
  'failover-there': ({ domain, peer }) => tsremus(['failover', domain], `on ${hostWord(peer)}`),
  'failover-if-dead': ({ domain, peer }) =>
    tsremus(['failover', domain], `here, if ${hostWord(peer)} is dead`),

  'failover-look': ({ domain, peer }) =>
    tsremus(
      ['failover', domain],
      `here, if ${hostWord(peer)} is dead: looks, and runs it if whole`,
    ),
  'failover-vouch': ({ domain, peer }) =>
    tsremus(
      ['failover', '--force-unsafe', domain],
      `on your word that ${hostWord(peer)} does not run it`,
    ),
  'protect-there': ({ domain, peer }) =>
    tsremus(['protect', domain, 'HOST'], `on ${hostWord(peer)}, if the guest runs there`),

  'set-there': ({ domain, settings, peer }) =>
    tsremus(['set', domain, ...settings], `on ${hostWord(peer)}`),

  'list-guests': () => ({ words: ['xl', 'list'], why: null }),
  'list-uuids': () => ({ words: ['xl', 'vm-list'], why: 'shows the UUID of each: type that' }),
  'list-guest': ({ domain }) => ({ words: ['xl', 'list', domain], why: null }),
  'unpause-guest': ({ domain }) => ({ words: ['xl', 'unpause', domain], why: null }),
  'see-process': ({ pid }) => ({
    words: ['ps', '-o', 'pid,stat,wchan:20,cmd', '-p', String(pid)],
    why: null,
  }),
  'end-process': ({ pid }) => ({
    words: ['kill', String(pid)],
    why: 'then again; a second time if it stays held',
  }),
  'free-record': ({ dir }) => ({
    words: ['df', '-h', dir],
    why: 'the decision is recorded there',
  }),
};

function lineOf<Kind extends AdviceKind>(advice: { readonly kind: Kind } & Abouts[Kind]): Line {
  return lines[advice.kind](advice);
}

/** The complete line: `tsremus stop web1  # why`. The comment can be pasted along. */
export function adviceLine(advice: Advice): string {
  const { words, why } = lineOf(advice);
  return why === null ? quoteWords(words) : `${quoteWords(words)}  # ${why}`;
}

export function adviceLines(list: readonly Advice[]): string[] {
  return list.map(adviceLine);
}

/** The line without its comment, for a sentence that says the rest. */
export function adviceCommand(advice: Advice): string {
  return quoteWords(lineOf(advice).words);
}

/** What a person who watches `protect` is told of a held guest, a clause. */
export function askClause(domain: string): string {
  return `to ask once more, type: ${adviceCommand({ kind: 'stop', domain })}`;
}

/** What a person is told once the backup was asked in vain, a clause. */
export function vouchClause(domain: string, peer: string): string {
  const command = adviceCommand({ kind: 'stop-vouch', domain, peer });
  return `if ${neverRan(peer)}, type: ${command}`;
}

/** Hints that are sentences, and whose command is a pattern. */
export const hints = {
  protectAnew: 'tsremus protect DOMAIN HOST makes a new copy of the memory from the start',
  nameBackup: 'name the backup as ssh knows it: tsremus protect DOMAIN HOST',
  withoutDisks: 'tsremus protect -F -d ... does without it; see tsremus-protect(8) for the risk',
  sessionNotTyped: 'a session is started by tsremus protect, which shows it',
  notTyped: 'this command is started by tsremus protect on the other host',
} as const;
