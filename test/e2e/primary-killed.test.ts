/**
 * `tsremus protect` is killed. Without a buffer its guest runs on, so the copy may not be activated
 * by itself; and the guest must never be left suspended.
 */
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { it } from './fixture.ts';
import { cleanUp, noticing, type Pair, prepare, silenceMs } from './pair.ts';
import { isRunning, type Running, signal, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

const guest = { memoryMib: 32, rate: 2_000 };
const holdMs = 100;

async function kill(protect: Running): Promise<void> {
  signal(protect.pid, 'SIGKILL');
  await protect.ended;
}

/** A suspend that was asked for is obeyed only then: the test kills protect well before. */
const obeysAfterMs = 10_000;
/** The guest's own time. */
const tickMs = 10;

/** The copy waits for somebody to decide. */
async function expectHeldBackup(pair: Pair): Promise<void> {
  await until(
    'the copy waits for somebody to decide',
    () => pair.b.session('g1')?.state === 'held',
  );
  expect((await pair.b.tsremus('status')).code).toBe(2);
}

describe('at a checkpoint, with the guest suspended', () => {
  // Proves: the guard resumes the guest wherever in the checkpoint protect died.
  it.concurrent.for(['save.pages', 'save.postcopy', 'save.resume'])(
    '(%s): the guard lets it run on',
    async (point, { pair }) => {
      pair.a.sim.create('g1', guest);
      pair.a.sim.fault(`${point} stall 60000 epoch=3`);
      const protect = pair.protect();
      await until('the guest is suspended', () => pair.a.state('g1') === 'suspended');
      await kill(protect);
      await until('the guard resumes the guest', () => pair.a.state('g1') === 'running');
      const { ticks = 0 } = pair.a.sim.find('g1')?.guest ?? {};
      await until('it goes on', () => (pair.a.sim.find('g1')?.guest?.ticks ?? 0) > ticks);
      expect(pair.a.sim.wrong('g1')).toBeNull();
    },
  );

  // Proves: a suspend that was asked for before protect died is obeyed afterwards, and undone.
  it.concurrent('which comes only after the death', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    pair.a.sim.fault(`guest.suspend stall ${obeysAfterMs} epoch=3`);
    const protect = pair.protect();
    await until('epoch 3 is asked for', () => /take-checkpoint 3/.test(pair.a.log()));
    // Only aims: within this time the guest was asked, and it has not obeyed yet.
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(pair.a.state('g1')).toBe('running');
    const { ticks = 0 } = pair.a.sim.find('g1')?.guest ?? {};
    await kill(protect);
    await until('the guest went on for 3 s of its own, and the time until it obeyed', () => {
      return (pair.a.sim.find('g1')?.guest?.ticks ?? 0) > ticks + (obeysAfterMs + 3000) / tickMs;
    });
    expect(pair.a.sim.wrong('g1')).toBeNull();
  });
});

describe('at any moment', () => {
  // Proves: the guest runs on, the copy is kept and not run, and `stop` clears up both sides.
  it.concurrent.for([1, 2])('(trial %i): stop clears up both sides', async (trial, { pair }) => {
    pair.a.sim.create('g1', { ...guest, rate: 10_000 });
    const protect = await pair.protected({ args: [...noticing, '--hold', String(holdMs)] });
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 120));
    await kill(protect);
    await expectHeldBackup(pair);
    await until('the guest runs', () => pair.a.state('g1') === 'running');
    const status = await pair.a.tsremus('status');
    expect(status.code).toBe(2);
    expect(status.out).toMatch(/Try: tsremus stop g1 /);
    // Nothing is to happen in this time: it cannot be too long.
    await new Promise((resolve) => setTimeout(resolve, silenceMs + holdMs));
    expect(pair.b.sim.list().map(({ name }) => name)).toEqual(['g1--incoming']);

    const again = await pair.a.tsremus('protect', '-F', '-n', '-d', '-s', '', 'g1', 'false');
    expect(again.code).toBe(11);
    expect(again.err).toMatch(/Try: tsremus stop g1\n/);
    const stop = await pair.a.tsremus('stop', 'g1');
    expect(stop).toMatchObject({ code: 0, err: '' });
    expect(pair.a.state('g1')).toBe('running');
    expect(pair.a.sim.wrong('g1')).toBeNull();
    await until('the copy is gone', () => pair.b.leftovers().length === 0);
    expect((await pair.a.tsremus('status')).out).toBe('no sessions\n');
    expect(trial).toBeGreaterThan(0);
  });

  // Proves: the administrator may decide for the copy; the guest here is then destroyed by `stop`.
  it.concurrent('failover runs the copy, and stop destroys what is left here', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    await kill(await pair.protected({ args: noticing }));
    await expectHeldBackup(pair);
    const failover = await until('failover is not refused', async () => {
      const ran = await pair.b.tsremus('failover', '--yes', 'g1');
      return ran.code === 14 ? null : ran;
    });
    expect(failover).toMatchObject({ code: 0, out: 'g1 runs here\n' });
    expect(pair.b.state('g1')).toBe('running');
    expect(pair.b.sim.wrong('g1')).toBeNull();
    const stop = await pair.a.tsremus('stop', 'g1');
    expect(stop.code).toBe(17);
    expect(pair.a.sim.list()).toEqual([]);
    expect(pair.b.state('g1')).toBe('running');
  });

  // Proves: in the seed too; there is no copy to speak of, and `stop` says so without being asked.
  it.concurrent('in the seed: the guest runs on, the backup removes its half of a copy', async ({
    pair,
  }) => {
    pair.a.sim.create('g1', { ...guest, memoryMib: 64 });
    pair.a.sim.fault('save.live stall 60000');
    const protect = pair.protect();
    await until('the seed begins', () => pair.a.session('g1')?.state === 'seeding');
    await kill(protect);
    await until('the copy is gone', () => pair.b.leftovers().length === 0);
    expect(pair.a.state('g1')).toBe('running');
    expect((await pair.a.tsremus('status')).code).toBe(2);
    expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
    expect(pair.a.sim.wrong('g1')).toBeNull();
  });

  // Proves: a seed without an acknowledgement permits nothing. It may be whole over there, with the
  // acknowledgement lost on its way, so without an answer only the administrator's word helps.
  it.concurrent('in the seed, and the backup cannot be asked: held', async ({ pair }) => {
    pair.a.sim.create('g1', { ...guest, memoryMib: 64 });
    pair.a.sim.fault('save.live stall 60000');
    const protect = pair.protect();
    await until('the seed begins', () => pair.a.session('g1')?.state === 'seeding');
    await pair.wire.set({ there: 'cut', back: 'cut', refuse: true });
    await kill(protect);
    expect((await pair.a.tsremus('stop', 'g1')).code).toBe(18);
    expect((await pair.a.tsremus('stop', '--force-unsafe', '--vouch', 'g1', 'g1')).code).toBe(0);
    expect(pair.a.state('g1')).toBe('running');
    await pair.wire.heal();
    await until('the copy is gone', () => pair.b.leftovers().length === 0);
  });
});

describe('with the guest paused', () => {
  // Proves: the pause that stands in for the buffer is on record before it matters: whoever stops
  // what the dead protect left knows that the guest has to be unpaused.
  it.concurrent('stop lets it run on', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected({ args: noticing });
    await pair.wire.set({ back: 'cut' });
    signal(pair.receiver(), 'SIGSTOP');
    await until('the guest is paused', () => pair.a.state('g1') === 'paused');
    await kill(protect);
    signal(pair.receiver(), 'SIGCONT');
    await pair.wire.heal();
    expect((await pair.a.tsremus('status')).out).toMatch(/stands still/);
    expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
    expect(pair.a.state('g1')).toBe('running');
    expect(pair.a.sim.wrong('g1')).toBeNull();
  });
});

describe('the guard', () => {
  // Proves: it goes when protect ends in order and nobody is to watch (-e): nothing is left.
  it.concurrent('ends with protect', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected({ args: ['-e'] });
    const guards = pair.guards();
    expect(guards).toHaveLength(1);
    expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
    await protect.ended;
    await until('the guard has gone', () => guards.every((pid) => !isRunning(pid)));
    await until('nothing is left', () => pair.processes().length === 0);
  });
});

describe('the guard is killed', () => {
  // Proves: its death is noticed, and the next one stands by: protect's own death in a checkpoint
  // leaves the guest suspended no longer than as if the first one had lived.
  it.concurrent('and another one stands by', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected();
    const [first = 0] = pair.guards();
    signal(first, 'SIGKILL');
    await until('it was started again', () => /the guard was started again/.test(pair.a.log('g1')));
    expect(pair.a.log('g1')).toMatch(/its guard died \(SIGKILL\)/);
    await until('status is well again', () => pair.a.session('g1')?.degraded === null);
    expect(pair.guards()).not.toContain(first);
    pair.a.sim.fault('save.pages stall 60000');
    await until('the guest is suspended', () => pair.a.state('g1') === 'suspended');
    await kill(protect);
    await until('the guard resumes the guest', () => pair.a.state('g1') === 'running');
    expect(pair.a.sim.wrong('g1')).toBeNull();
  });
});
