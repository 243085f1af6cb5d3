/**
 * The hypervisor port over simxl: the same binding, native library and event loop as on Xen, two
 * hosts, in seconds.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Lan } from './lan.ts';
import { type SimHost, simPair } from './sim-host.ts';

let pair: ReturnType<typeof simPair>;

beforeEach(() => {
  pair = simPair();
});

afterEach(() => pair.close());

const script = join(import.meta.dirname, 'side.ts');

function side(host: SimHost, ...args: string[]): ChildProcess {
  return spawn(process.execPath, ['--import', 'tsx', script, ...args], {
    env: { ...process.env, ...host.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

/** The last line that the side reported. */
async function result(child: ChildProcess): Promise<Record<string, unknown>> {
  let text = '';
  child.stderr?.on('data', (data: Buffer) => {
    text += data.toString();
  });
  await new Promise((resolve) => child.on('close', resolve));
  const line = text.trim().split('\n').at(-1) ?? '';
  if (!line.startsWith('{')) throw new Error(`the side failed: ${text}`);
  return JSON.parse(line) as Record<string, unknown>;
}

/** Copies `guest` from a to b and ends as `how` says. */
async function copy(epochs: number, how: 'finish' | 'discard') {
  const config = pair.a.config('guest');
  const renamed = {
    ...config,
    c_info: { ...(config['c_info'] as object), name: 'guest' },
  };
  const file = join(pair.b.dir, 'copy.json');
  writeFileSync(file, JSON.stringify(renamed));
  const backup = side(pair.b, 'restore', file, how);
  const primary = side(pair.a, 'save', 'guest', String(epochs));
  if (backup.stdin) primary.stdout?.pipe(backup.stdin);
  return Promise.all([result(primary), result(backup)]);
}

it.each(['pv', 'pvh', 'hvm'] as const)('copies a %s guest that keeps writing', async (type) => {
  pair.a.create('guest', { type, rate: 20_000 });
  const [primary, backup] = await copy(20, 'finish');
  expect(primary).toEqual({
    epochs: 20,
    end: { kind: 'aborted', left: 'runs' },
    shutdown: false,
    paused: false,
  });
  expect(backup).toMatchObject({ kind: 'built' });
  expect(pair.b.wrong('guest--incoming')).toBeNull();
  const there = pair.b.find('guest--incoming');
  expect(there).toMatchObject({ state: 'paused', epoch: 19 });
  expect(there?.guest?.boot).toBe(pair.a.find('guest')?.guest?.boot);
  pair.b.run('unpause', 'guest--incoming');
  expect(pair.b.wrong('guest--incoming')).toBeNull();
  expect(pair.a.wrong('guest')).toBeNull();
});

it("says in libxl's own words why a save failed", async () => {
  pair.a.create('guest');
  pair.a.fault('save.resume fail epoch=2');
  const child = side(pair.a, 'save', 'guest', '5');
  child.stdout?.resume();
  const { end } = await result(child);
  expect(end).toMatchObject({
    kind: 'failed',
    reason: expect.stringContaining('xc_domain_resume failed'),
  });
});

it('hears on the LAN which host speaks', async () => {
  const lan = await Lan.open();
  const hosts = simPair(lan.port);
  try {
    hosts.a.create('guest', { rate: 2_000, beaconMs: 2 });
    const last = await lan.next('guest', 'a');
    expect(last.seq).toBeGreaterThan(0);
    expect(lan.speakerChanges('guest')).toEqual([]);
    hosts.a.crash();
    hosts.b.create('guest', { beaconMs: 2 });
    await lan.next('guest', 'b');
    expect(lan.speakerChanges('guest')).toHaveLength(1);
  } finally {
    hosts.close();
    lan.close();
  }
});

it('leaves no trace of a discarded copy', async () => {
  pair.a.create('guest', { rate: 2_000 });
  const [, backup] = await copy(3, 'discard');
  expect(backup).toEqual({ kind: 'discarded' });
  expect(pair.b.list()).toEqual([]);
});

it('finds the page that a broken build loses every hundred epochs', async () => {
  // Each epoch has five pages of its own: it takes thousands until the lost one is copied again.
  pair.a.create('guest', { type: 'pv', memoryMib: 64, more: ['--burst', '5'] });
  pair.a.fault('save.page drop=100');
  const [, backup] = await copy(101, 'finish');
  expect(backup).toMatchObject({ kind: 'built' });
  expect(pair.b.wrong('guest--incoming')).toMatch(/WRONG/);
  expect(pair.a.wrong('guest')).toBeNull();
});

it('says that a guest which powered off has ended', async () => {
  pair.a.create('guest');
  const primary = side(pair.a, 'save', 'guest', '1000000');
  primary.stdout?.once('data', () => pair.a.run('poweroff', 'guest'));
  primary.stdout?.resume();
  expect(await result(primary)).toMatchObject({
    end: { kind: 'guest-ended', reason: 'poweroff' },
    shutdown: true,
  });
});
