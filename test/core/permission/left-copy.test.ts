/** What may become of a copy whose process is dead: every record with everything that is found. */
import { describe, expect, it } from 'vitest';
import {
  leftCopyOf,
  leftCopyRefusal,
  mayGoUnasked,
  neededToRunLeft,
} from '../../../src/core/permission/left-copy.ts';
import type { FoundGuest } from '../../../src/core/permission/record.ts';
import { agreements } from '../../../src/core/permission/tie.ts';
import type { Permission } from '../../../src/core/vocabulary.ts';

const founds: readonly FoundGuest[] = ['paused', 'running', 'ended', 'gone'];

type Row = readonly [Permission | 'built' | 'running' | 'ended' | null, Record<FoundGuest, string>];

const all = (kind: string) => ({ paused: kind, running: kind, ended: kind, gone: kind });

/** By what the record says (`built`: activating, `running`, `ended`: active; that was noted). */
const table: readonly Row[] = [
  [null, all('unknown')],
  ['standby', all('not-built')],
  ['activating', all('not-built')],
  ['built', { ...all('not-built'), paused: 'whole', running: 'whole' }],
  ['active', { paused: 'whole, active', running: 'runs', ended: 'ended', gone: 'absent' }],
  ['running', { paused: 'running', running: 'running', ended: 'ended', gone: 'absent' }],
  ['ended', { paused: 'running', running: 'running', ended: 'ended', gone: 'ended' }],
  ['promised', all('given-up')],
  ['lost', all('given-up')],
];

function left(says: Row[0], found: FoundGuest) {
  if (says === null) return leftCopyOf(null, found);
  const isNews = says === 'running' || says === 'ended';
  const built = says === 'built';
  const permission: Permission = isNews ? 'active' : built ? 'activating' : says;
  return leftCopyOf({ permission, built, running: isNews, ended: says === 'ended' }, found);
}

function word(copy: ReturnType<typeof left>): string {
  if (copy.kind === 'went-on') return copy.answer.kind;
  return copy.kind === 'whole' && copy.isActive ? 'whole, active' : copy.kind;
}

describe('a copy whose process is dead', () => {
  // Proves: K1. What was never built is never run; what is given up, neither.
  it.each(table)('whose record says %s', (says, expected) => {
    const found = Object.fromEntries(founds.map((one) => [one, word(left(says, one))]));
    expect(found).toEqual(expected);
  });

  // Proves: K2. By nobody's leave but a person's; by his word where the primary goes on by itself.
  it.each([
    ['backup', 'order'],
    ['primary', 'word'],
    ['manual', 'order'],
  ] as const)('takes with %s a person’s %s', (agreed, needed) => {
    expect(neededToRunLeft(agreed)).toBe(needed);
    for (const found of ['built', 'active'] as const) {
      const whole = left(found, 'paused');
      expect(leftCopyRefusal(whole, agreed, 'nothing')).not.toBeNull();
      expect(leftCopyRefusal(whole, agreed, 'order') === null).toBe(needed === 'order');
      expect(leftCopyRefusal(whole, agreed, 'word')).toBeNull();
    }
  });

  it('does not run on anybody’s word when it is not whole', () => {
    for (const [says] of table) {
      for (const found of founds) {
        const copy = left(says, found);
        const isThere = copy.kind === 'whole' || copy.kind === 'runs';
        for (const agreed of agreements) {
          expect(leftCopyRefusal(copy, agreed, 'word') === null, `${says} ${found}`).toBe(isThere);
        }
        // Proves: K3.
        expect(mayGoUnasked(copy), `${says} ${found}`).toBe(copy.kind !== 'whole');
      }
    }
  });
});
