/** How a protection session ended, in words: what happened, and what to type next. Pure. */

import type { HeldOutcome } from '../core/outcomes.ts';
import type { PrimaryOutcome } from '../core/primary/types.ts';
import { hostWord } from '../core/texts.ts';
import type { ProtectResult } from '../session/options.ts';
import { quoteWord } from './output/shell.ts';

export interface OutcomeText {
  readonly message: string;
  readonly next: readonly string[];
}

/** What the texts speak of. */
export interface OutcomeSubject {
  readonly domain: string;
  readonly host: string;
  /** The command line that protects it again. */
  readonly again: string;
}

/** One sentence without final stop. */
export function outcomeMessage(
  outcome: PrimaryOutcome | HeldOutcome,
  { domain, host: named }: OutcomeSubject,
  detail: string | null = null,
): string {
  const host = hostWord(named);
  switch (outcome.kind) {
    case 'stopped':
      return `protection of ${domain} ended in order: it runs on here, the copy on ${host} is gone`;
    case 'unprotected':
      return `${domain} runs on here without a copy: ${outcome.reason}`;
    case 'never-protected':
      return `${domain} was never protected and runs on here as before: ${outcome.reason}`;
    case 'taken-over':
      return `${host} took over: ${domain} runs there, the guest here was destroyed`;
    case 'guest-ended':
      return `${domain} ended by itself: ${outcome.reason}${detail === null ? '' : `; ${detail}`}`;
    case 'held':
      if (outcome.mayOpen)
        return `${domain} may go on here, but its output buffer is not removed: ${outcome.reason}`;
      return `${domain} is held, nothing leaves it: ${outcome.reason}`;
  }
}

function outcomeNext(
  outcome: PrimaryOutcome | HeldOutcome,
  { domain, host: named, again }: OutcomeSubject,
): string[] {
  const host = hostWord(named);
  const name = quoteWord(domain);
  const only = `only if the copy on ${host} never ran and never will`;
  switch (outcome.kind) {
    case 'stopped':
      return [];
    case 'unprotected':
    case 'never-protected':
      return [again];
    case 'taken-over':
      return [`tsremus status ${name}  # on ${host}`, `tsremus stop ${name}  # here: seen`];
    case 'guest-ended':
      return [`xl list ${name}`, again];
    case 'held':
      if (outcome.mayOpen) return [`tsremus stop ${name}  # tries again`];
      return [
        `tsremus stop ${name}  # asks ${host} once more`,
        `tsremus stop --force-unsafe ${name}  # ${only}`,
      ];
  }
}

/** Message and next steps; what the session proposes comes before our own. */
export function outcomeText(result: ProtectResult, subject: OutcomeSubject): OutcomeText {
  const next = result.next ?? outcomeNext(result.outcome, subject);
  return { message: outcomeMessage(result.outcome, subject, result.detail ?? null), next };
}
