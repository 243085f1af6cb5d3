/** Several guests at once between the same two hosts. */
import { afterAll, beforeAll, expect } from 'vitest';
import { it } from './fixture.ts';
import { cleanUp, noticing, prepare } from './pair.ts';
import { signal, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

const guest = { memoryMib: 16, rate: 1_000 };
const args = noticing;

// Proves: sessions in opposite directions do not know of each other; when host a dies, its guest
// goes on at b, and the guest of b goes on there as well, its copy lost with a.
it.concurrent('in opposite directions: one host dies, both guests run', async ({ pair }) => {
  const { a, b } = pair;
  a.sim.create('g1', guest);
  b.sim.create('g2', guest);
  const [one, two] = await Promise.all([
    pair.protected({ args }),
    pair.protected({ from: b, guest: 'g2', args }),
  ]);
  const status = await a.tsremus('status');
  expect(status.code).toBe(0);
  expect(status.out).toMatch(/g1 +primary +protected/);
  expect(status.out).toMatch(/g2 +backup +standby/);

  // Host a loses its power: its processes stop at once, and no packet says so.
  await pair.wire.set({ there: 'cut', back: 'cut', refuse: true });
  const copy = pair.receiver('g2', a);
  signal(one.pid, 'SIGKILL');
  signal(copy, 'SIGKILL');
  for (const pid of pair.guards(a)) signal(pid, 'SIGKILL');
  a.sim.crash();
  await until('g1 runs at b', () => b.session('g1')?.state === 'active');
  expect(b.sim.wrong('g1')).toBeNull();
  await until('g2 is held', () => b.session('g2')?.guest_paused);
  expect((await b.tsremus('stop', '--force-unsafe', '--vouch', 'g2', 'g2')).code).toBe(0);
  expect((await two.ended).code).toBe(16);
  expect(b.state('g1')).toBe('running');
  expect(b.state('g2')).toBe('running');
  expect(b.sim.wrong('g2')).toBeNull();
});

// Proves: two guests of one host are two sessions: one is stopped, the other is not disturbed.
it.concurrent('in one direction: each for itself', async ({ pair }) => {
  const { a, b } = pair;
  a.sim.create('g1', guest);
  a.sim.create('g2', guest);
  const [one, two] = await Promise.all([
    pair.protected({ args }),
    pair.protected({ guest: 'g2', args }),
  ]);
  expect((await a.tsremus('stop', 'g1')).code).toBe(0);
  expect((await one.ended).code).toBe(0);
  await until('the copy of g1 is gone', () => b.session('g1') === null);
  expect(b.sim.list().map(({ name }) => name)).toEqual(['g2--incoming']);
  await pair.moreEpochs(a, 'g2', 2);
  await pair.wire.cut();
  await until('g2 runs at b', () => b.session('g2')?.state === 'active');
  expect(b.sim.wrong('g2')).toBeNull();
  expect(a.state('g1')).toBe('running');
  await pair.wire.heal();
  expect((await two.ended).code).toBe(17);
  expect(a.sim.list().map(({ name }) => name)).toEqual(['g1']);
});
