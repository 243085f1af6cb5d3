/** What of a session's reports is an event (src/core/health/history.ts, N1 to N4). */
import { describe, expect, it } from 'vitest';
import type { SessionFacts } from '../../src/core/health/facts.ts';
import { newHistory, noteAmended, noteFacts } from '../../src/core/health/history.ts';
import { sampleStatus } from '../registry/sample-status.ts';

/** Reports a second apart; what each of them is news of, with the second. */
function told(...reports: readonly (Partial<SessionFacts> | number)[]): string[] {
  let history = newHistory;
  let second = 0;
  let last: SessionFacts = sampleStatus();
  const all: string[] = [];
  const report = () => {
    const noted = noteFacts(history, last, second * 1_000);
    history = noted.history;
    all.push(...noted.events.map(({ kind, text }) => `${second} ${kind}: ${text}`));
    second += 1;
  };
  for (const one of reports) {
    if (typeof one === 'number') for (let times = 0; times < one; times += 1) report();
    else {
      last = { ...sampleStatus(), ...one };
      report();
    }
  }
  return all;
}

const well = { state: 'protected' } as const;
const late = { state: 'late', reason: 'hostb was not heard for 700 ms' } as const;
const stalled = { ...well, degraded: 'stalled: the guest waited' } as const;
const held = { state: 'held', reason: 'the link ended' } as const;

describe('a primary', () => {
  // Proves: from the first copy to an end in order, once each, however often it is reported.
  it('begins, is protected, and ends', () => {
    expect(
      told(
        ...[{ state: 'connecting' } as const, 2, { state: 'seeding' } as const, 2],
        ...[well, 100, { state: 'ending' } as const],
        ...[{ state: 'ended', outcome: 'stopped' } as const, 2],
      ),
    ).toEqual([
      '3 seeding: the first copy to hostb begins',
      '6 protected: protected by hostb',
      '108 stopped: protection was ended in order',
    ]);
  });

  // Proves: what flickers is no news; what lasts is, and that it is over once it has been for long.
  it('tells trouble that lasts, once, and its end', () => {
    expect(told(well, late, well, late, 1, well, 5)).toEqual(['0 protected: protected by hostb']);
    expect(told(well, late, 4, well, 40)).toEqual([
      '0 protected: protected by hostb',
      '4 late: hostb was not heard for 700 ms',
      '36 restored: well again after 5000 ms',
    ]);
  });

  // Proves: however it flickers, each kind of trouble is told once until it is over.
  it('cannot fill a disk by flickering', () => {
    const flicker = Array.from({ length: 1_000 }, () => [late, 4, stalled, 4, well, 9]).flat();
    expect(told(well, ...flicker)).toEqual([
      '0 protected: protected by hostb',
      '4 late: hostb was not heard for 700 ms',
      '9 degraded: stalled: the guest waited',
    ]);
  });

  // Proves: a hold is told at once, and once until it is over.
  it('tells a hold at once', () => {
    expect(told(well, held, 3, well, 3, held, well, 40)).toEqual([
      '0 protected: protected by hostb',
      '1 held: nothing leaves the guest: the link ended',
      '40 restored: well again after 9000 ms',
    ]);
  });

  it.each([
    ['unprotected', 'unprotected', 'the guest runs on here without a copy: the disk failed'],
    ['ended', 'taken-over', 'hostb took over: the guest runs there: the disk failed'],
    ['held', 'held', 'nothing leaves the guest: the disk failed'],
    ['ended', 'guest-ended', 'the guest ended by itself: the disk failed'],
  ] as const)('ends %s by %s', (state, outcome, text) => {
    const over = { state, outcome, reason: 'the disk failed' };
    expect(told(well, over, 3).slice(1)).toEqual([`1 ${outcome}: ${text}`]);
  });
});

describe('a backup', () => {
  const role = 'backup';
  // Proves: a takeover is told from the decision to the end of the guest that took over.
  it('takes over, and its guest ends', () => {
    const took = 'took over from epoch 42: silence';
    expect(
      told(
        ...[{ role, state: 'seeding' } as const, { role, state: 'standby' } as const, 5],
        ...[{ role, state: 'activating', reason: 'silence' } as const, 2],
        ...[{ role, state: 'active', outcome: 'activated', reason: took } as const, 9],
        { role, state: 'ended', outcome: 'activated', reason: `${took}; since then it ended` },
      ),
    ).toEqual([
      '0 seeding: the first copy from hostb begins',
      '1 standby: a whole copy is here of what runs on hostb',
      '7 activating: the copy is being started',
      `10 activated: ${took}`,
      `20 guest-ended: the guest that took over here has ended: ${took}; since then it ended`,
    ]);
  });

  it('gives its copy up', () => {
    const over = { role, state: 'ended', outcome: 'promised' } as const;
    expect(told({ role, state: 'standby' }, over).at(-1)).toBe(
      '1 promised: the copy was given up because hostb goes on',
    );
  });
});

// Proves: what somebody else writes into a dead session's file is told once.
it('is what became of a dead session', () => {
  const before = sampleStatus();
  const after = sampleStatus({ state: 'unprotected', outcome: 'unprotected', reason: 'killed' });
  const [event] = noteAmended(before, after);
  expect(event?.text).toBe('the guest runs on here without a copy: killed');
  expect(noteAmended(after, after)).toEqual([]);
});
