/** Who is meant, by name, number and UUID, through every command; and both ends on one host. */
import { afterAll, beforeAll, expect } from 'vitest';
import { it } from './fixture.ts';
import { cleanUp, prepare } from './pair.ts';

beforeAll(prepare);
afterAll(cleanUp);

const guest = { memoryMib: 4 };

// Proves: the UUID is enough for protect, a name may have blanks, quotes and umlauts, and set,
// status, failover and stop take name, number and UUID for the same guest.
it.concurrent('is one guest, whatever it is called by', async ({ pair }) => {
  const { a, b } = pair;
  const name = `größe "1" it's`;
  const id = a.sim.create(name, guest);
  const uuid = a.sim.find(name)?.uuid ?? '';
  const protect = pair.protect({ guest: uuid.toUpperCase() });
  const early = protect.ended.then(({ err }) => {
    throw new Error(`protect ended early: ${err}`);
  });
  await Promise.race([early, pair.acknowledged(a, name, 2)]);
  early.catch(() => {});
  expect((await a.tsremus('status', name)).code).toBe(0);
  expect((await a.tsremus('set', String(id), 'interval=60')).code).toBe(0);
  expect((await b.tsremus('failover', '--dry-run', uuid)).code).toBe(14);
  expect((await a.tsremus('stop', name)).code).toBe(0);
  expect((await protect.ended).code).toBe(0);
  expect(a.state(name)).toBe('running');
});

// Proves: a number that is another guest's name is refused by protect and by stop alike.
it.concurrent('is nobody where two may be meant', async ({ pair }) => {
  const { a } = pair;
  const first = String(a.sim.create('g1', guest));
  a.sim.create(first, guest);
  const protect = ['protect', '-F', '-n', '-d'];
  const uuid = (name: string) => a.sim.find(name)?.uuid;
  const ran = await a.tsremus(...protect, first, 'hostb');
  expect(ran.code).toBe(12);
  expect(ran.err).toContain(`${first} may mean number ${first}, UUID ${uuid('g1')} or `);
  expect(ran.err).toContain(`UUID ${uuid(first)}): say which`);

  const running = await pair.protected();
  const stop = await a.tsremus('stop', first);
  expect(stop.code).toBe(12);
  expect(stop.err).toContain(`Try: tsremus stop ${uuid('g1')}  # g1 (number ${first})`);
  expect(stop.err).toContain(`Try: tsremus stop ${uuid(first)}  # ${first} (number `);
  expect((await a.tsremus('stop', uuid('g1') ?? '')).code).toBe(0);
  expect((await running.ended).code).toBe(0);
});

// Proves: what is wrong is said, and not that some domain of that name is there already.
it.concurrent('is not copied to its own host', async ({ pair }) => {
  pair.a.sim.create('g1', guest);
  const command = pair.receive(pair.a);
  const ran = await pair.a.tsremus('protect', '-F', '-n', '-d', '-s', '', 'g1', command);
  expect(ran.code).toBe(10);
  expect(ran.err).toContain('both ends of the session are on one host');
  expect(pair.a.state('g1')).toBe('running');
});
