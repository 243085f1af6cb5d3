/**
 * How sessions end, from each point of view: the tables as people see them. They are total by their
 * types; what is here is reviewed as a whole, so that two views of one outcome agree.
 */
import { describe, expect, it } from 'vitest';
import {
  ending,
  farewell,
  loggedOutcome,
  type ProtectOutcome,
  protectText,
  type SessionOutcome,
  type StopOutcome,
  stopText,
} from '../../../src/core/texts/outcomes.ts';

const reason = 'the link ended';
const subject = { domain: 'web1', peer: 'hostb', argv: ['protect', 'web1', 'hostb'] };

const outcomes: { readonly [Kind in StopOutcome['kind']]: Extract<StopOutcome, { kind: Kind }> } = {
  stopped: { kind: 'stopped', by: 'command' },
  unprotected: { kind: 'unprotected', reason },
  'never-protected': { kind: 'never-protected', reason },
  'taken-over': { kind: 'taken-over' },
  'guest-ended': { kind: 'guest-ended', reason },
  activated: { kind: 'activated', epoch: 4, why: 'silence of 1001 ms' },
  promised: { kind: 'promised' },
  'never-whole': { kind: 'never-whole', reason },
  'copy-lost': { kind: 'copy-lost', reason },
  held: { kind: 'held', reason },
  destroyed: { kind: 'destroyed' },
  lost: { kind: 'lost' },
};
const mayOpen = { kind: 'held', reason, mayOpen: true } as const;

const inLogs: Readonly<Record<SessionOutcome['kind'], string>> = {
  stopped: 'protection was stopped (command), the guest runs on here',
  unprotected: 'the guest runs on here, unprotected: the link ended',
  'never-protected': 'the guest was never protected and runs on here: the link ended',
  'taken-over': 'the backup took over, the guest here was destroyed',
  'guest-ended': 'the guest ended by itself: the link ended',
  activated: 'the guest goes on here from epoch 4: silence of 1001 ms',
  promised: 'the primary goes on, the copy was discarded',
  'never-whole': 'the seed never completed, nothing was activated: the link ended',
  'copy-lost': 'the copy was lost, the primary goes on: the link ended',
};

const inStatus: Readonly<Record<Exclude<SessionOutcome['kind'], 'unprotected'>, string>> = {
  stopped: 'protection was ended in order',
  'never-protected': 'the guest was never protected and runs on as before',
  'taken-over': 'hostb took over: the guest runs there',
  'guest-ended': 'the guest ended by itself',
  activated: 'the guest that took over here has ended',
  promised: 'the copy was given up because hostb goes on',
  'never-whole': 'the first copy was never whole: there is nothing to run',
  'copy-lost': 'the copy was lost',
};

const again = 'tsremus protect web1 hostb';
const vouch =
  'tsremus stop --force-unsafe web1  # only if the copy on hostb never ran and never will';

type Row = readonly [message: string, ...next: string[]];

const byProtect: Readonly<Record<ProtectOutcome['kind'], Row>> = {
  stopped: ['protection of web1 ended in order: it runs on here, the copy on hostb is gone'],
  unprotected: ['web1 runs on here without a copy: the link ended', again],
  'never-protected': ['web1 was never protected and runs on here as before: the link ended', again],
  'taken-over': [
    'hostb took over: web1 runs there, the guest here was destroyed',
    'ssh hostb tsremus status web1',
    'tsremus stop web1  # here: seen',
  ],
  'guest-ended': ['web1 ended by itself: the link ended', 'xl list web1', again],
  held: [
    'web1 is held, nothing leaves it: the link ended',
    'tsremus stop web1  # asks hostb once more',
  ],
};

const byStop: Readonly<Record<StopOutcome['kind'], Row>> = {
  stopped: ['protection of web1 ended in order: it runs on here, the copy on hostb is gone'],
  unprotected: ['protection of web1 is over: it runs on here (the link ended)'],
  'never-protected': ['protection of web1 ended before there was a copy: it runs on here'],
  'taken-over': [
    'hostb had taken over: web1 runs there, the guest here was destroyed',
    'ssh hostb tsremus status web1',
  ],
  'guest-ended': ['web1 had ended by itself: the link ended'],
  activated: ['the copy of web1 runs here since the takeover; it was left alone'],
  promised: ['what was left here of the copy of web1 is removed'],
  'never-whole': ['what was left here of the copy of web1 is removed'],
  'copy-lost': ['what was left here of the copy of web1 is removed'],
  held: [
    'web1 stays held, nothing leaves it: the link ended',
    'tsremus stop web1  # asks hostb once more',
  ],
  lost: ['web1 is lost here, as you said: hostb may go on with what it has'],
  destroyed: ['web1 is destroyed here: what it held was thrown away, its copy may go on'],
};

const opens: Row = [
  'web1 may go on here, but its output buffer is not removed: the link ended',
  'tsremus stop web1  # tries again; it may go on here',
];

function rows<Made>(table: Readonly<Record<string, Made>>): [StopOutcome, Made][] {
  return Object.entries(table).map(([kind, made]) => [outcomes[kind as StopOutcome['kind']], made]);
}

it.each(rows(inLogs))('in logs: $kind', (outcome, text) => {
  expect(loggedOutcome(outcome as SessionOutcome)).toBe(text);
});

// Proves: the other side is told a failure's reason, and no news of an end in order.
it.each(rows(inLogs))('as the last word to the other side: $kind', (outcome) => {
  const said = farewell(outcome as SessionOutcome);
  const failures = ['unprotected', 'never-protected', 'never-whole', 'copy-lost'];
  expect(said).toBe(failures.includes(outcome.kind) ? reason : 'the session is over');
});

describe('in status', () => {
  it.each(rows(inStatus))('$kind', ({ kind }, text) => {
    expect(ending(kind, 'hostb')).toBe(text);
  });

  it('admits what it does not know', () => {
    const unknown = 'the session ended, nobody knows how';
    for (const kind of [null, '', 'of-a-later-version', 'constructor']) {
      expect(ending(kind, 'hostb')).toBe(unknown);
    }
  });
});

describe('by protect', () => {
  it.each([...rows(byProtect), [mayOpen, opens] as const])('%j', (outcome, [message, ...next]) => {
    expect(protectText({ outcome: outcome as ProtectOutcome }, subject)).toEqual({ message, next });
  });

  it('with what became of a guest that ended, and with what the session proposes', () => {
    const said = { detail: 'it was booted anew', next: ['xl top'] };
    expect(protectText({ outcome: outcomes['guest-ended'], ...said }, subject)).toEqual({
      message: 'web1 ended by itself: the link ended; it was booted anew',
      next: ['xl top', 'xl list web1', 'tsremus protect web1 hostb'],
    });
  });
});

describe('by stop', () => {
  it.each([...rows(byStop), [mayOpen, opens] as const])('%j', (outcome, [message, ...next]) => {
    expect(stopText({ outcome }, subject)).toEqual({ message, next });
  });

  // Proves: nobody is offered to vouch for a copy that answers, or of which nobody was asked.
  it.each([
    [null, [vouch]],
    ['unknown', [vouch]],
    ['activating', ['tsremus stop web1  # asks hostb once more']],
    [
      'absent',
      [
        'ssh -t hostb tsremus stop --lost web1  # if it will not run there again',
        'tsremus stop web1  # asks hostb once more',
      ],
    ],
  ] as const)('held, and the backup answered %s', (found, next) => {
    const outcome = { ...outcomes.held, found } as StopOutcome;
    expect(stopText({ outcome }, subject).next).toEqual(next);
  });

  it('with what the session says itself', () => {
    const said = { text: 'web1 runs on here', next: ['xl top'] };
    expect(stopText({ outcome: outcomes.stopped, ...said }, subject)).toEqual({
      message: 'web1 runs on here',
      next: ['xl top'],
    });
  });
});

it('are sentences on one line, without a final stop', () => {
  const tables = [inLogs, inStatus, byProtect, byStop].flatMap((table) => Object.values(table));
  for (const text of tables.map((row) => (typeof row === 'string' ? row : row[0]))) {
    expect(text).toMatch(/^[a-z][^\n]*[^.\n]$/);
  }
  expect(new Set(Object.values(inLogs)).size).toBe(Object.keys(inLogs).length);
});
