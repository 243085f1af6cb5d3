/** What `tsremus stop` achieved, in words. Pure. */

import type { StopResult } from '../core/outcomes.ts';
import { hostWord } from '../core/texts.ts';
import type { SessionStatus } from '../registry/status.ts';
import { quoteWord } from './output/shell.ts';

function sentence({ outcome }: StopResult, status: SessionStatus): string {
  const { domain } = status;
  const peer = hostWord(status.peer);
  switch (outcome.kind) {
    case 'stopped':
      return `protection of ${domain} ended in order: it runs on here, the copy on ${peer} is gone`;
    case 'unprotected':
      return `protection of ${domain} is over: it runs on here (${outcome.reason})`;
    case 'never-protected':
      return `protection of ${domain} ended before there was a copy: it runs on here`;
    case 'taken-over':
      return `${peer} had taken over: ${domain} runs there, the guest here was destroyed`;
    case 'guest-ended':
      return `${domain} had ended by itself: ${outcome.reason}`;
    case 'held':
      if ('mayOpen' in outcome && outcome.mayOpen)
        return `${domain} may go on here, but its output buffer is not removed: ${outcome.reason}`;
      return `${domain} stays held, nothing leaves it: ${outcome.reason}`;
    case 'activated':
      return `the copy of ${domain} runs here since the takeover; it was left alone`;
    case 'destroyed':
      return `${domain} is destroyed here: what it held was thrown away, its copy may go on`;
    case 'promised':
    case 'never-whole':
    case 'copy-lost':
      return `what was left here of the copy of ${domain} is removed`;
  }
}

function next({ outcome }: StopResult, status: SessionStatus): string[] {
  const word = quoteWord(status.domain);
  const peer = hostWord(status.peer);
  if (outcome.kind === 'taken-over') return [`tsremus status ${word}  # on ${peer}`];
  if (outcome.kind !== 'held') return [];
  if ('mayOpen' in outcome && outcome.mayOpen) return [`tsremus stop ${word}  # tries again`];
  return [
    `tsremus stop --force-unsafe ${word}  # only if the copy on ${peer} never ran and never will`,
  ];
}

/** Message and next steps; what the session says comes before our own. */
export function stopText(
  result: StopResult,
  status: SessionStatus,
): { message: string; next: readonly string[] } {
  return {
    message: result.text ?? sentence(result, status),
    next: result.next ?? next(result, status),
  };
}
