/** The record's rules, all of them: five words have twenty-five pairs. */
import { describe, expect, it } from 'vitest';
import {
  answerAfter,
  answerFor,
  answerOf,
  askWithoutOwner,
  canMove,
  isFinal,
  lostRefusal,
} from '../../../src/core/permission/record.ts';
import type { Permission } from '../../../src/core/vocabulary.ts';

const all: readonly Permission[] = ['standby', 'activating', 'active', 'promised', 'lost'];

const view = (permission: Permission, running = false, ended = false) => {
  return { permission, built: false, running, ended };
};

const allowed = new Set([
  'standby > activating',
  'standby > promised',
  'activating > active',
  'activating > promised',
  'active > lost',
]);

const pairs = all.flatMap((from) => all.map((to) => ({ from, to })));

describe('permission record', () => {
  it.each(pairs)('$from -> $to', ({ from, to }) => {
    expect(canMove(from, to)).toBe(allowed.has(`${from} > ${to}`));
  });

  it.each(all)('is final when nothing but a word of a person can follow: %s', (permission) => {
    const follows = all.some((to) => to !== 'lost' && canMove(permission, to));
    expect(isFinal(permission)).toBe(!follows);
  });

  it.each([
    ['standby', { kind: 'activating' }],
    ['activating', { kind: 'activating' }],
    ['active', null],
    ['promised', { kind: 'promised' }],
    ['lost', { kind: 'promised' }],
  ] as const)('%s answers by itself', (permission, answer) => {
    expect(answerOf({ permission })).toEqual(answer);
  });

  // Proves: of a guest that took over nothing is said but what is found now; what was noted counts
  // only as far as it stays true.
  it.each([
    ['running', false, false, 'running'],
    ['running', true, true, 'running'],
    ['paused', true, false, 'running'],
    ['paused', false, false, 'activating'],
    ['ended', true, false, 'ended'],
    ['gone', true, true, 'ended'],
    ['gone', true, false, 'absent'],
    ['gone', false, false, 'absent'],
  ] as const)('active, found %s (ran: %s, ended: %s): %s', (found, running, ended, kind) => {
    expect(answerFor(found, view('active', running, ended))).toEqual({ kind });
  });

  it.each([
    ['active', 'gone', false, null],
    ['active', 'gone', true, /still looks after it/],
    ['active', 'running', false, /it is here/],
    ['active', 'paused', false, /it is here/],
    ['active', 'ended', false, /it is here/],
    ['activating', 'gone', false, /no copy of it took over/],
    ['standby', 'gone', false, /no copy of it took over/],
    ['promised', 'gone', false, /no copy of it took over/],
    ['lost', 'gone', false, /no copy of it took over/],
  ] as const)('%s, %s, looked after: %s: lost or not', (permission, found, isLookedAfter, why) => {
    const refusal = lostRefusal({ permission }, found, isLookedAfter);
    if (why === null) expect(refusal).toBeNull();
    else expect(refusal).toMatch(why);
    expect(lostRefusal(null, found, isLookedAfter)).toMatch(/no copy of it took over/);
  });

  it('answers unknown without a record, which is no promise', () => {
    expect(answerOf(null)).toEqual({ kind: 'unknown' });
    expect(askWithoutOwner(null)).toEqual({ kind: 'answer', answer: { kind: 'unknown' } });
  });

  it.each([
    ['standby', false, 'give-up'],
    ['activating', false, 'give-up'],
    ['promised', false, 'answer'],
    ['lost', false, 'answer'],
  ] as const)('without a living owner, %s (running: %s): %s', (permission, running, kind) => {
    expect(askWithoutOwner(view(permission, running)).kind).toBe(kind);
  });

  it.each([true, false])('of a copy that took over it looks (seen to run: %s)', (running) => {
    const rule = { kind: 'look', unpause: !running };
    expect(askWithoutOwner(view('active', running))).toEqual(rule);
  });

  // Proves: out of standby the promise is recorded first, so that nobody activates meanwhile; out
  // of activating the copy goes first, because the record then proves that it never ran.
  it('gives up in the order that leaves no copy behind a promise', () => {
    expect(askWithoutOwner(view('standby'))).toEqual({
      kind: 'give-up',
      isWhole: false,
      steps: [
        { do: 'record-promise', from: 'standby' },
        { do: 'destroy-copy', which: 'waiting' },
      ],
    });
    expect(askWithoutOwner(view('activating'))).toEqual({
      kind: 'give-up',
      isWhole: true,
      steps: [
        { do: 'destroy-copy', which: 'waiting-or-built' },
        { do: 'record-promise', from: 'activating' },
      ],
    });
  });

  it.each([
    ['standby', { kind: 'activating' }],
    ['activating', { kind: 'activating' }],
    ['active', { kind: 'activating' }],
    ['promised', { kind: 'promised' }],
  ] as const)('after giving up answers a promise only if it says so: %s', (permission, answer) => {
    expect(answerAfter(permission)).toEqual(answer);
  });
});
