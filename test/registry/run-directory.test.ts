import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  systemBootClock as bootClock,
  systemChance as chance,
  systemTimers as timers,
} from '../../src/host/clock.ts';
import { ownProcessId, systemProcesses } from '../../src/host/process-id.ts';
import { type Claim, isSettled, namedBy } from '../../src/registry/port.ts';
import { fileKey, RunDirectory } from '../../src/registry/run-directory.ts';
import { parseStatus } from '../../src/registry/status-parser.ts';
import { deadOwner, sampleResync, sampleStatus } from './sample-status.ts';

const uuid = sampleStatus().uuid;
const subject = { uuid, domain: 'web1', role: 'primary' } as const;
let dir: string;
let registry: RunDirectory;
const claims: Claim[] = [];

beforeEach(() => {
  dir = join(mkdtempSync(join(tmpdir(), 'tsremus-run-')), 'run');
  registry = new RunDirectory(dir, { timers, chance, bootClock, processes: systemProcesses() });
});

afterEach(() => {
  for (const claim of claims.splice(0)) claim.release('forget');
  rmSync(join(dir, '..'), { recursive: true });
});

async function claim(of: Parameters<RunDirectory['claimSession']>[0] = subject): Promise<Claim> {
  const made = await registry.claimSession(of);
  claims.push(made);
  return made;
}

function put(name: string, text: string) {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  writeFileSync(join(dir, name), text);
}

describe('a claim', () => {
  it('publishes a status that a listing finds, for whom the directory lets in', async () => {
    const mine = await claim();
    expect(mine.unsettled).toBeNull();
    expect(mine.publish(sampleStatus())).toBeNull();
    const { sessions, broken } = registry.sessions();
    expect(broken).toEqual([]);
    expect(sessions).toMatchObject([{ status: { domain: 'web1' }, liveness: 'alive' }]);
    expect(sessions[0]?.socketPath).toBe(mine.socketPath);
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(dir)) {
      const mode = name.endsWith('.json') ? 0o644 : 0o600;
      expect(statSync(join(dir, name)).mode & 0o777, name).toBe(mode);
    }
  });

  // Proves: how far a resync is is told beside what a session said, by a process that lives.
  it('publishes how far a resync is, until it is given back or its process is dead', async () => {
    const before = await claim();
    before.publish(sampleStatus({ state: 'ended', outcome: 'unprotected' }));
    before.release('keep-status');
    const mine = await claim();
    expect(registry.resyncs()).toEqual([]);
    expect(mine.publishResync(sampleResync())).toBeNull();
    expect(registry.resyncs()).toEqual(
      [sampleResync()].map((one) => expect.objectContaining({ pid: one.pid, bytes: one.bytes })),
    );
    expect(registry.sessions().sessions).toMatchObject([{ status: { state: 'ended' } }]);
    mine.publishResync(sampleResync(deadOwner()));
    expect(registry.resyncs()).toEqual([]);
    put(`${uuid}.backup.resync`, JSON.stringify({ ...sampleResync(), bytes: -1 }));
    expect(registry.resyncs()).toEqual([]);
    mine.publishResync(sampleResync());
    mine.release('as-before');
    expect(mine.publishResync(sampleResync())).toBeNull();
    expect(registry.resyncs()).toEqual([]);
    expect(registry.sessions().sessions).toMatchObject([{ status: { state: 'ended' } }]);
  });

  // Proves: who clears /run does not make a session that lives look like what a dead one left.
  it('publishes where its directory was cleared meanwhile', async () => {
    const mine = await claim();
    rmSync(dir, { recursive: true });
    expect(mine.publish(sampleStatus())).toBeNull();
    expect(registry.sessions().sessions).toMatchObject([{ liveness: 'alive' }]);
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    // And it is still the owner.
    expect(readdirSync(dir).filter((name) => name.endsWith('.claim'))).toHaveLength(1);
    await expect(claim()).rejects.toMatchObject({ code: 'already-protected' });
  });

  it('keeps the status or forgets it', async () => {
    const first = await claim();
    first.publish(sampleStatus({ state: 'unprotected', outcome: 'unprotected' }));
    first.release('keep-status');
    expect(registry.sessions().sessions).toHaveLength(1);
    const second = await claim();
    second.release('forget');
    expect(second.publish(sampleStatus())).toBeNull();
    expect(readdirSync(dir)).toEqual([]);
  });

  it('puts back what stood there before it', async () => {
    const before = sampleStatus({ ...deadOwner(), state: 'unprotected', outcome: 'unprotected' });
    put(`${uuid}.primary.json`, JSON.stringify(before));
    const failing = await claim();
    failing.publish(sampleStatus({ state: 'connecting' }));
    failing.release('as-before');
    expect(registry.sessions().sessions).toMatchObject([{ status: before }]);
    const first = await claim({ ...subject, uuid: 'first' });
    first.publish(sampleStatus({ state: 'connecting' }));
    first.release('as-before');
    expect(registry.sessions().sessions).toHaveLength(1);
  });

  it('is refused while this process has it, in the same role only', async () => {
    await claim();
    await expect(registry.claimSession(subject)).rejects.toMatchObject({
      code: 'already-protected',
    });
    await claim({ ...subject, role: 'backup' });
    await claim({ ...subject, uuid: 'another' });
  });

  it('takes over what a dead process claimed', async () => {
    const own = ownProcessId();
    const base = `${uuid}.primary`;
    const otherBoot = '00000000-0000-0000-0000-000000000000';
    put(`${base}.${own.pid}-${own.startTicks + 1}-${own.bootId}.claim`, '');
    put(`${base}.${own.pid}-${own.startTicks}-${otherBoot}.claim`, '');
    put(`${base}.json.${own.pid}.new`, 'half a sta');
    await claim();
    expect(readdirSync(dir)).toHaveLength(1);
  });

  it('hands over what a session left that is not settled', async () => {
    put(`${uuid}.primary.json`, JSON.stringify(sampleStatus(deadOwner())));
    expect((await claim()).unsettled).toMatchObject({ domain: 'web1', state: 'protected' });
    claims.pop()?.release('keep-status');
    const held = sampleStatus({ ...deadOwner(), state: 'held', outcome: 'held' });
    put(`${uuid}.primary.json`, JSON.stringify(held));
    expect((await claim()).unsettled).toMatchObject({ state: 'held' });
    claims.pop()?.release('keep-status');
    const over = sampleStatus({ ...deadOwner(), state: 'ended', outcome: 'taken-over' });
    put(`${uuid}.primary.json`, JSON.stringify(over));
    expect((await claim()).unsettled).toBeNull();
  });

  it('refuses a directory that others can write to', async () => {
    mkdirSync(dir, { mode: 0o700 });
    chmodSync(dir, 0o777);
    await expect(registry.claimSession(subject)).rejects.toMatchObject({
      code: 'storage',
      hint: expect.stringContaining('chmod 700'),
    });
  });

  it('returns the error of a status that cannot be written', async () => {
    const mine = await claim();
    mkdirSync(join(dir, `${uuid}.primary.json`));
    expect(mine.publish(sampleStatus())).toMatchObject({ code: 'storage' });
    rmSync(join(dir, `${uuid}.primary.json`), { recursive: true });
  });
});

describe('a listing', () => {
  it('throws when there is no run directory', () => {
    expect(() => registry.sessions()).toThrow('no such file or directory');
  });

  it('knows dead processes and other boots', () => {
    put('a.primary.json', JSON.stringify(sampleStatus(deadOwner())));
    put('b.backup.json', JSON.stringify(sampleStatus({ role: 'backup', boot_id: 'other' })));
    expect(registry.sessions().sessions.map((entry) => entry.liveness)).toEqual([
      'dead',
      'other-boot',
    ]);
  });

  it('reports what it cannot read, and reads the rest', () => {
    put('a.primary.json', '{"schema": 1, "dom');
    put('b.primary.json', JSON.stringify({ ...sampleStatus(), state: 'dancing' }));
    put('c.primary.json', ' '.repeat(300_000));
    put('d.primary.json', JSON.stringify({ ...sampleStatus(), something_new: true }));
    put('d.primary.json.77.new', 'half');
    put('README', 'not ours');
    mkdirSync(join(dir, 'e.primary.json'));
    execFileSync('mkfifo', [join(dir, 'f.primary.json')]);
    const { sessions, broken } = registry.sessions();
    expect(sessions).toHaveLength(1);
    expect(broken.map((entry) => entry.reason)).toEqual([
      'it is not JSON',
      'its key state is missing or cannot be',
      'it is longer than 262144 bytes',
      'it is not a file',
      'it is not a file',
    ]);
  });

  it('says by what a guest can be named', () => {
    expect(namedBy(sampleStatus())).toEqual({ name: 'web1', uuid, id: 7 });
    const left = sampleStatus({ domain: '7', uuid: '', buffer_only: true });
    expect(namedBy(left)).toEqual({ name: '', uuid: '', id: 7 });
  });

  it('can be refreshed and forgotten entry by entry', () => {
    put('a.primary.json', JSON.stringify(sampleStatus()));
    const entry = registry.sessions().sessions[0];
    if (entry === undefined) throw new Error('no entry');
    expect(registry.refreshed(entry)).toMatchObject({ liveness: 'alive' });
    registry.forget(entry);
    expect(registry.refreshed(entry)).toBeNull();
    registry.forget(entry);
  });
});

it('knows which sessions leave nothing to do', () => {
  expect(isSettled(sampleStatus())).toBe(false);
  expect(isSettled(sampleStatus({ state: 'held', outcome: 'held' }))).toBe(false);
  expect(isSettled(sampleStatus({ state: 'unprotected', outcome: 'unprotected' }))).toBe(true);
  expect(isSettled(sampleStatus({ role: 'backup', state: 'active' }))).toBe(true);
});

it('makes safe names of anything', () => {
  expect(fileKey(uuid)).toBe(uuid);
  expect(fileKey('../a b.c')).toBe('%2e%2e%2fa%20b%2ec');
  expect(fileKey('wéb')).toBe('w%c3%a9b');
});

it('checks every key of a status', () => {
  const whole = sampleStatus();
  expect(parseStatus(JSON.stringify(whole))).toEqual({ status: whole });
  for (const key of Object.keys(whole)) {
    const { [key as keyof typeof whole]: _gone, ...rest } = whole;
    const parsed = parseStatus(JSON.stringify(rest));
    expect(parsed, key).toEqual({ reason: `its key ${key} is missing or cannot be` });
  }
});

describe('between processes', () => {
  let bundle: string;
  const running: { kill(): Promise<void> }[] = [];

  beforeAll(async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tsremus-claimer-'));
    bundle = join(folder, 'claimer.mjs');
    await build({
      entryPoints: [join(import.meta.dirname, '../fixtures/claimer.ts')],
      outfile: bundle,
      bundle: true,
      format: 'esm',
      platform: 'node',
    });
  });

  const killAll = () => Promise.all(running.splice(0).map((one) => one.kill()));

  afterAll(() => rmSync(join(bundle, '..'), { recursive: true }));

  /** Starts a process that claims web1 and says `won PID` or the code of its error. */
  function claimer(...argv: string[]) {
    const child = spawn(process.execPath, [bundle, dir, ...argv], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
    const said = new Promise<string>((resolve) => {
      child.stdout.once('data', (data) => resolve(String(data).trim()));
    });
    const kill = () => {
      child.kill('SIGKILL');
      return gone;
    };
    running.push({ kill });
    return { child, said, kill };
  }

  // Goal: of many that claim at once exactly one wins. Method: they wait for a file to appear,
  // then all go; repeated, because one round may order them by accident.
  it('lets exactly one win', async () => {
    for (let round = 0; round < 3; round += 1) {
      const go = join(dir, '..', `go-${round}`);
      const started = Array.from({ length: 6 }, () => claimer(go));
      setTimeout(() => writeFileSync(go, ''), 400);
      const said = await Promise.all(started.map((one) => one.said));
      expect(said.sort()).toEqual([...Array(5).fill('already-protected'), 'won']);
      await killAll();
    }
  });

  it('frees what a killed process claimed', async () => {
    const first = claimer();
    expect(await first.said).toBe('won');
    await expect(registry.claimSession(subject)).rejects.toMatchObject({
      code: 'already-protected',
      message: `web1 is protected already, by process ${first.child.pid}`,
    });
    await first.kill();
    await claim();
  });

  // Goal: a reader never sees half a file. Method: a writer replaces the status as fast as it can.
  it('shows whole files only', async () => {
    const writer = claimer('', 'write');
    expect(await writer.said).toBe('won');
    const path = join(dir, `${uuid}.primary.json`);
    while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 5));
    const seen = new Set<number | null>();
    // However seldom the writer comes to write.
    for (let tries = 0; tries < 1_500 || seen.size <= 5; tries += 1) {
      const { sessions, broken } = registry.sessions();
      expect(broken).toEqual([]);
      expect(sessions).toHaveLength(1);
      seen.add(sessions[0]?.status.epoch ?? null);
    }
    expect(readFileSync(path, 'utf8')).toMatch(/\}\n$/);
    await killAll();
  });
});

// Proves: an order carries the time until which it may be begun, and a session refuses a later one.
it('begins with no order whose time is over', async () => {
  const warnings: string[] = [];
  const log = { debug() {}, info() {}, warning: (text: string) => warnings.push(text), error() {} };
  let sinceBootMs = 1_000;
  const clocked = new RunDirectory(dir, {
    ...{ timers, chance, processes: systemProcesses() },
    bootClock: { sinceBootMs: () => sinceBootMs },
  });
  const claim = await clocked.claimSession({ uuid: 'u', domain: 'web1', role: 'primary' });
  let begun = 0;
  const handler = async () => {
    begun += 1;
    return {};
  };
  const server = await clocked.serve(claim.socketPath, handler, log);
  const order = () => {
    const asked = clocked.request(
      claim.socketPath,
      { verb: 'stop', force: false },
      { silenceMsMax: 7_000 },
    );
    // It was given then; the session comes to it only now.
    sinceBootMs += lateMs;
    return asked;
  };
  let lateMs = 7_001;
  await expect(order()).rejects.toMatchObject({ code: 'no-answer' });
  expect(warnings).toHaveLength(1);
  lateMs = 7_000;
  await expect(order()).resolves.toEqual({});
  expect(begun).toBe(1);
  server.close();
  claim.release('forget');
});
