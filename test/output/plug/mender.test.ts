/** What somebody else takes apart and what is in the way of making it anew, on the model kernel. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { adoptBuffer } from '../../../src/output/plug/adopt.ts';
import { decodeLoss } from '../../../src/output/plug/driver.ts';
import { Mender, mayHaveEscaped } from '../../../src/output/plug/mender.ts';
import { type BufferTools, setUpBuffer } from '../../../src/output/plug/set-up.ts';
import type { OutputLoss } from '../../../src/output/port.ts';
import { time } from '../../fixtures/here.ts';
import { fakeBench } from './fake-kernel.ts';

async function holding(hasHolds: boolean, change = (tools: BufferTools) => tools) {
  const bench = await fakeBench({ interfaceCount: 1 });
  bench.kernel.hasHolds = hasHolds;
  const { domid, statePath, kernel } = bench;
  const news: string[] = [];
  const buffer = await setUpBuffer(
    {
      ...{ domain: 'web1', domid, uuid: '6a7b', session: 'abc', interfaceCount: 1, script: null },
      ...{ limitBytes: 1 << 22, statePath, onNews: (text: string) => news.push(text) },
    },
    change(bench.tools),
  );
  bench.barrier(0);
  const losses: OutputLoss[] = [];
  buffer.onLoss((loss) => losses.push(loss));
  const name = bench.interfaces[0] ?? '';
  const state = () => JSON.parse(readFileSync(statePath, 'utf8'));
  return { bench, buffer, kernel, news, losses, name, state, vif: () => kernel.devices.get(name) };
}

/** Only a hang takes as long. */
const until = (what: () => void) => expect.poll(what, { timeout: 120_000, interval: 5 });

describe('an output buffer that somebody takes apart', () => {
  // Proves: whatever is in the way is said and tried again; meanwhile the interface is lost, and
  // without a second hold down, which stands in the state for whoever finds it after a crash.
  it('is made anew as soon as that can be done', async () => {
    const { bench, buffer, kernel, news, losses, name, state, vif } = await holding(false);
    expect(news).toEqual([`${name} has no second hold: this kernel has no second hold`]);
    kernel.refuses = /filter add/;
    await bench.sabotage('filter', name);
    expect(vif()?.isUp).toBe(false);
    expect(losses).toEqual([
      {
        kind: 'lost',
        name,
        reason: 'its filter was removed, its redirect was turned elsewhere',
        escaped: true,
      },
    ]);
    const reason = expect.stringMatching(/removed.*and it is down; .*busy/);
    await until(() => buffer.interfaces[0]).toMatchObject({ state: 'lost', reason });
    await until(() => state().down).toEqual([name]);
    bench.send(name, 1);
    expect(bench.barrier(1)).toBe(1);
    kernel.refuses = null;
    await until(() => losses.at(-1)?.kind).toBe('mended');
    expect(vif()?.isUp).toBe(true);
    await until(() => state().down).toEqual([]);
    expect(buffer.interfaces[0]?.state).toBe('protected');
    expect(await bench.arrived(name)).toEqual([]);
    await buffer.open();
    await bench.close();
  });

  // Proves: whoever clears up after a session that died meanwhile sets the interface up again.
  it('is let go after a crash, too', async () => {
    const { bench, buffer, kernel, name, state, vif } = await holding(false);
    kernel.refuses = /filter add/;
    await bench.sabotage('ingress-qdisc', name);
    await until(() => state().down).toEqual([name]);
    buffer.close();
    kernel.refuses = null;
    const left = await adoptBuffer(bench.statePath, bench.domid, bench.tools);
    await left?.open();
    expect(vif()?.isUp).toBe(true);
    bench.send(name, 7);
    expect(await bench.arrived(name)).toEqual([7]);
    await bench.close();
  });

  // Proves: its end does not wait for what cannot be made anew, and leaves no second hold.
  it.each(['open', 'drop'] as const)('can be told to %s while it is lost', async (end) => {
    const { bench, buffer, kernel, losses, name } = await holding(true);
    kernel.refuses = /filter add/;
    await bench.sabotage('both-devices', name);
    await bench.sabotage('filter', name);
    expect(losses.map(({ kind }) => kind)).toEqual(['lost', 'lost']);
    await buffer[end]();
    expect(kernel.holds.size).toBe(0);
    bench.send(name, 7);
    expect(await bench.arrived(name)).toEqual(end === 'open' ? [7] : []);
    await bench.close();
  });

  // Proves: a device that goes again between being made and being looked up is made once more; the
  // plug is not given a pair without it.
  it('is made anew where a device goes twice', async () => {
    const given: (readonly number[])[] = [];
    let isGone = (_name: string) => false;
    const { bench, buffer, losses, name } = await holding(true, (tools) => ({
      ...tools,
      devices: {
        ...tools.devices,
        index: (device) => (isGone(device) ? null : tools.devices.index(device)),
      },
      openPlug: (onNews) => {
        const driver = tools.openPlug(onNews);
        const mend = driver.mend.bind(driver);
        driver.mend = (port, queues) => {
          given.push(queues);
          return mend(port, queues);
        };
        return driver;
      },
    }));
    let looks = 0;
    isGone = (device) => device.endsWith('b') && ++looks === 2;
    await bench.sabotage('both-devices', name);
    await until(() => losses.at(-1)?.kind).toBe('mended');
    expect(looks).toBeGreaterThan(2);
    expect(given.flat()).not.toContain(0);
    await buffer.open();
    await bench.close();
  });

  // Proves: two losses at the same time are mended one after the other, and both are.
  it('is made anew on every interface', async () => {
    const bench = await fakeBench({ interfaceCount: 2 });
    const { domid, statePath, interfaces } = bench;
    const losses: OutputLoss[] = [];
    const buffer = await setUpBuffer(
      {
        ...{ domain: 'web1', domid, uuid: '6a7b', session: 'abc', interfaceCount: 2, script: null },
        ...{ limitBytes: 1 << 22, statePath, onNews: () => {} },
      },
      bench.tools,
    );
    bench.barrier(0);
    buffer.onLoss((loss) => losses.push(loss));
    for (const name of interfaces) await bench.sabotage('ingress-qdisc', name);
    const mended = () => losses.filter(({ kind }) => kind === 'mended').map(({ name }) => name);
    await until(() => mended().sort()).toEqual([...interfaces].sort());
    await buffer.open();
    await bench.close();
  });
});

// Proves: it is said once that an interface is held again, whoever sees it first: the mender that
// made it anew, or the plug that looked meanwhile.
it.each([true, false])('says that all holds again (the plug saw it first: %s)', async (isFirst) => {
  const news: string[] = [];
  let isMade = (_left: readonly []) => {};
  const made = new Promise<readonly []>((resolve) => {
    isMade = resolve;
  });
  const mender = new Mender({
    ...{ ...time, domain: 'web1', nameOf: () => 'vif3.0', note: async () => {} },
    ...{ remake: () => made, onNews: (text: string) => news.push(text) },
  });
  const loss = { port: 0, isDown: false, isHeldTwice: true, openUs: 0 };
  mender.onLoss({ ...loss, found: ['unredirected'], left: ['unredirected'] });
  if (isFirst) mender.onLoss({ ...loss, found: [], left: [] });
  isMade([]);
  await until(() => news.length).toBe(2);
  await mender.stop();
  expect(news[1]).toBe('vif3.0 is held again');
  expect(news).toHaveLength(2);
});

// Proves: TSR_EV_LOST as native/plug/check.c writes it; and what of it let something out.
it('reads what the native plug tells', () => {
  const event = { kind: 'lost', timeMs: 0, text: '', a: 2, b: 1 + 64, c: 1, d: 1, e: 40_000, f: 0 };
  const loss = decodeLoss(event as Parameters<typeof decodeLoss>[0]);
  expect(loss).toEqual({
    ...{ port: 2, found: ['unredirected', 'no-hold'], left: ['unredirected'] },
    ...{ isDown: true, isHeldTwice: false, openUs: 40 },
  });
  expect(mayHaveEscaped(loss)).toBe(true);
  expect(mayHaveEscaped({ ...loss, found: ['unredirected'], isHeldTwice: true })).toBe(false);
  expect(mayHaveEscaped({ ...loss, found: ['no-device', 'device-down', 'no-hold'] })).toBe(false);
  for (const one of ['turned', 'unplugged', 'touched', 'unseen'] as const) {
    expect(mayHaveEscaped({ ...loss, found: [one], isHeldTwice: true })).toBe(true);
  }
});
