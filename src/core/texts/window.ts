/** What the window of `tsremus protect` says of itself and of the session that it shows. Pure. */
import { adviceCommand } from './advice.ts';

function lookAndEnd(domain: string): string {
  const show = adviceCommand({ kind: 'show', domain });
  const stop = adviceCommand({ kind: 'stop', domain });
  return `look: ${show}; end it: ${stop}`;
}

/** Once it is protected: the last word of a window that nobody sees go. */
export function mayCloseText(domain: string): string {
  return `closing this window does not end protection, Ctrl-C does; ${lookAndEnd(domain)}`;
}

/** The terminal hung up. */
export function hungUpText(domain: string): string {
  return `this window is closed, protection goes on; ${lookAndEnd(domain)}`;
}

/** A session's process ended and said nothing; a signal's name or an exit code. */
export function processEndedText(how: string): string {
  return `the process of the session ended (${how})`;
}

/** Of what was told while nobody read. */
export function unreadText(events: number): string {
  return `${events} ${events === 1 ? 'line is' : 'lines are'} left out here: nobody read them`;
}
