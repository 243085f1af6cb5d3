/** The ordered ends: the guest runs on here, the copy is gone, no session is left to be seen. */
import { afterAll, beforeAll, expect } from 'vitest';
import { it } from './fixture.ts';
import { cleanUp, type Pair, prepare } from './pair.ts';
import { type Running, signal, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

const guest = { memoryMib: 32, rate: 2_000 };

async function expectEnded(pair: Pair, protect: Running, by: string, exit: number): Promise<void> {
  const { code } = await protect.ended;
  expect(protect.events.at(-1)).toMatchObject({ outcome: 'stopped', by, exit });
  expect(code).toBe(exit);
  expect(pair.a.state('g1')).toBe('running');
  expect(pair.a.sim.wrong('g1')).toBeNull();
  await until('nothing is left on the backup', () => pair.b.leftovers().length === 0);
  expect(await pair.a.tsremus('status')).toEqual({
    code: 0,
    signal: null,
    out: 'no sessions\n',
    err: '',
  });
  // Its last words are not lost with the process.
  expect(pair.a.log('g1.primary')).toMatch(/the session is over: .*\n$/);
  expect(pair.a.log()).not.toMatch(/ERROR/);
  expect(pair.b.log()).not.toMatch(/ERROR/);
  // Where a checkpoint made xl's daemon leave, the guard watches the guest on.
  await until('nothing else runs', () => pair.processes().length === pair.guards().length);
}

// Proves: stop from another shell ends protection in order, and says so on both terminals.
it.concurrent('by tsremus stop', async ({ pair }) => {
  pair.a.sim.create('g1', guest);
  const protect = await pair.protected();
  const stop = await pair.a.tsremus('stop', 'g1');
  expect(stop).toMatchObject({ code: 0, err: '' });
  expect(stop.out).toMatch(/^protection of g1 ended in order: it runs on here/);
  await expectEnded(pair, protect, 'command', 0);
});

// Proves: signals do the same, with the exit codes that a shell expects.
it.concurrent.for([
  ['SIGINT', 'sigint', 130],
  ['SIGTERM', 'sigterm', 143],
] as const)('by %s', async ([name, by, code], { pair }) => {
  pair.a.sim.create('g1', guest);
  const protect = await pair.protected();
  signal(protect.pid, name);
  await expectEnded(pair, protect, by, code);
});

// Proves: in the seed nobody need be asked; the half of a copy goes, too.
it.concurrent('by SIGINT in the seed', async ({ pair }) => {
  pair.a.sim.create('g1', { ...guest, memoryMib: 64 });
  pair.a.sim.fault('save.live stall 15000');
  const protect = pair.protect();
  await until('the seed begins', () => pair.a.session('g1')?.state === 'seeding');
  signal(protect.pid, 'SIGINT');
  await expectEnded(pair, protect, 'sigint', 130);
});

// Proves: Ctrl-C works while the backup is still being connected.
it.concurrent('by SIGTERM while connecting', async ({ pair }) => {
  pair.a.sim.create('g1', guest);
  const protect = pair.protect({ command: 'sleep 600' });
  await until('it connects', () => pair.a.session('g1')?.state === 'connecting');
  await until('the transport runs', () => pair.processes().some(({ argv }) => argv[0] === 'sleep'));
  signal(protect.pid, 'SIGTERM');
  expect((await protect.ended).code).toBe(143);
  expect(pair.a.state('g1')).toBe('running');
  expect(pair.a.leftovers()).toEqual(['g1 running']);
  await until('nothing runs any more', () => pair.processes().length === 0);
});

// Proves: so does stop.
it.concurrent('by tsremus stop while connecting', async ({ pair }) => {
  pair.a.sim.create('g1', guest);
  const protect = pair.protect({ command: 'sleep 600' });
  await until('it connects', () => pair.a.session('g1')?.state === 'connecting');
  const stop = await pair.a.tsremus('stop', 'g1');
  expect(stop.code).toBe(0);
  await protect.ended;
  expect(pair.a.leftovers()).toEqual(['g1 running']);
});
