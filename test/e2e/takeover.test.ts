/**
 * The primary falls silent and the backup goes on: with the memory of the last acknowledged epoch,
 * and with one active guest at any time.
 */
import { afterAll, beforeAll, describe, expect } from 'vitest';
import type { GuestOptions } from '../simxl/sim-host.ts';
import { it } from './fixture.ts';
import { cleanUp, noticing, type Pair, prepare } from './pair.ts';
import { type Running, signal, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

const guest: GuestOptions = { memoryMib: 32, rate: 2_000 };

/** Cuts the network and waits until the copy runs. */
async function takeOver(pair: Pair): Promise<void> {
  await pair.wire.cut();
  await until('the copy runs', () => pair.b.session('g1')?.state === 'active');
}

function expectSameGuest(pair: Pair, boot: string | undefined): void {
  expect(pair.b.sim.wrong('g1')).toBeNull();
  expect(pair.b.sim.find('g1')).toMatchObject({ state: 'running', guest: { boot } });
}

async function expectTakenOver(pair: Pair, protect: Running): Promise<void> {
  const { code } = await protect.ended;
  expect(protect.events.at(-1)).toMatchObject({ outcome: 'taken-over', exit: 17 });
  expect(code).toBe(17);
  expect(pair.a.sim.list()).toEqual([]);
}

describe('when the network is cut', () => {
  // Proves: silence alone makes the backup go on, with whole memory; until then the old guest is
  // paused, so that no two of it speak; when the network heals the old one is destroyed, exit 17.
  it.concurrent.for(['pv', 'pvh', 'hvm'] as const)(
    'a %s guest goes on at the backup',
    async (type, { pair }) => {
      pair.a.sim.create('g1', { ...guest, type });
      const boot = pair.a.sim.find('g1')?.guest?.boot;
      const protect = await pair.protected({ args: noticing }, 5);
      await takeOver(pair);
      expectSameGuest(pair, boot);
      expect(pair.a.state('g1')).toBe('paused');
      await pair.wire.heal();
      await expectTakenOver(pair, protect);

      const beacons = pair.beacons();
      const last = Math.max(...beacons.filter(({ host }) => host === 'a').map(({ ns }) => ns));
      const first = Math.min(...beacons.filter(({ host }) => host === 'b').map(({ ns }) => ns));
      expect(last).toBeLessThan(first);
      expect((await pair.a.tsremus('status')).code).toBe(2);
    },
  );

  // Proves: the same when the whole host stands still, as in a debugger or a stuck hypervisor; when
  // it goes on, its guest is found to be the old one and destroyed.
  it.concurrent('and when the host stands still', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected({ args: noticing });
    const stopped = [protect.pid, ...pair.guards(), ...pair.wire.relays().map(({ pid }) => pid)];
    pair.a.sim.run('freeze-host');
    for (const pid of stopped) signal(pid, 'SIGSTOP');
    await until('the copy runs', () => pair.b.session('g1')?.state === 'active');
    for (const pid of stopped) signal(pid, 'SIGCONT');
    pair.a.sim.run('thaw-host');
    await expectTakenOver(pair, protect);
    expect(pair.b.state('g1')).toBe('running');
    expect(pair.b.sim.wrong('g1')).toBeNull();
  });

  // Proves: a cut that is shorter than the timeout is a delay and nothing else. It ends when the
  // primary has paused its guest, at 0.6 of a timeout of which then 24 s are left.
  it.concurrent('for a moment: it is only a delay', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected();
    await pair.wire.cut();
    await until('the guest is paused', () => pair.a.session('g1')?.guest_paused);
    await pair.wire.heal();
    await pair.moreEpochs(pair.a, 'g1', 3);
    // Between two checkpoints, that is: within one it is suspended.
    await until('the guest runs', () => pair.a.state('g1') === 'running');
    expect(pair.b.record('')).toEqual(['standby']);
    expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
    expect((await protect.ended).code).toBe(0);
    expect(pair.a.sim.wrong('g1')).toBeNull();
  });
});

describe('after a takeover', () => {
  // Proves: protected again, now from here, the guest has one entry in `status` on either host: how
  // the sessions before ended, with a number that its domain may have no more, is news no longer.
  // It stays news until then: a session that cannot begin leaves it.
  it.concurrent('protection in the other direction is all that is shown', async ({ pair }) => {
    const { a, b } = pair;
    a.sim.create('g1', guest);
    const protect = await pair.protected({ args: noticing });
    await takeOver(pair);
    await pair.wire.heal();
    await expectTakenOver(pair, protect);

    expect((await pair.protect({ from: b, command: 'exit 1' }).ended).code).toBe(13);
    expect(b.sessions()).toMatchObject([{ role: 'backup', state: 'active' }]);

    const back = pair.protect({ from: b });
    await until('g1 is protected', () => back.said('protected'));
    await until('b shows one session', () => b.sessions().length === 1);
    await until('a shows one session', () => a.sessions().length === 1);
    expect(b.sessions()).toMatchObject([{ role: 'primary', domid: b.sim.find('g1')?.domid }]);
    await until('a holds a copy', () => a.session('g1')?.state === 'standby');
    expect(a.sessions()).toMatchObject([{ role: 'backup', outcome: null }]);
    expect((await b.tsremus('status')).code).toBe(0);
    expect((await a.tsremus('status')).code).toBe(0);

    expect((await b.tsremus('stop', 'g1')).code).toBe(0);
    expect((await back.ended).code).toBe(0);
    expect((await b.tsremus('status')).out).toBe('no sessions\n');
    expect(b.state('g1')).toBe('running');
  });
});
