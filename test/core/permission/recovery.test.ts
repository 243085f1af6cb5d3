/** What may become of a guest whose session died, case by case. */
import { describe, expect, it } from 'vitest';
import {
  mayEndHere,
  recoveryOn,
  recoveryUnasked,
  recoveryWithoutAnswer,
} from '../../../src/core/permission/recovery.ts';

const plain = { force: false, destroy: false };
const here = { isGuestHere: true, mayOpen: false };

describe('unasked', () => {
  it.each([
    ['a guest that is gone', { isGuestHere: false, mayOpen: false }, plain, { kind: 'drop' }],
    ['an order to give it up', here, { force: false, destroy: true }, 'destroy'],
    ['a word of the administrator', here, { force: true, destroy: false }, 'let-run'],
    ['a permission given before', { ...here, mayOpen: true }, plain, 'let-run'],
  ] as const)('%s decides', (_what, left, order, deed) => {
    const kind = typeof deed === 'string' ? deed : deed.kind;
    expect(recoveryUnasked(left, order)?.kind).toBe(kind);
  });

  // Proves: nothing else lets a guest go on, or go, without the backup's answer.
  it('nothing else does', () => {
    expect(recoveryUnasked(here, plain)).toBeNull();
  });

  it('is destroyed as ordered, not because a copy runs', () => {
    const deed = recoveryUnasked(here, { force: false, destroy: true });
    expect(deed).toEqual({ kind: 'destroy', because: 'ordered' });
  });
});

describe('the answer', () => {
  it.each([
    [{ kind: 'promised' }, 'let-run'],
    [{ kind: 'active', running: true }, 'destroy'],
    [{ kind: 'active', running: false }, 'hold'],
    [{ kind: 'activating' }, 'hold'],
    [{ kind: 'unknown' }, 'hold'],
  ] as const)('%o: %s', (answer, kind) => {
    expect(recoveryOn(answer).kind).toBe(kind);
  });

  it('that does not come holds it', () => {
    expect(recoveryWithoutAnswer('no route')).toEqual({ kind: 'hold', reason: 'no route' });
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
