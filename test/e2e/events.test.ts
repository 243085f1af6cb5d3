/** What sessions, guards and commands note for `tsremus events`, on both hosts. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { it } from './fixture.ts';
import { cleanUp, type Host, noticing, prepare } from './pair.ts';
import { signal, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

/** What is told of g1 on a host: kinds, with what is said of each. */
async function told(host: Host): Promise<readonly { event: string; text: string }[]> {
  const { out } = await host.tsremus('events', '--json', 'g1');
  return out
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

const kinds = async (host: Host) => (await told(host)).map(({ event }) => event);

// Proves: the life of a session is told on either host, and the last word is written before its
// process has ended.
it.concurrent('from the first copy to a stop', async ({ pair, expect }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  const protect = await pair.protected();
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
  await protect.ended;
  expect(await kinds(pair.a)).toEqual(['seeding', 'protected', 'stopped']);
  await until('the backup has ended', () => pair.b.session('g1') === null);
  await until('it has said so', async () => (await kinds(pair.b)).length === 3);
  expect(await kinds(pair.b)).toEqual(['seeding', 'standby', 'promised']);
});

// Proves: a death is told by whoever is left, and so is what a person decided then.
it.concurrent('of a session that was killed', async ({ pair, expect }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  const protect = await pair.protected();
  signal(protect.pid, 'SIGKILL');
  await protect.ended;
  const died = await until('its death is told', async () =>
    (await told(pair.a)).find(({ event }) => event === 'died'),
  );
  expect(died.text).toContain(`its process ${protect.pid} died`);
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
  const last = (await told(pair.a)).at(-1);
  expect(last).toMatchObject({ event: 'stopped', text: expect.stringContaining('ended in order') });
});

// Proves: a takeover is told on both hosts.
it.concurrent('of a takeover', async ({ pair, expect }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  const protect = await pair.protected({ args: noticing }, 3);
  await pair.wire.cut();
  await until('the copy runs', () => pair.b.session('g1')?.state === 'active');
  await pair.wire.heal();
  await protect.ended;
  const here = await kinds(pair.a);
  expect(here.slice(0, 2)).toEqual(['seeding', 'protected']);
  expect(here.at(-1)).toBe('taken-over');
  await until('it is told there', async () => (await kinds(pair.b)).at(-1) === 'activated');
});

// Proves: where nothing can be written down a guest is protected all the same, and status says so.
it.concurrent('that cannot be written down', async ({ pair, expect }) => {
  mkdirSync(join(pair.a.stateDir, 'events.jsonl'), { recursive: true });
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  await pair.protected();
  const ran = await until('status says so', async () => {
    const status = await pair.a.tsremus('status', 'g1');
    return status.out.includes('cannot write down what happens (tsremus-events(8))') && status;
  });
  expect(ran.code).toBe(0);
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
});
