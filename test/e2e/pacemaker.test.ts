/**
 * ocf:tsremus:protect as Pacemaker runs it: held by ocf-tester of resource-agents, and in the
 * states that no such test knows.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { main, repository } from './built.ts';
import { it } from './fixture.ts';
import { cleanUp, noticing, type Pair, prepare } from './pair.ts';
import { type Ran, run, signal, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

const agent = join(repository, 'share/ocf/protect');
const tester = '/usr/sbin/ocf-tester';
const root = '/usr/lib/ocf';

const lacking = [tester, join(root, 'lib/heartbeat/ocf-shellfuncs')].find(
  (path) => !existsSync(path),
);
const why = `${lacking} is not there: apt-get install resource-agents`;

/** Of OCF's resource agent API. */
const rc = { success: 0, generic: 1, configured: 6, notRunning: 7, degraded: 190 } as const;

class Node {
  readonly #pair: Pair;
  readonly parameters: Record<string, string>;

  constructor(pair: Pair) {
    this.#pair = pair;
    const by = join(pair.dir, 'by');
    writeFileSync(by, `#!/bin/sh\n${pair.wire.command(pair.receive(pair.b))}\n`);
    chmodSync(by, 0o755);
    const options = ['-F', '-n', '-d', '-i', '50', ...noticing, '-s', by].join(' ');
    this.parameters = { domain: 'g1', peer: 'hostb', options, binary: main };
  }

  get env(): NodeJS.ProcessEnv {
    return { ...this.#pair.a.env, OCF_ROOT: root, HA_RSCTMP: this.#pair.dir };
  }

  /** What the agent does, as the cluster's local executor asks for it. */
  do(action: string): Promise<Ran> {
    const its = Object.entries(this.parameters).map(([name, value]) => {
      return [`OCF_RESKEY_${name}`, value];
    });
    const given = { OCF_RESOURCE_INSTANCE: 'web1-protected', __OCF_ACTION: action };
    return run(agent, [action], { ...this.env, ...given, ...Object.fromEntries(its) });
  }
}

it('is written as shellcheck has it', ({ skip }) => {
  skip(!existsSync('/usr/bin/shellcheck'), 'shellcheck is not installed');
  // SC1091, SC2154: what it sources is of another package.
  execFileSync('shellcheck', ['-s', 'sh', '-e', 'SC1091,SC2154', agent], { stdio: 'inherit' });
});

// Proves: it is an agent by the tester's word, with sessions behind it.
it.concurrent('passes ocf-tester', async ({ pair, skip }) => {
  skip(lacking !== undefined, why);
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  const node = new Node(pair);
  const words = Object.entries(node.parameters).flatMap(([name, value]) => {
    return ['-o', `${name}=${value}`];
  });
  const ran = await run(tester, ['-v', '-n', 'web1-protected', ...words, agent], node.env);
  expect(ran.out + ran.err).toContain('passed all tests');
  expect(ran.code).toBe(0);
  expect(pair.a.state('g1')).toBe('running');
});

// Proves: what holds the guest for good reason is degraded and not failed, which would have the
// cluster end it; a session that died is failed until a stop has settled it.
it.concurrent('tells how a session is', async ({ pair, skip }) => {
  skip(lacking !== undefined, why);
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  const node = new Node(pair);
  expect((await node.do('monitor')).code).toBe(rc.notRunning);
  expect((await node.do('start')).code).toBe(rc.success);
  expect((await node.do('monitor')).code).toBe(rc.success);
  // Where the copy is, nothing is protected.
  const there = await run(agent, ['monitor'], {
    ...node.env,
    ...pair.b.env,
    OCF_RESOURCE_INSTANCE: 'web1-protected',
    OCF_RESKEY_domain: 'g1',
    OCF_RESKEY_binary: main,
    __OCF_ACTION: 'monitor',
  });
  expect(there.code).toBe(rc.notRunning);
  // Its backup is deaf: nothing leaves the guest, until somebody finds out.
  signal(pair.b.session('g1')?.pid ?? 0, 'SIGSTOP');
  await until('it is held', () => pair.a.session('g1')?.state === 'held');
  expect((await node.do('monitor')).code).toBe(rc.degraded);
  await until('the guest goes on', () => pair.a.session('g1')?.outcome === 'unprotected');
  await until('it is failed', async () => (await node.do('monitor')).code === rc.generic);
  expect((await node.do('stop')).code).toBe(rc.success);
  expect((await node.do('start')).code).toBe(rc.success);
  signal(pair.a.session('g1')?.pid ?? 0, 'SIGKILL');
  await until('it is failed', async () => (await node.do('monitor')).code === rc.generic);
  expect((await node.do('stop')).code).toBe(rc.success);
  expect((await node.do('monitor')).code).toBe(rc.notRunning);
  expect(pair.a.state('g1')).toBe('running');
});

// Proves: what cannot begin says why, in the cluster's words.
it.concurrent('says why it cannot begin', async ({ pair, skip }) => {
  skip(lacking !== undefined, why);
  const node = new Node(pair);
  const none = await node.do('start');
  expect(none.code).toBe(rc.configured);
  expect(none.out + none.err).toMatch(/tsremus protect ended with 12: .*no domain/s);
  node.parameters['domain'] = '';
  expect((await node.do('validate-all')).code).toBe(rc.configured);
});
