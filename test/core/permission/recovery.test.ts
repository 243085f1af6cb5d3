/** What may become of a guest whose session died, case by case. */
import { describe, expect, it } from 'vitest';
import {
  mayEndHere,
  recoveryOn,
  recoveryUnasked,
  recoveryWithoutAnswer,
} from '../../../src/core/permission/recovery.ts';

const plain = { force: false, destroy: false };
const forced = { force: true, destroy: false };
const here = { isGuestHere: true, mayOpen: false };

describe('unasked', () => {
  it.each([
    ['a guest that is gone', { isGuestHere: false, mayOpen: false }, plain, { kind: 'drop' }],
    ['an order to give it up', here, { force: false, destroy: true }, 'destroy'],
    ['a permission given before', { ...here, mayOpen: true }, plain, 'let-run'],
  ] as const)('%s decides', (_what, left, order, deed) => {
    const kind = typeof deed === 'string' ? deed : deed.kind;
    expect(recoveryUnasked(left, order)?.kind).toBe(kind);
  });

  // Proves: nothing else lets a guest go on, or go, without the backup's answer.
  it('nothing else does, not even a word of the administrator', () => {
    expect(recoveryUnasked(here, plain)).toBeNull();
    expect(recoveryUnasked(here, forced)).toBeNull();
  });

  it('is destroyed as ordered, not because a copy runs', () => {
    const deed = recoveryUnasked(here, { force: false, destroy: true });
    expect(deed).toEqual({ kind: 'destroy', because: 'ordered' });
  });
});

describe('the answer', () => {
  it.each([
    ['promised', 'let-run', 'let-run'],
    ['running', 'destroy', 'destroy'],
    ['ended', 'destroy', 'destroy'],
    ['absent', 'hold', 'hold'],
    ['activating', 'hold', 'hold'],
    ['unknown', 'hold', 'let-run'],
  ] as const)('%s: %s; with a word of the administrator: %s', (kind, deed, vouched) => {
    expect(recoveryOn({ kind }, plain).kind).toBe(deed);
    expect(recoveryOn({ kind }, forced)).toMatchObject({ kind: vouched });
  });

  it('is told to whoever waits where it permits nothing', () => {
    const deed = recoveryOn({ kind: 'absent' }, plain);
    expect(deed).toMatchObject({ kind: 'hold', found: 'absent' });
    expect(deed).toHaveProperty('reason', expect.stringMatching(/disk there is the newer one/));
  });

  it('that does not come holds it, unless somebody vouches', () => {
    const held = { kind: 'hold', reason: 'no route', found: null };
    expect(recoveryWithoutAnswer('no route', plain)).toEqual(held);
    const run = { kind: 'let-run', isVouched: true };
    expect(recoveryWithoutAnswer('no route', forced)).toEqual(run);
  });
});

it.each([
  ['stopped', 'now'],
  ['held', 'later'],
  ['taken-over', 'never'],
  ['guest-ended', 'never'],
  ['destroyed', 'never'],
] as const)('a guest whose session is %s may end here: %s', (outcome, may) => {
  expect(mayEndHere(outcome)).toBe(may);
});
