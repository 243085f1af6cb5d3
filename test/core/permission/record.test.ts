/** The record's rules, all of them: four words have sixteen pairs. */
import { describe, expect, it } from 'vitest';
import {
  answerAfter,
  answerOf,
  askWithoutOwner,
  canMove,
  isFinal,
} from '../../../src/core/permission/record.ts';
import type { Permission } from '../../../src/core/vocabulary.ts';

const all: readonly Permission[] = ['standby', 'activating', 'active', 'promised'];

const allowed = new Set([
  'standby > activating',
  'standby > promised',
  'activating > active',
  'activating > promised',
]);

const pairs = all.flatMap((from) => all.map((to) => ({ from, to })));

describe('permission record', () => {
  it.each(pairs)('$from -> $to', ({ from, to }) => {
    expect(canMove(from, to)).toBe(allowed.has(`${from} > ${to}`));
  });

  it.each(all)('is final exactly when nothing can follow: %s', (permission) => {
    expect(isFinal(permission)).toBe(!all.some((to) => canMove(permission, to)));
  });

  it.each([
    ['standby', false, { kind: 'activating' }],
    ['activating', false, { kind: 'activating' }],
    ['active', false, { kind: 'active', running: false }],
    ['active', true, { kind: 'active', running: true }],
    ['promised', false, { kind: 'promised' }],
  ] as const)('%s (running: %s) answers', (permission, running, answer) => {
    expect(answerOf({ permission, running })).toEqual(answer);
  });

  it('answers unknown without a record, which is no promise', () => {
    expect(answerOf(null)).toEqual({ kind: 'unknown' });
    expect(askWithoutOwner(null)).toEqual({ kind: 'answer', answer: { kind: 'unknown' } });
  });

  it.each([
    ['standby', false, 'give-up'],
    ['activating', false, 'give-up'],
    ['active', false, 'finish-activation'],
    ['active', true, 'answer'],
    ['promised', false, 'answer'],
  ] as const)('without a living owner, %s (running: %s): %s', (permission, running, kind) => {
    expect(askWithoutOwner({ permission, running }).kind).toBe(kind);
  });

  // Proves: out of standby the promise is recorded first, so that nobody activates meanwhile; out
  // of activating the copy goes first, because the record then proves that it never ran.
  it('gives up in the order that leaves no copy behind a promise', () => {
    expect(askWithoutOwner({ permission: 'standby', running: false })).toEqual({
      kind: 'give-up',
      steps: [
        { do: 'record-promise', from: 'standby' },
        { do: 'destroy-copy', which: 'waiting' },
      ],
    });
    expect(askWithoutOwner({ permission: 'activating', running: false })).toEqual({
      kind: 'give-up',
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
