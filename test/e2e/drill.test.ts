/**
 * What `tsremus drill` does to a session; whether it may is in test/core/drill.test.ts, the whole
 * of it, with a buffer, in the lab.
 */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { repository } from './built.ts';
import { it } from './fixture.ts';
import { cleanUp, type Pair, prepare } from './pair.ts';
import { type Ran, run, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

/** A transport that is the wire for us, and notes what else is asked of the other host. */
function transport(pair: Pair): string {
  const by = join(pair.dir, 'by');
  const lines = [
    '#!/bin/sh',
    `[ "$2 $3" = 'tsremus receive' ] || { echo "$@" >> '${join(pair.dir, 'asked')}'; exit; }`,
    pair.wire.command(pair.receive(pair.b)),
  ];
  writeFileSync(by, `${lines.join('\n')}\n`);
  chmodSync(by, 0o755);
  return by;
}

/** That understands TypeScript, from wherever. */
const loader = join(repository, 'node_modules/tsx/dist/loader.mjs');

const app = (name: string) => join(import.meta.dirname, '../../src/app', name);

/** A script on host A with `entry`, the session; libxl is one to a process. */
async function onA(pair: Pair, script: string): Promise<Ran> {
  const whole = `
    import { protectBack, runDrill } from ${JSON.stringify(app('drill.ts'))};
    import { thisHost, thisRegistry } from ${JSON.stringify(app('host.ts'))};
    const [entry] = thisRegistry(thisHost(process.env)).sessions().sessions;
    ${script}`;
  const words = ['--import', loader, '--input-type=module', '-e', whole];
  return run(process.execPath, words, pair.a.env);
}

// Proves: the session is stopped, the backup takes over, the session finds out and ends so; then
// the other host is told to protect the guest back, by the name that was given.
it.concurrent('a drill', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  const by = transport(pair);
  const protect = await pair.protected({
    args: ['-s', by, '--heartbeat-timeout', '3000'],
    command: 'hostb',
  });
  const drill = await onA(
    pair,
    `const told = [];
    const end = await runDrill(entry, 9_000, (text) => told.push(text), process.env);
    const isBegun = await protectBack(entry, 'hosta-r', process.env);
    console.log(JSON.stringify({ told, end, isBegun }));
    process.exit();`,
  );
  expect(drill.err).toBe('');
  expect(JSON.parse(drill.out)).toMatchObject({
    told: ['its session is stopped', 'its session goes on'],
    end: { kind: 'took-over' },
    isBegun: true,
  });
  expect((await protect.ended).code).toBe(17);
  await until('the copy runs', () => pair.b.session('g1')?.state === 'active');
  expect(pair.a.sim.list()).toEqual([]);
  expect(readFileSync(join(pair.dir, 'asked'), 'utf8')).toBe(
    'hostb nohup tsremus protect -- g1 hosta-r >/dev/null 2>&1 </dev/null &\n',
  );
});

// Proves: what ends with the drill's own process is not the session.
it.concurrent('a drill that is killed lets the session go on', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  await pair.protected({ args: ['--heartbeat-timeout', '60000'] });
  const say = "() => process.kill(process.pid, 'SIGKILL')";
  const drill = await onA(pair, `await runDrill(entry, 500, ${say}, process.env);`);
  expect(drill).toMatchObject({ err: '', out: '' });
  expect(drill.signal).toBe('SIGKILL');
  await pair.moreEpochs(pair.a, 'g1', 3);
  expect(pair.a.session('g1')?.state).toBe('protected');
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
});
