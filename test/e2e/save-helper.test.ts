/** What makes the checkpoints: what status says of it, and that a takeover finds the same guest. */
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { it } from './fixture.ts';
import { cleanUp, noticing, prepare } from './pair.ts';
import { until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

const [after, during] = ['after the guest was resumed', 'while the guest is suspended'];
const cases = [
  ['our own for a PVH guest', 'pvh', [], 'own', null, after],
  [
    'the stock one where that was asked for',
    'pvh',
    ['--save-helper', 'stock'],
    'stock',
    null,
    during,
  ],
  ['the stock one for a PV guest', 'pv', [], 'stock', 'libxc writes other records', during],
] as const;

describe('the save helper', () => {
  // Proves: which one it is is said by both forms of status, with the reason where it is not the
  // one that was wanted; and under load the copy is the guest as it was, whichever it is.
  it.concurrent.for(cases)('is $0', async ([, type, args, helper, reason, words], { pair }) => {
    pair.a.sim.create('g1', { type, memoryMib: 32, rate: 5_000 });
    await pair.protected({ args: [...noticing, ...args] });
    await pair.moreEpochs(pair.a, 'g1', 5);
    expect(pair.a.session('g1')).toMatchObject({
      save_helper: helper,
      save_helper_reason: reason,
    });
    const status = await pair.a.tsremus('status', 'g1');
    expect(status.out).toContain(`checkpoints are written ${words}`);
    if (reason !== null) expect(status.out).toContain(`(stock: ${reason})`);

    await pair.wire.set({ there: 'cut', back: 'cut', refuse: true });
    await until('the copy runs', () => pair.b.state('g1') === 'running');
    expect(pair.b.sim.wrong('g1')).toBeNull();
  });
});

describe('a checkpoint of our own', () => {
  const guest = { memoryMib: 32, rate: 5_000 };

  // Proves: wherever the helper ends, before the resume or behind it, the guest runs on whole here,
  // and of the epoch that it did not finish nothing counts: no copy is left to be run.
  it.concurrent.for([
    ['before the guest is asked', 'save.suspend fail'],
    ['before its pages are copied', 'save.pages fail'],
    ['before its state is', 'save.state fail'],
    ['before the resume', 'save.postcopy fail'],
    ['in the resume', 'save.resume fail'],
    ['before what was copied is written', 'save.held fail'],
    ['in the midst of that', 'save.stream cut 9000'],
    ['before the next one', 'save.checkpoint fail'],
  ])('that ends %s', async ([, fault], { pair }) => {
    pair.a.sim.create('g1', guest);
    pair.a.sim.fault(`${fault} epoch=5`);
    const protect = pair.protect();
    expect((await protect.ended).code).toBe(16);
    expect(pair.a.session('g1')?.save_helper).toBe('own');
    await until('the guest runs', () => pair.a.state('g1') === 'running');
    expect(pair.a.sim.wrong('g1')).toBeNull();
    await until('no copy is left', () => pair.b.sim.list().length === 0);
    expect(pair.b.record('')).toEqual(['promised', 'standby']);
  });

  // Proves: one that cannot go on in the midst of the pause is libxc's again, and no page of its
  // epoch is lost; from then on the stock way is in force, and status says so.
  it.concurrent('that has to be given back', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    pair.a.sim.fault('save.map fail epoch=3');
    await pair.protected({ args: noticing });
    await pair.moreEpochs(pair.a, 'g1', 5);
    expect(pair.a.session('g1')).toMatchObject({
      save_helper: 'stock',
      save_helper_reason: 'Cannot allocate memory',
    });
    await pair.wire.set({ there: 'cut', back: 'cut', refuse: true });
    await until('the copy runs', () => pair.b.state('g1') === 'running');
    expect(pair.b.sim.wrong('g1')).toBeNull();
  });

  // Proves: what has no room in the helper is written in the pause, and no page of it is lost.
  it.concurrent('that is bigger than the room for it', async ({ pair }) => {
    pair.a.sim.create('g1', { memoryMib: 128, rate: 0, more: ['--burst', '12000'] });
    await pair.protected({ args: [...noticing, '--max-memory', '64M'] });
    await pair.moreEpochs(pair.a, 'g1', 3);
    expect(pair.a.session('g1')?.save_helper).toBe('own');
    await pair.wire.set({ there: 'cut', back: 'cut', refuse: true });
    await until('the copy runs', () => pair.b.state('g1') === 'running');
    expect(pair.b.sim.wrong('g1')).toBeNull();
  });
});
