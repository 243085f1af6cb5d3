/**
 * How a session ended, and what to type then: one sentence per outcome and point of view, without a
 * final stop. Each table is total over its outcomes, or this file does not compile. Pure.
 *
 *   log      the host itself speaks, of "the guest": logs and transcripts
 *   status   a session that is over, as `tsremus status` shows it for ever after
 *   protect  the result of `tsremus protect`, to whoever started it
 *   stop     the result of `tsremus stop`: what became of it, whatever ended the session
 */
import type { BackupOutcome } from '../backup/types.ts';
import type { DestroyedOutcome, HeldOutcome, LostOutcome } from '../outcomes.ts';
import { mayVouch } from '../permission/evidence.ts';
import type { PrimaryOutcome } from '../primary/types.ts';
import type { Answer } from '../vocabulary.ts';
import { type Advice, adviceLines } from './advice.ts';
import { hostWord } from './quote.ts';

export type SessionOutcome = PrimaryOutcome | BackupOutcome;
export type ProtectOutcome = PrimaryOutcome | HeldOutcome;
export type StopOutcome = SessionOutcome | HeldOutcome | DestroyedOutcome | LostOutcome;

/** For each kind of `Outcome` what is made of it and of what it is about. */
type Table<Outcome extends { readonly kind: string }, About, Made> = {
  readonly [Kind in Outcome['kind']]: (
    outcome: Extract<Outcome, { readonly kind: Kind }>,
    about: About,
  ) => Made;
};

/** The table's entry for the outcome's kind takes just that kind; the compiler cannot see it. */
function look<Outcome extends { readonly kind: string }, About, Made>(
  table: Table<Outcome, About, Made>,
  outcome: Outcome,
  about: About,
): Made {
  const made = table[outcome.kind as Outcome['kind']] as (outcome: Outcome, about: About) => Made;
  return made(outcome, about);
}

/** What the texts for a person speak of. */
interface Subject {
  readonly domain: string;
  /** The other host, as it is known. */
  readonly peer: string;
}

const logged: Table<SessionOutcome, null, string> = {
  stopped: ({ by }) => `protection was stopped (${by}), the guest runs on here`,
  unprotected: ({ reason }) => `the guest runs on here, unprotected: ${reason}`,
  'never-protected': ({ reason }) => `the guest was never protected and runs on here: ${reason}`,
  'taken-over': () => 'the backup took over, the guest here was destroyed',
  'guest-ended': ({ reason }) => `the guest ended by itself: ${reason}`,
  activated: ({ epoch, why }) => `the guest goes on here from epoch ${epoch}: ${why}`,
  promised: () => 'the primary goes on, the copy was discarded',
  'never-whole': ({ reason }) => `the seed never completed, nothing was activated: ${reason}`,
  'copy-lost': ({ reason }) => `the copy was lost, the primary goes on: ${reason}`,
};

/** As the host itself says it. */
export function loggedOutcome(outcome: SessionOutcome): string {
  return look(logged, outcome, null);
}

/** What a side says last to the other one: a failure's reason, if it is one. */
export function farewell(outcome: SessionOutcome | HeldOutcome | null): string {
  switch (outcome?.kind) {
    case 'unprotected':
    case 'never-protected':
    case 'never-whole':
    case 'copy-lost':
      return outcome.reason;
    default:
      return 'the session is over';
  }
}

/** A guest that runs on without a copy is a state that lasts, and no ending. */
type Ending = Exclude<SessionOutcome['kind'], 'unprotected'>;

const endings: Readonly<Record<Ending, (peer: string) => string>> = {
  stopped: () => 'protection was ended in order',
  'never-protected': () => 'the guest was never protected and runs on as before',
  'taken-over': (peer) => `${peer} took over: the guest runs there`,
  'guest-ended': () => 'the guest ended by itself',
  activated: () => 'the guest that took over here has ended',
  promised: (peer) => `the copy was given up because ${peer} goes on`,
  'never-whole': () => 'the first copy was never whole: there is nothing to run',
  'copy-lost': () => 'the copy was lost',
};

/** As a session that is over shows it; `kind` is from a file that any version may have written. */
export function ending(kind: string | null, peer: string): string {
  const known = kind !== null && Object.hasOwn(endings, kind) ? (kind as Ending) : null;
  if (known === null) return 'the session ended, nobody knows how';
  return endings[known](hostWord(peer));
}

function endedInOrder({ domain, peer }: Subject): string {
  const copy = `the copy on ${hostWord(peer)} is gone`;
  return `protection of ${domain} ended in order: it runs on here, ${copy}`;
}

/** `how`: is held, stays held. */
function heldText({ reason, mayOpen }: HeldOutcome, domain: string, how: string): string {
  return mayOpen
    ? `${domain} may go on here, but its output buffer is not removed: ${reason}`
    : `${domain} ${how}, nothing leaves it: ${reason}`;
}

/** What the texts of `protect` speak of. */
export interface ProtectSubject extends Subject {
  /** Its command line without the program's name, to protect the guest again. */
  readonly argv: readonly string[];
}

const protectTexts: Table<ProtectOutcome, Subject, string> = {
  stopped: (_, subject) => endedInOrder(subject),
  unprotected: ({ reason }, { domain }) => `${domain} runs on here without a copy: ${reason}`,
  'never-protected': ({ reason }, { domain }) =>
    `${domain} was never protected and runs on here as before: ${reason}`,
  'taken-over': (_, { domain, peer }) =>
    `${hostWord(peer)} took over: ${domain} runs there, the guest here was destroyed`,
  'guest-ended': ({ reason }, { domain }) => `${domain} ended by itself: ${reason}`,
  held: (outcome, { domain }) => heldText(outcome, domain, 'is held'),
};

const protectNext: Table<ProtectOutcome, ProtectSubject, Advice[]> = {
  stopped: () => [],
  unprotected: (_, { argv }) => [{ kind: 'again', argv }],
  'never-protected': (_, { argv }) => [{ kind: 'again', argv }],
  'taken-over': (_, { domain, peer }) => [
    { kind: 'show-there', domain, peer },
    { kind: 'stop-seen', domain },
  ],
  'guest-ended': (_, { domain, argv }) => [
    { kind: 'list-guest', domain },
    { kind: 'again', argv },
  ],
  held: ({ mayOpen }, { domain, peer }) => adviceWhenHeld(mayOpen === true, { domain, peer }),
};

/**
 * For a guest that is held by a session, or by what it left. Nobody is offered to vouch for a copy
 * that may run: `stop` asks first, and offers it then.
 */
export function adviceWhenHeld(mayOpen: boolean, { domain, peer }: Subject): Advice[] {
  if (mayOpen) return [{ kind: 'stop-retry', domain }];
  return [{ kind: 'stop-ask-again', domain, peer }];
}

/** For a guest that stays held after the backup was asked; `found`: its answer, null: none. */
export function adviceOnAnswer(found: Answer['kind'] | null, { domain, peer }: Subject): Advice[] {
  if (found === null || mayVouch({ kind: found })) return [{ kind: 'stop-vouch', domain, peer }];
  const again: Advice = { kind: 'stop-ask-again', domain, peer };
  return found === 'absent' ? [{ kind: 'stop-lost-there', domain, peer }, again] : [again];
}

const stopTexts: Table<StopOutcome, Subject, string> = {
  stopped: (_, subject) => endedInOrder(subject),
  unprotected: ({ reason }, { domain }) =>
    `protection of ${domain} is over: it runs on here (${reason})`,
  'never-protected': (_, { domain }) =>
    `protection of ${domain} ended before there was a copy: it runs on here`,
  'taken-over': (_, { domain, peer }) =>
    `${hostWord(peer)} had taken over: ${domain} runs there, the guest here was destroyed`,
  'guest-ended': ({ reason }, { domain }) => `${domain} had ended by itself: ${reason}`,
  held: (outcome, { domain }) => heldText(outcome, domain, 'stays held'),
  activated: (_, { domain }) =>
    `the copy of ${domain} runs here since the takeover; it was left alone`,
  lost: (_, { domain, peer }) =>
    `${domain} is lost here, as you said: ${hostWord(peer)} may go on with what it has`,
  destroyed: (_, { domain }) =>
    `${domain} is destroyed here: what it held was thrown away, its copy may go on`,
  promised: copyRemoved,
  'never-whole': copyRemoved,
  'copy-lost': copyRemoved,
};

function copyRemoved(_: BackupOutcome, { domain }: Subject): string {
  return `what was left here of the copy of ${domain} is removed`;
}

function stopNext(outcome: StopOutcome, { domain, peer }: Subject): Advice[] {
  if (outcome.kind === 'taken-over') return [{ kind: 'show-there', domain, peer }];
  if (outcome.kind !== 'held') return [];
  if (outcome.mayOpen) return [{ kind: 'stop-retry', domain }];
  if (outcome.found === undefined) return [{ kind: 'stop-ask-again', domain, peer }];
  return adviceOnAnswer(outcome.found, { domain, peer });
}

/** What happened, and complete command lines to type next. */
export interface OutcomeText {
  readonly message: string;
  readonly next: readonly string[];
}

/** Checkpoints to nowhere (-b), ended in order; `acked`: the newest one, -1: not even the seed. */
export function measuredText(domain: string, acked: number): string {
  return `${domain} runs on here; ${Math.max(0, acked)} checkpoints went to nowhere`;
}

/** A session's end as `protect` says it; what the session proposes comes before our own. */
export function protectText(
  result: {
    readonly outcome: ProtectOutcome;
    /** What the session itself says. */
    readonly text?: string;
    /** What became of the guest, or is still to come, a clause. */
    readonly detail?: string | null;
    readonly next?: readonly string[];
  },
  subject: ProtectSubject,
): OutcomeText {
  const { outcome, detail = null } = result;
  const text = result.text ?? look(protectTexts, outcome, subject);
  const message = detail === null ? text : `${text}; ${detail}`;
  const own = adviceLines(look(protectNext, outcome, subject));
  return { message, next: [...(result.next ?? []), ...own] };
}

/** The same as `stop` says it; what the session says comes before our own. */
export function stopText(
  result: {
    readonly outcome: StopOutcome;
    readonly text?: string;
    readonly detail?: string;
    readonly next?: readonly string[];
  },
  subject: Subject,
): OutcomeText {
  const said = result.text ?? look(stopTexts, result.outcome, subject);
  return {
    message: result.detail === undefined ? said : `${said}; ${result.detail}`,
    next: result.next ?? adviceLines(stopNext(result.outcome, subject)),
  };
}
