import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openTeller } from '../../src/app/window.ts';
import { Running, signal, stateOf, until } from '../e2e/process.ts';
import { bundleFixture } from '../fixtures/bundle.ts';

let flooder: string;

beforeAll(async () => {
  flooder = await bundleFixture('flooder');
});
afterAll(() => rmSync(dirname(flooder), { recursive: true, force: true }));

const flood = (way: string) => new Running(process.execPath, [flooder, way], process.env);

const json = (line: string | undefined) => JSON.parse(line ?? '') as Record<string, number>;

// Proves: what a window cannot take is dropped past a bound and counted, the last word never.
it('is told what it can take, and how much it missed', async () => {
  const { code, out, err } = await flood('reading').ended;
  expect({ code, err }).toEqual({ code: 0, err: '' });
  const seen = json(out.split('\n')[1]);
  expect(seen).toMatchObject({ ended: true, code: 17 });
  expect(seen['unread']).toBeGreaterThan(0);
  expect((seen['heard'] ?? 0) + (seen['unread'] ?? 0)).toBe(20_000);
});

// Proves: a session says all that it has to say and ends while its window stands still; the window
// learns of the end by the exit code, if by nothing else.
it('that reads nothing keeps its session from nothing', async () => {
  const window = flood('stopped');
  await until('the session said something', () => window.out.includes('\n'));
  const { pid } = json(window.out.split('\n')[0]);
  await until('the session has ended', () => stateOf(pid ?? 0) === 'Z');
  expect(stateOf(window.pid)).toBe('T');
  signal(window.pid, 'SIGCONT');
  const { code, out } = await window.ended;
  expect(code).toBe(0);
  expect(json(out.split('\n')[1])).toMatchObject({ code: 17 });
});

it('has to be there: a session that was typed is refused', () => {
  expect(openTeller).toThrow('a session is started by tsremus protect, which shows it');
});
