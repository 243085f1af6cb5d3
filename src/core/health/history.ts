/**
 * What of a session's life is an event of `tsremus events`: the differences of what it says of
 * itself, from one report to the next. Pure.
 *
 *   N1  the end of a session, a hold and an activation are noted when they are reported
 *   N2  a first copy that begins, and that is whole, is noted once
 *   N3  trouble (late, degraded) is noted when it has lasted for a while, each kind of it once,
 *       until the session has been well for a while: what flickers cannot fill a disk
 *   N4  nothing is noted twice: the same state, or the same end
 */
import { eventText, wellAgainText } from '../texts/events.ts';
import type { SessionFacts } from './facts.ts';

/** States and outcomes have their own words; what is told by neither has these. */
export type EventKind = string;

export interface HistoryEvent {
  readonly kind: EventKind;
  /** A sentence without final stop. */
  readonly text: string;
}

/** What was noted of a session so far. */
export interface History {
  /** Steps on the way and of the end, in N1 and N2. */
  readonly noted: readonly EventKind[];
  /** The last of those that may come again: held, activating. */
  readonly grave: EventKind | null;
  /** Trouble, by its word: since when it lasts, ms; and whether it was noted. */
  readonly trouble: { readonly word: string; readonly sinceMs: number } | null;
  readonly troubles: readonly string[];
  /** Since when there is trouble that was noted, ms; null: none. */
  readonly illSinceMs: number | null;
  /** Since when the session is well, ms; null: it is not. */
  readonly wellSinceMs: number | null;
}

export const newHistory: History = {
  noted: [],
  grave: null,
  trouble: null,
  troubles: [],
  illSinceMs: null,
  wellSinceMs: null,
};

/** Trouble that passes sooner is none, ms. */
const troubleMsMin = 3_000;
/** After so long without any it is over, ms. */
const wellMsMin = 30_000;

const steps: ReadonlySet<string> = new Set([...['seeding', 'measuring', 'protected', 'standby']]);
const graves: ReadonlySet<string> = new Set(['held', 'activating']);

/** What the event of an end is called: as the outcome is, until the guest has ended after it. */
function endOf({ outcome, state }: SessionFacts): EventKind | null {
  if (outcome === 'activated' && state === 'ended') return 'guest-ended';
  return outcome;
}

/** The first word of what is wrong, as it stands before the colon; null: nothing is. */
function troubleOf({ state, degraded }: SessionFacts): string | null {
  if (state === 'late') return 'late';
  return degraded === null ? null : (degraded.split(':')[0] ?? degraded);
}

interface Step {
  readonly history: History;
  readonly events: readonly HistoryEvent[];
}

function noteOnce(history: History, kind: EventKind, facts: SessionFacts): Step {
  if (history.noted.includes(kind)) return { history, events: [] };
  const events = [{ kind, text: eventText(kind, facts) }];
  return { history: { ...history, noted: [...history.noted, kind] }, events };
}

function onGrave(history: History, facts: SessionFacts, nowMs: number): Step {
  const { state } = facts;
  if (history.grave === state) return { history: { ...history, wellSinceMs: null }, events: [] };
  const illSinceMs = history.illSinceMs ?? nowMs;
  const next = { ...history, grave: state, trouble: null, illSinceMs, wellSinceMs: null };
  return { history: next, events: [{ kind: state, text: eventText(state, facts) }] };
}

function onTrouble(history: History, word: string, facts: SessionFacts, nowMs: number): Step {
  const sinceMs = history.trouble?.word === word ? history.trouble.sinceMs : nowMs;
  const trouble = { word, sinceMs };
  const isNews = nowMs - sinceMs >= troubleMsMin && !history.troubles.includes(word);
  const next = { ...history, trouble, wellSinceMs: null };
  if (!isNews) return { history: next, events: [] };
  const kind = word === 'late' ? 'late' : 'degraded';
  const illSinceMs = history.illSinceMs ?? sinceMs;
  const troubles = [...history.troubles, word];
  return {
    history: { ...next, troubles, illSinceMs },
    events: [{ kind, text: eventText(kind, facts) }],
  };
}

function onWell(history: History, nowMs: number): Step {
  const wellSinceMs = history.wellSinceMs ?? nowMs;
  const { illSinceMs } = history;
  const calm = { ...history, trouble: null, wellSinceMs };
  if (illSinceMs === null || nowMs - wellSinceMs < wellMsMin) return { history: calm, events: [] };
  const text = wellAgainText(wellSinceMs - illSinceMs);
  const over = { ...calm, grave: null, troubles: [], illSinceMs: null };
  return { history: over, events: [{ kind: 'restored', text }] };
}

/** The session reported `facts` at `nowMs`, of any clock that does not step. */
export function noteFacts(history: History, facts: SessionFacts, nowMs: number): Step {
  const end = endOf(facts);
  if (end !== null) return noteOnce(history, end, facts);
  if (graves.has(facts.state)) return onGrave(history, facts, nowMs);
  const step = steps.has(facts.state)
    ? noteOnce(history, facts.state, facts)
    : { history, events: [] };
  const trouble = troubleOf(facts);
  if (trouble === null && !steps.has(facts.state)) return step;
  const more =
    trouble === null ? onWell(step.history, nowMs) : onTrouble(step.history, trouble, facts, nowMs);
  return { history: more.history, events: [...step.events, ...more.events] };
}

/** A dead session's file was changed by somebody else: what of it is news. */
export function noteAmended(before: SessionFacts, facts: SessionFacts): readonly HistoryEvent[] {
  const kind = endOf(facts);
  if (kind === null || (kind === endOf(before) && facts.reason === before.reason)) return [];
  return [{ kind, text: eventText(kind, facts) }];
}
