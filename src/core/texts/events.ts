/** What an event of `tsremus events` says: of an end or a bad state what `status` says. Pure. */
import type { SessionFacts } from '../health/facts.ts';
import { formatMs } from '../units.ts';
import { hostWord } from './quote.ts';
import { reasonFor } from './states.ts';

/** The guest has a whole copy. */
export function protectedText(peer: string): string {
  return `protected by ${peer}`;
}

/** Of states in which there is nothing to explain. */
const calm: Readonly<Record<string, (peer: string) => string>> = {
  protected: protectedText,
  standby: (peer) => `a whole copy is here of what runs on ${peer}`,
  activating: () => 'the copy is being started',
};

function seedText({ role, peer }: SessionFacts): string {
  const where = role === 'primary' ? `to ${hostWord(peer)}` : `from ${hostWord(peer)}`;
  return `the first copy ${where} begins`;
}

export function eventText(kind: string, facts: SessionFacts): string {
  if (kind === 'seeding') return seedText(facts);
  if (kind === 'degraded' && facts.degraded !== null) return facts.degraded;
  const said = Object.hasOwn(calm, kind) ? calm[kind]?.(hostWord(facts.peer)) : undefined;
  return said ?? reasonFor(facts) ?? facts.state;
}

/** After trouble that was said, and that lasted so long. */
export function wellAgainText(forMs: number): string {
  return `well again after ${formatMs(forMs)}`;
}

/** Why, of a session's process, a clause: it goes on without. */
export function noEventsText(why: string): string {
  return `cannot write down what happens (tsremus-events(8)): ${why}`;
}

/** The same of what it measures. */
export function noFiguresText(why: string): string {
  return `cannot write down its figures (tsremus-report(8)): ${why}`;
}

/** Of events that could not be written down when they happened. */
export function lostEventsText(count: number): string {
  return `${count} ${count === 1 ? 'event' : 'events'} before this could not be written down`;
}
