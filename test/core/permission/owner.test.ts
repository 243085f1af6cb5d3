/** Who answers for a session, case by case: every view of the owner has its step. */
import { describe, expect, it } from 'vitest';
import {
  firstView,
  type OwnerStep,
  type OwnerView,
  stepOnOwner,
} from '../../../src/core/permission/owner.ts';
import type { Permission } from '../../../src/core/vocabulary.ts';

type View = readonly [Permission | null, OwnerView['owner'], ...string[]];

/** The words after the owner are what is true besides. */
function viewOf([permission, owner, ...also]: View): OwnerView {
  return {
    permission,
    owner,
    isDeaf: also.includes('deaf'),
    isAskedAgain: also.includes('asked again'),
    isReadAgain: also.includes('read again'),
  };
}

const undecided = ['standby', 'activating'] as const;

describe('the owner of a session', () => {
  // Proves W1, W2: nothing is looked for before the record was read, and a promise needs nobody.
  it.each<[Permission | null, OwnerStep]>([
    [null, 'look-up'],
    ['promised', 'look-up'],
    ['standby', 'look-for-owner'],
    ['activating', 'look-for-owner'],
    ['active', 'look-for-owner'],
  ])('is looked for when the record says %s: %s', (permission, step) => {
    expect(stepOnOwner(firstView(permission))).toBe(step);
  });

  it.each(undecided)('answers while it lives and speaks: %s', (permission) => {
    expect(stepOnOwner(viewOf([permission, 'lives']))).toBe('ask-owner');
  });

  // Proves W3: it is ended only for one who asks again, and then asked for once more.
  it.each(undecided)('is ended when it is deaf, for one who is there: %s', (permission) => {
    const step = (...view: [OwnerView['owner'], ...string[]]) =>
      stepOnOwner(viewOf([permission, ...view]));
    expect(step('lives', 'deaf')).toBe('await-question');
    expect(step('lives', 'deaf', 'asked again')).toBe('kill-owner');
    expect(step('gone', 'deaf')).toBe('read-again');
    expect(step('gone', 'deaf', 'read again')).toBe('await-question');
    expect(step('gone', 'deaf', 'read again', 'asked again')).toBe('act-for-owner');
  });

  // Proves W1: it may have decided just before it died.
  it.each(undecided)('is acted for only by what the record says then: %s', (permission) => {
    expect(stepOnOwner(viewOf([permission, 'gone']))).toBe('read-again');
    expect(stepOnOwner(viewOf([permission, 'gone', 'read again']))).toBe('act-for-owner');
  });

  // Proves W3: never when the record says active, deaf or not.
  it('is never ended once its copy is active', () => {
    expect(stepOnOwner(viewOf(['active', 'lives']))).toBe('ask-owner');
    for (const also of [[], ['asked again'], ['asked again', 'read again']]) {
      expect(stepOnOwner(viewOf(['active', 'lives', 'deaf', ...also]))).toBe('look-up');
    }
    expect(stepOnOwner(viewOf(['active', 'gone', 'deaf', 'read again']))).toBe('act-for-owner');
  });

  it('is ended by no other view', () => {
    const permissions = [null, 'standby', 'activating', 'active', 'promised'] as const;
    const killing: OwnerView[] = [];
    for (const permission of permissions) {
      for (const owner of [null, 'lives', 'gone'] as const) {
        for (let bits = 0; bits < 8; bits += 1) {
          const view = {
            permission,
            owner,
            isDeaf: (bits & 1) !== 0,
            isAskedAgain: (bits & 2) !== 0,
            isReadAgain: (bits & 4) !== 0,
          };
          if (stepOnOwner(view) === 'kill-owner') killing.push(view);
        }
      }
    }
    expect(killing.length).toBe(4);
    for (const view of killing) {
      expect(view).toMatchObject({ owner: 'lives', isDeaf: true, isAskedAgain: true });
      expect(undecided).toContain(view.permission);
    }
  });
});
