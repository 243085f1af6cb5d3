/** What a session and its disk guard left of disks, when both died. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { it } from './fixture.ts';
import { cleanUp, noticing, prepare } from './pair.ts';
import { signal, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

// Proves: status says that something is left, and stop goes at it whatever else it does; what it
// cannot take away it says. The volume's name is one that no device can have.
it.concurrent('is said by status and taken up by stop', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  const protect = await pair.protected({ args: noticing });
  const { uuid = '', session = '' } = pair.a.session('g1') ?? {};
  const name = 'x'.repeat(130);
  const volume = { name, under: 'tsremus-x', lock: join(pair.a.runDir, 'x.lock'), vgLock: '' };
  const note = { schema: 1, uuid, domain: 'g1', session, volumes: [volume] };
  mkdirSync(join(pair.a.runDir, 'disks'));
  const path = join(pair.a.runDir, 'disks', `${uuid}.volumes.json`);
  writeFileSync(path, JSON.stringify(note));
  const warning = 'a session of g1 died and left devices under xxx';
  expect((await pair.a.tsremus('status')).out).not.toContain(warning);
  for (const pid of [protect.pid, ...pair.guards()]) signal(pid, 'SIGKILL');
  await protect.ended;
  await until('status tells', async () => {
    return (await pair.a.tsremus('status')).out.includes(`warning: ${warning}`);
  });
  const stopped = await pair.a.tsremus('stop', 'g1');
  expect(stopped.out + stopped.err).toMatch(
    /what a dead session left of x+ is still there: .*long/,
  );
});
