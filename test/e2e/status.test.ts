/** What administrators, cron and monitors see of a live session. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { main } from './built.ts';
import { cleanUp, Pair, prepare } from './pair.ts';
import { type Ran, type Running, run, until } from './process.ts';

let pair: Pair;
let protect: Running;

beforeAll(async () => {
  await prepare();
  pair = new Pair();
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  protect = await pair.protected();
});

afterAll(() => {
  pair.close();
  cleanUp();
});

/** Runs a line of bash in which `tsremus` is the program on host a. */
function sh(line: string, env: NodeJS.ProcessEnv = pair.a.env): Promise<Ran> {
  const program = `tsremus() { ${process.execPath} ${main} "$@"; }; ${line}`;
  return run('bash', ['--norc', '-c', program], env);
}

interface Document {
  readonly level: string;
  readonly exit: number;
  readonly sessions: readonly Record<string, unknown>[];
}

const keys = [
  ...['ack_age_ms', 'ack_time', 'boot_id', 'buffered', 'bytes_sent', 'domain', 'domid', 'epoch'],
  ...['epochs', 'guest_paused', 'heartbeat_timeout_ms', 'late_after_ms', 'level', 'next'],
  ...['outcome', 'peer', 'pid', 'pid_start', 'process', 'reason', 'recorded_state', 'role'],
  ...['schema', 'seed_percent', 'session', 'started', 'state', 'transport', 'updated', 'uuid'],
  'updated_uptime_ms',
];

// Proves: the keys that docs/JSON.md promises are there on both sides, with sensible values.
it('status --json keeps its schema', async () => {
  // A session writes its status every second; the first may be older than its first epoch.
  await until('epochs are shown', () => (pair.a.session('g1')?.epochs.length ?? 0) > 0);
  // What is written every second may show a seed or an epoch that has just not been acknowledged.
  const documents = [pair.a, pair.b].map((host) =>
    until('all is well', async () => {
      const ran = await host.tsremus('status', '--json');
      expect(ran.err).toBe('');
      return ran.code === 0 ? (JSON.parse(ran.out) as Document) : null;
    }),
  );
  const [here, there] = await Promise.all(documents);
  for (const document of [here, there]) {
    expect(document).toMatchObject({ schema: 1, level: 'ok', exit: 0, unreadable: [] });
    expect(document?.sessions).toHaveLength(1);
    for (const key of keys) expect(document?.sessions[0]).toHaveProperty(key);
  }
  const primary = here?.sessions[0];
  expect(primary).toMatchObject({ role: 'primary', state: 'protected', process: 'alive' });
  expect(there?.sessions[0]).toMatchObject({ role: 'backup', state: 'standby', process: 'alive' });
  expect(there?.sessions[0]?.['session']).toBe(primary?.['session']);
  expect(primary?.['pid']).toBe(protect.pid);
  expect(primary?.['ack_age_ms']).toBeLessThanOrEqual(primary?.['late_after_ms'] as number);
  const epochs = primary?.['epochs'] as { epoch: number; bytes: number; pages: number }[];
  expect(epochs.length).toBeGreaterThan(0);
  for (const epoch of epochs.slice(1)) expect(epoch.bytes).toBeGreaterThan(0);
});

// Proves: figures move, so that what is shown is not the past.
it('status shows a session that lives', async () => {
  const epoch = pair.a.session('g1')?.epoch ?? 0;
  await until('epochs pass on both sides', () => {
    return [pair.a, pair.b].every((host) => (host.session('g1')?.epoch ?? 0) > epoch + 3);
  });
});

// Proves: a monitor gets one line, with figures that it can draw.
it('status --check prints one line', async () => {
  const ran = await sh('tsremus status --check g1');
  expect(ran).toMatchObject({ code: 0, err: '' });
  expect(ran.out).toMatch(
    /^TSREMUS OK - g1 protected, epoch \d+, acknowledged [^|]+ ago \| 'g1_ack_age'=\d+ms;\d+;;0 'g1_epoch'=\d+c 'g1_pause'=[\d.]+ms;;;0 'g1_size'=\d+B;;;0\n$/,
  );
  expect((await sh('tsremus status --check g2')).out).toMatch(/^TSREMUS UNKNOWN - /);
});

// Proves: cron's empty environment is enough; only the folder of this test has to be named.
it('works in an empty environment', async () => {
  const env = { TSREMUS_RUN_DIR: pair.a.runDir };
  const ran = await run(process.execPath, [main, 'status', '--check'], env);
  expect(ran).toMatchObject({ code: 0, err: '' });
  expect(ran.out).toMatch(/^TSREMUS OK - g1 protected/);
});

// Proves: neither a pipe that closes early nor no terminal at all is a reason to fail.
it('works in a pipe', async () => {
  const ran = await sh('tsremus status | head -1; echo $PIPESTATUS');
  expect(ran).toMatchObject({ code: 0, err: '' });
  expect(ran.out).toMatch(/^DOMAIN +ROLE +STATE +.*\n0\n$/);
  expect((await sh('tsremus status --json | true; echo $PIPESTATUS')).out).toBe('0\n');
});

// Proves: what protect says on its way is JSON, line by line, and in this order.
it('protect --json reports the way to protection', () => {
  const kinds = protect.events.map((event) => event['message_type']);
  expect(kinds.filter((kind) => kind !== 'seed-progress')).toEqual([
    'connected',
    'without-witness',
    'protected',
  ]);
  for (const event of protect.events) expect(event).toMatchObject({ schema: 1, domain: 'g1' });
});
