/** One rule for who is meant, of which every command makes use. */
import { describe, expect, it } from 'vitest';
import {
  ambiguousText,
  describeGuest,
  formOf,
  guestsOf,
  type Named,
  whoIsMeant,
} from '../../src/core/who.ts';

const uuid = (digit: number) => `6ba7b810-9dad-11d1-80b4-00c04fd4300${digit}`;
const web1: Named = { name: 'web1', uuid: uuid(1), id: 2 };
const two: Named = { name: '2', uuid: uuid(2), id: 5 };
const seven: Named = { name: '7', uuid: uuid(3), id: 7 };
const nine: Named = { name: '9', uuid: uuid(4), id: 8 };
/** Called by the UUID of web1. */
const liar: Named = { name: uuid(1), uuid: uuid(5), id: 9 };
const alone: Named = { name: uuid(8), uuid: uuid(6), id: 10 };
const umlaut: Named = { name: 'größe "1"', uuid: uuid(7), id: 11 };
/** Of a past session: it has no number. */
const past: Named = { name: 'old', uuid: uuid(9), id: null };

const all = [web1, two, seven, nine, umlaut, alone, past];

describe('who is meant', () => {
  it.each([
    ['web1', [web1]],
    [uuid(1), [web1]],
    [uuid(1).toUpperCase(), [web1]],
    ['5', [two]],
    ['005', [two]],
    ['7', [seven]],
    ['9', [nine]],
    ['größe "1"', [umlaut]],
    [uuid(8), [alone]],
    ['old', [past]],
    [uuid(9), [past]],
  ])('by %s', (wanted, guests) => {
    expect(whoIsMeant(wanted, all)).toEqual({ kind: 'found', all: guests });
  });

  // Proves W4: of a number that is another guest's name neither is taken.
  it('is refused where a number is the name of another guest', () => {
    expect(whoIsMeant('2', all)).toEqual({ kind: 'ambiguous', all: [web1, two] });
    expect(whoIsMeant(uuid(1), [...all, liar])).toEqual({ kind: 'ambiguous', all: [web1, liar] });
  });

  it.each(['web2', '', 'null', '4711', '99999999999999999999', uuid(0)])(
    'is nobody: %j',
    (wanted) => {
      expect(whoIsMeant(wanted, all)).toEqual({ kind: 'nobody' });
    },
  );

  it('may be several by one name, or one guest with two sessions', () => {
    const copy = { ...web1, id: null };
    const other = { ...web1, uuid: uuid(0), id: 12 };
    expect(whoIsMeant('web1', [web1, copy, other])).toMatchObject({ kind: 'found' });
    expect(guestsOf([web1, copy])).toEqual([web1]);
    expect(guestsOf([web1, copy, other])).toEqual([web1, other]);
  });

  it('is the same guest where only the number is known', () => {
    const nameless = { name: '7', uuid: '', id: 7 };
    expect(whoIsMeant('7', [seven, nameless])).toEqual({ kind: 'found', all: [seven, nameless] });
    expect(guestsOf([seven, nameless])).toEqual([seven]);
  });
});

it.each([
  ['0', 'number'],
  ['12a', 'name'],
  ['-1', 'name'],
  [' 2', 'name'],
  ['2.5', 'name'],
  [uuid(1), 'uuid'],
  [uuid(1).slice(1), 'name'],
  ['6ba7b8109dad11d180b400c04fd43001', 'name'],
])('%j is a %s', (wanted, form) => expect(formOf(wanted)).toBe(form));

it('what is ambiguous is named with all that tells the guests apart', () => {
  expect(ambiguousText('2', [web1, two, web1])).toBe(
    `2 may mean web1 (number 2, UUID ${uuid(1)}) or 2 (number 5, UUID ${uuid(2)}): say which`,
  );
  expect(describeGuest({ name: '', uuid: uuid(1), id: null })).toBe(`UUID ${uuid(1)}`);
});
