/**
 * A guest that was asked to suspend and obeys late: in the seed, after libxl gave up, after the
 * session was stopped or killed. It never stays suspended, and the next protect takes it.
 */
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { it } from './fixture.ts';
import { cleanUp, type Pair, prepare } from './pair.ts';
import { signal, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

const guest = { memoryMib: 16, rate: 1_000 };
/** Long after the session has ended; a limit that the machine's pace must not reach. */
const lateMs = 45_000;
const resumed = /domain \d+ was suspended, and is resumed/;

const ticksOf = (pair: Pair) => pair.a.sim.find('g1')?.guest?.ticks ?? 0;

async function expectResumed(pair: Pair): Promise<void> {
  await until('the guard has resumed it', () => resumed.test(pair.a.log('g1.watch')));
  await until('it runs', () => pair.a.state('g1') === 'running');
  const ticks = ticksOf(pair);
  await until('it goes on', () => ticksOf(pair) > ticks);
  expect(pair.a.sim.wrong('g1')).toBeNull();
}

describe('a suspend that is obeyed late', () => {
  // Proves: one that was asked for in the seed outlives the session; nothing says that all is well
  // while that is open; the guard resumes the guest, and the next protect waits for that.
  it.concurrent('in the seed, after the session was stopped', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    pair.a.sim.fault(`guest.suspend stall ${lateMs} epoch=0`);
    const protect = pair.protect();
    await until('the seed is on its way', () => pair.a.session('g1')?.state === 'seeding');
    // Only aims: the guest of 16 MiB is copied and was asked to suspend.
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    const stop = await pair.a.tsremus('stop', 'g1');
    expect(stop.code).toBe(0);
    expect(stop.out).toContain('its guard resumes it');
    await protect.ended;
    expect(pair.a.state('g1')).toBe('running');
    expect(pair.a.log('g1.watch')).not.toMatch(resumed);
    pair.a.sim.clearFaults();
    const next = await pair.protected();
    expect(pair.a.log('g1.watch')).toMatch(resumed);
    expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
    await next.ended;
    expect(pair.a.sim.wrong('g1')).toBeNull();
  });

  // Proves: so at epoch 5, when libxl itself gives up (its 60 s, made short); and what libxl logged
  // as its reason is what the result, the status and the logs of both hosts say.
  it.concurrent('after libxl gave up at epoch 5', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    pair.a.sim.fault(`guest.suspend stall ${lateMs} epoch=5`);
    const protect = pair.protect({ env: { SIMXL_SUSPEND_TIMEOUT_MS: '2000' } });
    expect((await protect.ended).code).toBe(16);
    expect(protect.events.at(-1)?.['text']).toContain('its guard resumes it');
    const why = 'the checkpoints ended: Domain 1:guest did not suspend, timed out';
    expect(protect.events.at(-1)?.['reason']).toBe(why);
    expect(pair.a.session('g1')?.reason).toBe(why);
    expect(pair.a.log('g1.primary')).toMatch(/^WARNING .* hypervisor: .*did not suspend, timed/m);
    await until("the backup's log says why", () => pair.b.log('g1.backup').includes(why));
    expect(pair.a.state('g1')).toBe('running');
    await expectResumed(pair);
  });

  // Proves: with -e nobody watches its end, and it is resumed all the same; then nobody is left.
  it.concurrent('with -e', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    pair.a.sim.fault(`guest.suspend stall ${lateMs} epoch=5`);
    const env = { SIMXL_SUSPEND_TIMEOUT_MS: '2000' };
    const protect = pair.protect({ args: ['-e'], env });
    expect((await protect.ended).code).toBe(16);
    await expectResumed(pair);
    await until('the guard has gone', () => pair.guards().length === 0);
  });

  // Proves: one that somebody paused in between obeys when it is unpaused, protect being dead.
  it.concurrent('by a guest that was paused, after protect was killed', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected();
    pair.a.sim.run('pause', 'g1');
    // By then a checkpoint was asked for, and cannot come: that is no fault of the backup's.
    await until('it is said who keeps it from that', () => {
      return /^paused: somebody has paused g1/.test(pair.a.session('g1')?.reason ?? '');
    });
    const status = await pair.a.tsremus('status');
    expect(status.out).toContain('somebody has paused g1, and not tsremus');
    expect(status.out).toContain('Try: xl list g1');
    expect(status.out).not.toContain('has not acknowledged');
    signal(protect.pid, 'SIGKILL');
    await protect.ended;
    await until('the guard stands in', () => /whose protect died/.test(pair.a.log('g1.watch')));
    expect(pair.a.state('g1')).toBe('paused');
    pair.a.sim.run('unpause', 'g1');
    await expectResumed(pair);
  });
});

// Proves: where protect and its guard were killed together, `stop` leaves no guest suspended for
// good, even if it may not open its buffer: the one it starts does what the dead one would have.
it.concurrent('a protect that was killed with its guard', async ({ pair }) => {
  pair.a.sim.create('g1', guest);
  pair.a.sim.fault('save.pages stall 600000 epoch=3');
  const protect = pair.protect();
  await until('the guest is suspended', () => pair.a.state('g1') === 'suspended');
  await pair.wire.set({ there: 'cut', back: 'cut', refuse: true });
  for (const pid of [protect.pid, ...pair.guards()]) signal(pid, 'SIGKILL');
  await protect.ended;
  expect(pair.a.state('g1')).toBe('suspended');
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(18);
  await until('the guest runs', () => pair.a.state('g1') === 'running');
  expect(pair.guards()).toHaveLength(1);
  expect(pair.a.session('g1')?.state).not.toBe('ended');
});

// Proves: a protect that is stopped for ever in a checkpoint leaves its guest suspended no longer
// than it takes to see it and to get the promise: the guard ends it, and the guest runs on.
it.concurrent('a protect that is stopped in a checkpoint', async ({ pair }) => {
  pair.a.sim.create('g1', guest);
  pair.a.sim.fault('save.pages stall 600000 epoch=3');
  const protect = pair.protect();
  await until('the guest is suspended', () => pair.a.state('g1') === 'suspended');
  signal(protect.pid, 'SIGSTOP');
  await until('the guest runs', () => pair.a.state('g1') === 'running');
  await protect.ended;
  const ticks = ticksOf(pair);
  await until('it goes on', () => ticksOf(pair) > ticks);
  expect(pair.b.record('')).toEqual(['promised', 'standby']);
  await until('status knows', () => pair.a.session('g1')?.outcome === 'unprotected');
  const status = await pair.a.tsremus('status');
  expect(status.code).toBe(2);
  expect(status.out).toMatch(/g1 +primary +unprotected/);
  expect(status.out).toContain('did not move while it had the guest suspended');
  expect(pair.a.sim.wrong('g1')).toBeNull();
  await until('no copy is left', () => pair.b.sim.list().length === 0);
});
