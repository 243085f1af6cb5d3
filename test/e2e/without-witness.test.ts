/** Nobody can be asked, and it was agreed that the primary goes on: the guest keeps running. */
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { it } from './fixture.ts';
import { cleanUp, noticing, prepare } from './pair.ts';
import { signal, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

const guest = { memoryMib: 32, rate: 2_000 };
const args = [...noticing, '--hold', '100', '--without-witness=primary'];

describe('agreed primary', () => {
  // Proves: the hosts part, and the guest goes on by itself; the copy does not, however long it
  // waits, and wants more than a habit to be run; protected anew, it goes.
  it.concurrent('the guest goes on alone, and the copy waits', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected({ args });
    const sentence = expect.stringMatching(/^without a witness \(primary\): if .* by itself, unpr/);
    const said = { message_type: 'without-witness', text: sentence };
    expect(protect.events).toContainEqual(expect.objectContaining(said));
    for (const host of [pair.a, pair.b]) {
      await until('it reports', () => host.session('g1')?.without_witness === 'primary');
      const status = await host.tsremus('status', 'g1');
      expect(status.out).toContain('without a witness (primary): if ');
    }

    await pair.wire.set({ there: 'cut', back: 'cut', refuse: true });
    const { code } = await protect.ended;
    expect(code).toBe(16);
    expect(protect.events.at(-1)).toMatchObject({
      outcome: 'unprotected',
      reason: expect.stringMatching(/; it goes on without it, as was agreed$/),
    });
    expect(pair.a.state('g1')).toBe('running');
    expect(pair.a.sim.wrong('g1')).toBeNull();

    await until('the copy is held', () => pair.b.session('g1')?.state === 'held');
    expect(pair.b.record('')).toEqual(['standby']);
    const yes = await pair.b.tsremus('failover', '--yes', 'g1');
    expect(yes.code).toBe(64);
    expect(yes.err).toContain('Try: tsremus failover --force-unsafe g1');

    await pair.wire.heal();
    const again = pair.protect({ args });
    const promised = ['promised', 'standby', 'standby'];
    await until('the old copy is promised', () => `${pair.b.record('')}` === `${promised}`);
    await pair.moreEpochs(pair.a, 'g1', 3);
    expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
    expect((await again.ended).code).toBe(0);
    expect(pair.b.sim.list()).toEqual([]);
  });

  // Proves: with his word the person decides, where the primary is dead.
  it.concurrent('the primary dies, and a person runs the copy', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected({ args });
    const relays = pair.wire.relays();
    pair.a.sim.crash();
    signal(protect.pid, 'SIGKILL');
    for (const { pid } of relays) signal(pid, 'SIGKILL');
    await until('the copy is held', () => pair.b.session('g1')?.state === 'held');
    const status = await pair.b.tsremus('status');
    expect(status.out).toContain('Try: tsremus failover g1  # here, if');
    // With -n the guest there may run until its lease is over.
    let ran = await pair.b.tsremus('failover', '--force-unsafe', 'g1');
    while (ran.code === 14) ran = await pair.b.tsremus('failover', '--force-unsafe', 'g1');
    expect(ran.err).toContain('it was agreed that g1 goes on on');
    expect(ran.code).toBe(0);
    expect(pair.b.state('g1')).toBe('running');
    expect(pair.b.sim.wrong('g1')).toBeNull();
    expect(pair.b.record('g1')).toEqual(['activating', 'active', 'standby']);
  });
});
