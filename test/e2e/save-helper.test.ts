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
