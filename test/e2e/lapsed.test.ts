/** An order to a session that is stopped: it returns, lapses, and is not carried out later. */
import { afterAll, beforeAll, expect } from 'vitest';
import { it } from './fixture.ts';
import { cleanUp, type Pair, prepare } from './pair.ts';
import { isRunning, signal, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

const guest = { memoryMib: 16, rate: 1_000 };
const late = /the order [\w-]+ came too late, and is not carried out/;

/** Orders that a session's log says it refused. */
function refused(pair: Pair, host: 'a' | 'b', count: number): Promise<unknown> {
  return until(`${count} orders are refused`, () => {
    return (pair[host].log('g1').match(new RegExp(late, 'g')) ?? []).length >= count;
  });
}

// Proves: stop and set end with 18 where protect is stopped, say which process that is, and leave
// nothing behind that happens when it continues. The copy has patience: the link stays.
it.concurrent('protect is stopped', async ({ pair }) => {
  pair.a.sim.create('g1', guest);
  const protect = await pair.protected();
  const { pid } = pair.a.session('g1') ?? {};
  if (pid === undefined) throw new Error('no session');
  signal(pid, 'SIGSTOP');
  const [stop, set] = await Promise.all([
    pair.a.tsremus('stop', 'g1'),
    pair.a.tsremus('set', 'g1', 'interval=400'),
  ]);
  for (const ran of [stop, set]) {
    expect(ran.code).toBe(18);
    expect(ran.err).toMatch(
      /the session does not answer: silent for 25000 ms; the order has lapsed/,
    );
    expect(ran.err).toMatch(new RegExp(`Try: ps -o .* -p ${pid}\\n`));
  }
  signal(pid, 'SIGCONT');
  await refused(pair, 'a', 2);
  await pair.moreEpochs(pair.a, 'g1', 3);
  expect(isRunning(pid)).toBe(true);
  expect(pair.a.session('g1')?.schedule?.interval_ms).toBe(50);
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
  expect((await protect.ended).code).toBe(0);
});

// Proves: the same of failover and a receive that is stopped.
it.concurrent('receive is stopped', async ({ pair }) => {
  pair.a.sim.create('g1', guest);
  await pair.protected();
  const receive = pair.receiver();
  // Nobody is alive to ask for the promise: else the stopped process is made to make way.
  await pair.wire.set({ refuse: true });
  signal(receive, 'SIGSTOP');
  const ran = await pair.b.tsremus('failover', '--yes', 'g1');
  expect(ran.code).toBe(18);
  expect(ran.err).toMatch(/does not answer: silent for 25000 ms; the order has lapsed/);
  signal(receive, 'SIGCONT');
  await refused(pair, 'b', 1);
  await pair.moreEpochs(pair.a, 'g1', 3);
  expect(pair.b.session('g1')?.state).toBe('standby');
});
