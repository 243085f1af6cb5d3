/**
 * Goal: a host that may run `tsremus receive`, as `restrict,command=` allows it, gets no more than
 * a copy of the guest that was accepted. Method: a primary of the test's own speaks the protocol
 * rightly and lies in CONFIG.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { systemClock as clock, systemTimers as timers } from '../../src/host/clock.ts';
import { guestConfig } from '../../src/link/config-message.ts';
import { greetBackup } from '../../src/link/hello.ts';
import { Link } from '../../src/link/link.ts';
import type { Message } from '../../src/link/messages.ts';
import { sampleHello } from '../link/support.ts';
import { it } from './fixture.ts';
import { cleanUp, type Pair, prepare } from './pair.ts';
import { until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

const uuid = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
const memoryBytes = 4 * 1024 ** 2;
const hello = { ...sampleHello, domain: 'g1', uuid, memoryBytes, cacheBytes: 0 };

type Json = Record<string, unknown>;

/** What a guest of that size is made of, with what the primary makes of it. */
function configuration(pair: Pair, change: (config: Json) => void): Json {
  const printed = pair.a.sim.run('create', 'g1', '--memory', '4', '--uuid', uuid, '--print');
  const config = JSON.parse(printed) as Json;
  change(config);
  return config;
}

/** Speaks to a fresh receive: HELLO, this CONFIG; what it is answered, once receive is gone. */
async function answerTo(pair: Pair, config: Json, facts: Partial<Json> = {}): Promise<Message[]> {
  const child = spawn(pair.receive(pair.b), [], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { ...process.env, SSH_ORIGINAL_COMMAND: 'tsremus receive' },
  });
  const gone = new Promise((resolve) => child.on('exit', resolve));
  const link = new Link(child.stdout, child.stdin, { role: 'primary', clock, timers });
  const session = randomBytes(16).toString('hex');
  await greetBackup(link, 'hostb', { ...hello, session }, { timers });
  const heard: Message[] = [];
  link.listen({ message: (message) => heard.push(message), close: () => {} });
  const spec = { hypervisor: 'xen', name: 'g1', uuid, config: Buffer.from(JSON.stringify(config)) };
  await link.sendConfig({ ...guestConfig(spec, memoryBytes, []), ...facts });
  // By CHECKED where the configuration was let in.
  await until('it was answered', () => heard.length > 0);
  link.destroy('heard');
  await gone;
  return heard;
}

async function expectNothing(pair: Pair): Promise<void> {
  await until('nothing is left on the backup', () => pair.b.leftovers().length === 0);
}

it('X8: CONFIG names another guest than HELLO', async ({ pair }) => {
  const config = configuration(pair, () => {});
  const error = { kind: 'error', code: 'protocol' };
  expect((await answerTo(pair, config, { name: 'victim' }))[0]).toMatchObject(error);
  expect((await answerTo(pair, config, { memoryBytes: 2 ** 30 }))[0]).toMatchObject(error);
  const other = configuration(pair, (one) => {
    one['c_info'] = { ...(one['c_info'] as Json), uuid: uuid.replace('6', '7') };
  });
  expect((await answerTo(pair, other))[0]).toMatchObject(error);
  const large = configuration(pair, (one) => {
    const memory = { max_memkb: 2 ** 30, target_memkb: 2 ** 30 };
    one['b_info'] = { ...(one['b_info'] as Json), ...memory };
  });
  expect((await answerTo(pair, large))[0]).toMatchObject(error);
  await expectNothing(pair);
});

it('a configuration with a script, and a line that permits it', async ({ pair }) => {
  const script = join(pair.dir, 'evil');
  const trace = join(pair.dir, 'trace');
  const allow = pair.b.env['TSREMUS_ALLOW'] ?? '';
  writeFileSync(script, `#!/bin/sh\ntouch ${trace}\n`, { mode: 0o755 });
  const config = configuration(pair, (one) => {
    one['nics'] = [{ devid: 0, mac: '00:16:3e:01:02:03', bridge: 'xenbr0', script }];
  });
  const [refused] = await answerTo(pair, config);
  expect(refused).toMatchObject({
    kind: 'error',
    code: 'not-allowed',
    text: `the backup lets no guest from another host have this: nics.script is "${script}"`,
    hint:
      `mkdir -p ${dirname(allow)} && echo 'nics.script ${script}' >> ${allow}` +
      '  # only if a guest from another host may have it',
  });
  await expectNothing(pair);
  expect(existsSync(trace)).toBe(false);

  // What this host of a test has, lies below its folder.
  for (const path of [script, '/sys/class/net/xenbr0']) {
    const at = join(pair.b.sim.dir, path);
    mkdirSync(dirname(at), { recursive: true });
    writeFileSync(at, '', { mode: 0o755 });
  }
  writeFileSync(allow, `nics.script ${pair.dir}/\n`);
  const [permitted] = await answerTo(pair, config);
  expect(permitted).toMatchObject({ kind: 'checked' });
  await expectNothing(pair);
});
