/** A guest of this host is found by name, number and UUID, or it is said why not. */
import { describe, expect, it } from 'vitest';
import { findGuest } from '../../src/guest/find.ts';
import type { GuestRef } from '../../src/hypervisor/port.ts';

const uuid = (digit: number) => `6ba7b810-9dad-11d1-80b4-00c04fd4300${digit}`;
interface Domain extends GuestRef {
  readonly name: string;
}

const web1: Domain = { name: 'web1', uuid: uuid(1), id: 2 };
const two: Domain = { name: '2', uuid: uuid(2), id: 5 };
const nine: Domain = { name: '9', uuid: uuid(3), id: 6 };

function find(wanted: string, domains: readonly Domain[] = [web1, two, nine]) {
  const ref = (one?: Domain) => (one === undefined ? null : { uuid: one.uuid, id: one.id });
  const all = (match: (one: Domain) => boolean) => domains.filter(match);
  return findGuest(
    {
      find: async (name) => ref(all((one) => one.name === name)[0]),
      numbered: async (id) => ref(all((one) => one.id === id)[0]),
      withUuid: async (wantedUuid) =>
        all((one) => one.uuid === wantedUuid).map(({ uuid: known, id }) => ({ uuid: known, id })),
    },
    wanted,
  );
}

describe('a guest', () => {
  it.each([
    ['web1', 2],
    ['5', 5],
    ['9', 6],
    [uuid(1), 2],
    [uuid(2).toUpperCase(), 5],
  ])('is found by %s', async (wanted, id) => {
    expect((await find(wanted)).id).toBe(id);
  });

  it.each(['web2', '4711', uuid(7), ''])('is not there: %j', async (wanted) => {
    await expect(find(wanted)).rejects.toMatchObject({ code: 'no-such-domain' });
  });

  // Proves: protect and stop never take the two readings of a number for different guests.
  it('is not guessed at', async () => {
    await expect(find('2')).rejects.toMatchObject({
      code: 'ambiguous',
      message: `2 may mean number 2, UUID ${uuid(1)} or 2 (number 5, UUID ${uuid(2)}): say which`,
      detail: { hint: 'xl vm-list  # shows the UUID of each: type that' },
    });
  });

  it('and its copy have one UUID', async () => {
    const copy = { ...web1, name: 'web1--incoming', id: 7 };
    await expect(find(uuid(1), [web1, copy])).rejects.toMatchObject({
      code: 'ambiguous',
      message: `the domains 2 and 7 have this UUID: ${uuid(1)}`,
    });
    expect((await find('web1', [web1, copy])).id).toBe(2);
  });
});
