/** Calls of libxenlight that fail or stall, damaged streams: each ends well, and says why. */
import { afterAll, beforeAll, expect } from 'vitest';
import { it } from './fixture.ts';
import { cleanUp, noticing, type Pair, prepare, silenceMs } from './pair.ts';
import { type Running, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

const guest = { memoryMib: 32, rate: 2_000 };

/** The guest runs on, whole, and no copy is left. */
async function expectRunsOn(pair: Pair, protect: Running, exit: number): Promise<string> {
  const { code } = await protect.ended;
  expect(protect.events.at(-1)).toMatchObject({ exit });
  expect(code).toBe(exit);
  expect(pair.a.state('g1')).toBe('running');
  expect(pair.a.sim.wrong('g1')).toBeNull();
  await until('no copy is left', () => pair.b.sim.list().length === 0);
  return String(protect.events.at(-1)?.['reason']);
}

// Proves: libxl refuses at once; the guest was never touched.
it.concurrent('checkpoints that libxl refuses to begin', async ({ pair }) => {
  pair.a.sim.create('g1', guest);
  pair.a.sim.fault('libxl_domain_remus_start fail -3');
  const protect = pair.protect();
  const { code } = await protect.ended;
  expect(code).toBe(10);
  expect(protect.err).toMatch(/libxl|checkpoint/);
  expect(pair.a.state('g1')).toBe('running');
  await until('no copy is left', () => pair.b.sim.list().length === 0);
  await until('nothing runs any more', () => pair.processes().length === 0);
});

// Proves: a guest that takes longer than the timeout to suspend delays an epoch and nothing else.
it.concurrent('a suspend that takes long', async ({ pair }) => {
  pair.a.sim.create('g1', guest);
  pair.a.sim.fault(`save.suspend stall ${silenceMs + 2000} epoch=2`);
  const protect = await pair.protected({ args: noticing }, 4);
  expect(pair.b.session('g1')?.state).toBe('standby');
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
  await expectRunsOn(pair, protect, 0);
});

// Proves: a helper of libxl that dies between two checkpoints (killed, or ended with the group of a
// terminal) leaves the guest running and a session that ends in order: libxl keeps a timer then,
// and asserts that there is none where its context is freed.
it.concurrent('a helper that dies between two checkpoints', async ({ pair }) => {
  pair.a.sim.create('g1', guest);
  pair.a.sim.fault('save.wait epoch=3 fail');
  const protect = pair.protect();
  expect(await expectRunsOn(pair, protect, 16)).toMatch(/checkpoints ended/);
});

// Proves: an acknowledged epoch that cannot be applied makes the copy worthless: the primary is
// told, never an older epoch activated.
it.concurrent('an epoch that libxl cannot apply', async ({ pair }) => {
  pair.a.sim.create('g1', guest);
  pair.b.sim.fault('restore.apply epoch=3 fail');
  const protect = pair.protect();
  const reason = await expectRunsOn(pair, protect, 16);
  expect(reason).toMatch(/^the copy was lost: .*epoch 3/);
  await pair.acknowledged(pair.a, 'g1', 2);
  expect(pair.b.record('')).toEqual(['promised', 'standby']);
});

// Proves: when protect of a seed that failed returns, its copy is gone, though it took the backup
// longer than a transport is given to end by itself.
it.concurrent('a seed in which the guest does not suspend', async ({ pair }) => {
  pair.a.sim.create('g1', guest);
  pair.a.sim.fault('guest.suspend stall 45000 epoch=0');
  pair.b.sim.fault('libxl_domain_destroy stall 5000');
  const protect = pair.protect({ env: { SIMXL_SUSPEND_TIMEOUT_MS: '1000' } });
  await protect.ended;
  expect(pair.b.sim.list()).toEqual([]);
  const reason = 'the checkpoints ended: Domain 1:guest did not suspend, timed out';
  expect(protect.events.at(-1)).toMatchObject({ outcome: 'never-protected', reason });
  expect(pair.b.log('g1.backup')).toContain(reason);
});

// Proves: so in the seed.
it.concurrent('a seed that libxl cannot apply', async ({ pair }) => {
  pair.a.sim.create('g1', guest);
  pair.b.sim.fault('restore.apply epoch=0 fail');
  const protect = pair.protect();
  const { code = 0 } = await protect.ended;
  expect([10, 16]).toContain(code);
  expect(await expectRunsOn(pair, protect, code ?? 0)).toMatch(/Restore failed/);
});

// Proves: a copy that cannot be built is destroyed before the promise; the guest goes on here.
it.concurrent('a copy that cannot be built at the takeover', async ({ pair }) => {
  pair.a.sim.create('g1', guest);
  pair.b.sim.fault('restore.build fail');
  const protect = await pair.protected({ args: noticing }, 2);
  await pair.wire.cut();
  await until('the backup has given up', () => pair.b.record('').includes('promised'));
  expect(pair.b.sim.list()).toEqual([]);
  expect(pair.b.record('')).toEqual(['activating', 'promised', 'standby']);
  expect(pair.a.state('g1')).toBe('paused');
  await pair.wire.heal();
  await expectRunsOn(pair, protect, 16);
});

// Proves: what the record says is done, however often it takes.
it.concurrent('a copy that does not start twice, and then does', async ({ pair }) => {
  pair.a.sim.create('g1', guest);
  pair.b.sim.fault('libxl_domain_unpause fail -3 times=2');
  const protect = await pair.protected({ args: noticing }, 2);
  await pair.wire.cut();
  await until('the copy runs', () => pair.b.session('g1')?.state === 'active');
  expect(pair.b.sim.wrong('g1')).toBeNull();
  await pair.wire.heal();
  expect((await protect.ended).code).toBe(17);
  expect(pair.a.sim.list()).toEqual([]);
});

// Proves: a stream that libxl damaged is not passed on: the error names record and offset.
it.concurrent('a stream that comes damaged from libxl', async ({ pair }) => {
  pair.a.sim.create('g1', guest);
  pair.a.sim.fault('save.stream corrupt 1 epoch=3');
  const protect = pair.protect();
  const reason = await expectRunsOn(pair, protect, 16);
  expect(reason).toMatch(/^the checkpoints ended: /);
  expect(pair.a.log()).toMatch(/the stream is broken: .*record \d+, epoch 3\) at offset \d+/);
});

// Proves: a byte that is damaged on the way is found before the epoch counts; both sides say so.
it.concurrent('a stream that is damaged on the way', async ({ pair }) => {
  pair.a.sim.create('g1', guest);
  const protect = await pair.protected({}, 2);
  await pair.wire.set({ damage: true });
  await until('it is noticed', () => /checksum/.test(pair.b.log()));
  await pair.wire.set({ damage: false });
  const reason = await expectRunsOn(pair, protect, 16);
  expect(reason).toMatch(/^the link ended: /);
  expect(pair.a.log()).toMatch(/the backup says: protocol error at byte \d+ .* checksum/);
});

// Proves: libxl's own end of the stream, in the middle of an epoch, is no reason to activate.
it.concurrent('a stream that ends in an epoch', async ({ pair }) => {
  pair.a.sim.create('g1', guest);
  pair.a.sim.fault('save.stream cut 9000 epoch=3');
  const protect = pair.protect();
  await expectRunsOn(pair, protect, 16);
});

// Proves: the helper that dies under libxl is such an end.
it.concurrent('a resume that libxl cannot do', async ({ pair }) => {
  pair.a.sim.create('g1', guest);
  pair.a.sim.fault('save.resume fail epoch=3');
  const protect = pair.protect();
  await expectRunsOn(pair, protect, 16);
});

// Proves: the memory check would see a lost page: this build drops one in a hundred epochs.
it.concurrent('a build that loses a page is caught', async ({ pair }) => {
  // Each epoch has five pages of its own: it takes hundreds until the lost one is copied again.
  pair.a.sim.create('g1', { memoryMib: 16, more: ['--burst', '5'] });
  pair.a.sim.fault('save.page drop=4');
  await pair.protected({ args: [...noticing, '-i', '10'] }, 5);
  await pair.wire.cut();
  await until('the copy runs', () => pair.b.session('g1')?.state === 'active');
  expect(pair.b.sim.wrong('g1')).toMatch(/WRONG/);
  expect(pair.a.sim.wrong('g1')).toBeNull();
});
