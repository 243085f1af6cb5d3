/** `protect -F -b`: checkpoints of a running guest to nowhere, to measure, without a host. */
import { afterAll, beforeAll, expect } from 'vitest';
import { main } from './built.ts';
import { it } from './fixture.ts';
import { cleanUp, prepare } from './pair.ts';
import { Running, signal, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

// Proves: it needs no host, its figures are in status and in the end, nothing calls it protected,
// and the guest runs on.
it.concurrent('measures, and protects nothing', async ({ pair }) => {
  const { a } = pair;
  a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  const argv = ['protect', '-F', '-b', '-n', '-e', '--json', '-i', '50', 'g1'];
  const protect = new Running(main, argv, a.env);
  const early = protect.ended.then(({ err }) => Promise.reject(new Error(err)));
  await Promise.race([early, pair.acknowledged(a, 'g1', 3)]);
  early.catch(() => {});
  // The window is told of an epoch before the status is written down with its pause.
  await until('status has figures', () => a.session('g1')?.histograms?.pause_ms.p50 != null);
  expect(a.session('g1')?.state).toBe('measuring');
  const status = await a.tsremus('status', 'g1');
  expect(status.code).toBe(1);
  expect(status.out).toMatch(/g1 +primary +measuring/);
  expect(status.out).toContain('its checkpoints go to nowhere (-b): nothing protects it');
  expect(status.out).toMatch(/pause +[\d.]+ ms/);
  signal(protect.pid, 'SIGINT');
  const { code, out } = await protect.ended;
  expect(code).toBe(130);
  const last = JSON.parse(out.trim().split('\n').at(-1) ?? '');
  expect(last.text).toMatch(/^g1 runs on here; \d+ checkpoints went to nowhere$/);
  expect(last.figures.histograms.pause_ms.count).toBeGreaterThanOrEqual(3);
  expect(a.state('g1')).toBe('running');
  expect(a.session('g1')).toBeNull();
});

// Proves: what a killed one leaves is cleared without anybody's word: there is no copy.
it.concurrent('is cleared by stop after a crash', async ({ pair }) => {
  const { a } = pair;
  a.sim.create('g1', { memoryMib: 4 });
  const protect = new Running(main, ['protect', '-F', '-b', '-n', '-e', 'g1'], a.env);
  await pair.acknowledged(a, 'g1', 1);
  signal(protect.pid, 'SIGKILL');
  await protect.ended;
  expect((await a.tsremus('stop', 'g1')).code).toBe(0);
  expect(a.state('g1')).toBe('running');
});

// Proves: a real session cannot be swallowed by mistake.
it.concurrent('is no backup of a session that does not know', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 4 });
  const line = `exec ${process.execPath} ${main} receive --blackhole`;
  const ran = await pair.a.tsremus('protect', '-F', '-n', '-d', '-s', '', 'g1', line);
  expect(ran.code).toBe(10);
  expect(ran.err).toContain('would be kept nowhere');
});
