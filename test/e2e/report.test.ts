/** What real sessions leave for `tsremus report`, on both hosts. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import type { Figures } from '../../src/registry/figures-record.ts';
import { it } from './fixture.ts';
import { cleanUp, type Host, prepare } from './pair.ts';
import { signal, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

interface Document {
  readonly sessions: readonly { readonly state: string | null; readonly status: object | null }[];
  readonly figures: readonly Figures[];
  readonly events: readonly { readonly event: string }[];
}

async function reported(host: Host): Promise<Document> {
  const { out } = await host.tsremus('report', '--json', 'g1');
  return JSON.parse(out) as Document;
}

const epochsIn = ({ figures }: Document) => figures.reduce((sum, { epochs }) => sum + epochs, 0);

// Proves: an end that was ordered takes the status away, and the last figures were written by then:
// what the session was and measured is known on both hosts.
it.concurrent('is of a session that was stopped', async ({ pair, expect }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  const protect = await pair.protected({}, 5);
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
  await protect.ended;
  await until('the backup has ended', () => pair.b.session('g1') === null);
  const here = await reported(pair.a);
  expect(epochsIn(here)).toBeGreaterThanOrEqual(5);
  expect(Math.max(...here.figures.map(({ pause_ms_max: ms }) => ms ?? 0))).toBeGreaterThan(0);
  expect(here.sessions).toMatchObject([{ state: null, status: { outcome: 'stopped' } }]);
  const there = await until('it is written there', async () => {
    const found = await reported(pair.b);
    return found.sessions[0]?.status != null && epochsIn(found) > 0 && found;
  });
  expect(there.figures.every(({ role }) => role === 'backup')).toBe(true);
  expect(there.events.map(({ event }) => event)).toContain('standby');
});

// Proves: one that died is told with what status says of it.
it.concurrent('is of a session that was killed', async ({ pair, expect }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  const protect = await pair.protected();
  signal(protect.pid, 'SIGKILL');
  await protect.ended;
  const { sessions } = await reported(pair.a);
  expect(sessions).toMatchObject([{ level: 'critical', status: { domain: 'g1' } }]);
});

// Proves: a disk that takes only a part of it has none of it afterwards.
it('leaves no half file on a full disk', async ({ pair, expect, skip }) => {
  if (process.getuid?.() !== 0) skip('a small file system can be mounted by root alone');
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  await pair.protected();
  const small = join(pair.dir, 'small');
  mkdirSync(small);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4k', 'tmpfs', small]);
  try {
    const ran = await pair.a.tsremus('report', '-o', join(small, 'g1.html'), 'g1');
    expect(ran).toMatchObject({ code: 15, err: expect.stringContaining('no space left') });
    expect(readdirSync(small)).toEqual([]);
  } finally {
    execFileSync('umount', ['-l', small]);
  }
});
