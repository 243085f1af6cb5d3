/**
 * A guest with a disk, from protect to its copy: the wire, the sessions and the disk on the backup
 * are those that ship, over plain files; what captures the guest's writes is played
 * (test/fixtures/played-disks.ts). A read-only kernel would not tell more of these.
 */
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect } from 'vitest';
import type { DifferentRange } from '../../src/core/texts/resync.ts';
import type { ResyncStatus } from '../../src/registry/resync-status.ts';
import { nativePackages } from '../cli/bundle.ts';
import { nativeFile, repository } from './built.ts';
import { it } from './fixture.ts';
import { cleanUp, type Host, noticing, type Pair, prepare, protectHere } from './pair.ts';
import { Running, run, signal, until } from './process.ts';

const image = '/var/lib/xen/images/g1-0.img';
const sizeBytes = 4 << 20;

/** The program with played disks, and the disks themselves: not in memory, where they would be. */
let folder = '';
let program = '';

beforeAll(async () => {
  await prepare();
  folder = mkdtempSync(join(repository, 'node_modules/.tsremus-disks-'));
  program = join(folder, 'dist/main.js');
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  await build({
    absWorkingDir: repository,
    entryPoints: ['src/main.ts'],
    outdir: dirname(program),
    ...{ bundle: true, splitting: true, format: 'esm', platform: 'node', target: 'node20' },
    external: nativePackages,
    define: { __TSREMUS_VERSION__: '"0.1.0"' },
    banner: {
      js: "import { createRequire as __cr } from 'node:module'; const require = __cr(import.meta.url);",
    },
    plugins: [
      {
        name: 'played disks',
        setup(plugins) {
          plugins.onResolve({ filter: /\/disks\.ts$/ }, ({ importer }) =>
            /\/src\/app\/[^/]+$/.test(importer)
              ? { path: join(repository, 'test/fixtures/played-disks.ts') }
              : null,
          );
        },
      },
    ],
  });
});

afterAll(() => {
  cleanUp();
  rmSync(folder, { recursive: true, force: true });
});

/** The guest's disk on that host. */
function putDisk(host: Host, content: Buffer, at = image): string {
  const file = join(mkdtempSync(join(folder, 'disk-')), `${host.name}.img`);
  writeFileSync(file, content);
  const path = join(host.sim.dir, at);
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(file, path);
  return file;
}

const older = () => Buffer.alloc(sizeBytes, 'what the guest had before ');

function protect(pair: Pair, ...more: string[]): Running {
  const command = pair.wire.command(pair.receive(pair.b));
  const argv = [...protectHere, '-F', '-n', '--json', '-i', '50', '-s', '', ...more];
  const env = { ...pair.a.env, TSREMUS_NATIVE: nativeFile('libtsremus.so') };
  return new Running(process.execPath, [program, ...argv, 'g1', command], env);
}

function resync(pair: Pair, ...more: string[]): Running {
  const command = pair.wire.command(pair.receive(pair.b));
  const env = { ...pair.a.env, TSREMUS_NATIVE: nativeFile('libtsremus.so') };
  return new Running(
    process.execPath,
    [program, 'resync', '--json', '-s', '', ...more, 'g1', command],
    env,
  );
}

async function checked(
  pair: Pair,
  ...more: string[]
): Promise<{ readonly level: string; readonly text: string }> {
  const command = pair.wire.command(pair.receive(pair.b));
  const env = { ...pair.a.env, TSREMUS_NATIVE: nativeFile('libtsremus.so') };
  const words = [program, 'check', '--json', '-n', '-s', '', ...more, 'g1', command];
  const { out } = await run(process.execPath, words, env);
  const { lines } = JSON.parse(out) as { lines: { name: string; level: string; text: string }[] };
  const confined = lines.filter(({ name }) => name === 'confinement');
  expect(confined.map(({ level }) => level)).toEqual(['ok', 'ok']);
  const found = lines.filter(({ name }) => name === 'copy-disks');
  expect(found).toHaveLength(1);
  return found[0] ?? { level: 'none', text: '' };
}

const resultOf = ({ events }: Running) =>
  events.find(({ message_type }) => message_type === 'result') ?? {};

const hashOf = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');

/** What the guest's disk was in each epoch. */
function epochsOf(pair: Pair): Map<number, string> {
  const text = readFileSync(join(pair.a.sim.dir, `${image}.epochs`), 'utf8');
  const lines = text.trim().split('\n');
  return new Map(
    lines.map((line) => line.split(' ')).map(([n = '', sha = '']) => [Number(n), sha]),
  );
}

function markOn(host: Host): Record<string, unknown> {
  const dir = join(host.stateDir, 'disks');
  const [name = ''] = readdirSync(dir);
  return JSON.parse(readFileSync(join(dir, name), 'utf8')) as Record<string, unknown>;
}

/** Nothing of host a is there any more. */
async function crashHostA(pair: Pair, session: Running): Promise<void> {
  await pair.wire.cut();
  for (const pid of [session.pid, ...pair.guards()]) signal(pid, 'SIGKILL');
  pair.a.sim.run('crash-host');
}

// Proves: what the guest has on its disk there is, byte for byte, what it had here in the epoch
// that its memory is of; and it is marked as the newer one from then on.
it.concurrent('goes on with its disk as it was in the last epoch', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000, more: ['--disk'] });
  putDisk(pair.a, older());
  const there = putDisk(pair.b, Buffer.alloc(sizeBytes));
  const session = protect(pair, ...noticing);
  await pair.acknowledged(pair.a, 'g1', 10);
  expect(markOn(pair.b)).toMatchObject({ role: 'copy', state: 'copying', generation: 1 });
  expect(markOn(pair.a)).toMatchObject({ role: 'source', state: 'whole', generation: 1 });
  expect((await pair.a.tsremus('status', 'g1', '--json')).out).not.toContain('disks_left');

  await crashHostA(pair, session);
  await until('the copy took over', () => pair.b.session('g1')?.state === 'active');
  expect(pair.b.sim.wrong('g1')).toBeNull();
  const [, epoch = ''] = / record standby -> activating, epoch (\d+)/.exec(pair.b.log('g1')) ?? [];
  expect(Number(epoch)).toBeGreaterThanOrEqual(10);
  expect(hashOf(there)).toBe(epochsOf(pair).get(Number(epoch)));
  expect(markOn(pair.b)).toMatchObject({ state: 'whole', generation: 2, parent: 1 });
});

// Proves: a disk that was copied before costs what differs and no more, and is as good as one that
// was copied whole: after a takeover it is, byte for byte, what it was in the epoch.
it.concurrent('sends of a disk that was copied before what differs', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000, more: ['--disk'] });
  putDisk(pair.a, older());
  const there = putDisk(pair.b, Buffer.alloc(sizeBytes));
  const first = protect(pair);
  await until('it is protected', () => first.said('protected'));
  const copied = (session: Running) =>
    session.events.find(({ message_type }) => message_type === 'disks-copied');
  expect(copied(first)).toMatchObject({ bytes: sizeBytes, equal_bytes: 0 });
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
  await first.ended;

  const session = protect(pair, ...noticing);
  await until('it is protected again', () => session.said('protected'));
  await pair.moreEpochs(pair.a, 'g1', 3);
  const { bytes, equal_bytes: equal, text } = copied(session) ?? {};
  expect(bytes).toBe(sizeBytes);
  expect(text).toMatch(/^the disks are copied: 4\.2 MB in .* were there already, .* sent$/);
  // Of the other half what the guest wrote last may not have been there.
  expect(equal).toBeGreaterThanOrEqual(sizeBytes / 2);
  await crashHostA(pair, session);
  await until('the copy took over', () => pair.b.session('g1')?.state === 'active');
  const [, epoch = ''] = / record standby -> activating, epoch (\d+)/.exec(pair.b.log('g1')) ?? [];
  expect(hashOf(there)).toBe(epochsOf(pair).get(Number(epoch)));
});

// Proves: the end of the backup costs the guest nothing, and what is left of its disk there is
// known as torn; a stop in order ends well, too.
it.concurrent('runs on when the backup dies, and is protected again', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000, more: ['--disk'] });
  putDisk(pair.a, older());
  putDisk(pair.b, Buffer.alloc(sizeBytes));
  const session = protect(pair);
  await pair.acknowledged(pair.a, 'g1', 3);
  signal(pair.receiver(), 'SIGKILL');
  expect((await session.ended).code).toBe(16);
  expect(pair.a.state('g1')).toBe('running');
  expect(markOn(pair.b)).toMatchObject({ state: 'copying', generation: 1 });
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);

  // The guest goes on here without it: of the same generation there is nothing but what it was.
  expect(markOn(pair.a)).toMatchObject({ role: 'source', generation: 2, parent: 1, session: null });

  // What is there now is not blank, and this guest's.
  const again = protect(pair);
  await until('it is protected again', () => again.said('protected'));
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
  expect((await again.ended).code).toBe(0);
  expect(pair.a.state('g1')).toBe('running');
});

// Proves: M3 after a crash, too: what the guest has here is a generation of its own from then on.
it.concurrent('is a new generation where its session was killed and it goes on', async ({
  pair,
}) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000, more: ['--disk'] });
  putDisk(pair.a, older());
  putDisk(pair.b, Buffer.alloc(sizeBytes));
  const session = protect(pair, '--without-witness', 'primary');
  await pair.acknowledged(pair.a, 'g1', 3);
  signal(session.pid, 'SIGKILL');
  await session.ended;
  expect(markOn(pair.a)).toMatchObject({ generation: 1, session: expect.any(String) });
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
  expect(markOn(pair.a)).toMatchObject({ generation: 2, parent: 1, session: null });
});

/** Host a as it is after a boot: what was in memory is gone, and the link is there again. */
async function bootHostA(pair: Pair): Promise<void> {
  rmSync(pair.a.runDir, { recursive: true });
  await pair.wire.heal();
}

/** By the program with played disks. */
function onHostA(pair: Pair, ...words: string[]) {
  const env = { ...pair.a.env, TSREMUS_NATIVE: nativeFile('libtsremus.so') };
  return run(process.execPath, [program, ...words], env);
}

// Proves: a host that was booted since knows by the marks whom to ask, says so, and takes its disks
// for the older ones where the copy took over.
it.concurrent('is older, and known as that, where its copy took over before a boot', async ({
  pair,
}) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000, more: ['--disk'] });
  putDisk(pair.a, older());
  putDisk(pair.b, Buffer.alloc(sizeBytes));
  const session = protect(pair, ...noticing);
  await pair.acknowledged(pair.a, 'g1', 3);
  await crashHostA(pair, session);
  await until('the copy took over', () => pair.b.session('g1')?.state === 'active');
  await bootHostA(pair);
  const status = await onHostA(pair, 'status');
  expect(status.code).toBe(1);
  expect(status.out).toContain('of g1 is refused to everybody here: it was protected to ');
  const stopped = await onHostA(pair, 'stop', 'g1');
  expect(stopped.err).toContain('is older here and stays refused');
  expect(stopped.code).toBe(17);
  expect(markOn(pair.a)).toMatchObject({ role: 'copy', state: 'copying', generation: 1 });
  expect((await onHostA(pair, 'status')).out).not.toContain('is refused to everybody here');
  const again = await onHostA(pair, 'stop', 'g1');
  expect([again.code, again.err]).toEqual([10, expect.stringMatching(/is a copy of its disk on /)]);
});

// Proves: the same where both lost their power: nobody knows more than the record, and that gives
// the guest back to where it was.
it.concurrent('is given back after a boot by the record of a copy that never ran', async ({
  pair,
}) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000, more: ['--disk'] });
  putDisk(pair.a, older());
  putDisk(pair.b, Buffer.alloc(sizeBytes));
  const session = protect(pair);
  await pair.acknowledged(pair.a, 'g1', 3);
  await pair.wire.cut();
  signal(pair.receiver(), 'SIGKILL');
  await crashHostA(pair, session);
  await bootHostA(pair);
  expect(markOn(pair.a)).toMatchObject({ generation: 1, session: expect.any(String) });
  const stopped = await onHostA(pair, 'stop', 'g1');
  expect(stopped.out).toContain('can be used again');
  expect(stopped.code).toBe(0);
  expect(markOn(pair.a)).toMatchObject({ generation: 2, parent: 1, session: null, peer: null });
});

// Proves: nobody else's disk is written over; the guest is told why, and nothing was begun.
it.concurrent('is refused where its disk would be somebody else’s', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000, more: ['--disk'] });
  putDisk(pair.a, older());
  const foreign = Buffer.alloc(sizeBytes, 'of another guest ');
  const there = putDisk(pair.b, foreign);
  const session = protect(pair);
  const { code, err } = await session.ended;
  expect(code).toBe(10);
  expect(err).toContain('not marked as this guest');
  expect(readFileSync(there).equals(foreign)).toBe(true);
  expect(pair.a.state('g1')).toBe('running');
  expect(pair.b.sim.list()).toEqual([]);

  // What it said is what has to be typed, where that may go.
  expect(err).toContain('with --init-disk xvda if it may go');
  const taken = resync(pair, '--init-disk', 'xvda');
  expect((await taken.ended).code).toBe(0);
  expect(hashOf(there)).toBe(epochsOf(pair).get(0));
  expect((await resync(pair, '--init-disk', 'xvdz').ended).code).toBe(10);
});

// Proves: a session that is refused for its host leaves the disk there what it was: unmarked, where
// it is marked as torn as soon as a session begins.
it.concurrent('is not marked by a session that is refused', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000, more: ['--disk'] });
  putDisk(pair.a, older());
  putDisk(pair.b, Buffer.alloc(sizeBytes));
  const auto = join(pair.b.sim.dir, 'etc/xen/auto');
  mkdirSync(auto, { recursive: true });
  writeFileSync(join(auto, 'g1'), "name='g1'\n");
  const { code, err } = await protect(pair).ended;
  expect(code).toBe(10);
  expect(err).toContain('boots g1 with the host');
  expect(readdirSync(pair.b.stateDir)).not.toContain('disks');
});

// Proves: where a person said another place for it, the disk is there, and so it is for the copy.
it.concurrent('goes on with its disk at another place', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000, more: ['--disk'] });
  putDisk(pair.a, older());
  const elsewhere = '/var/lib/xen/images/elsewhere.img';
  const there = putDisk(pair.b, Buffer.alloc(sizeBytes), elsewhere);
  const session = protect(pair, ...noticing, '--disk', `xvda=${elsewhere}`);
  await pair.acknowledged(pair.a, 'g1', 3);
  expect(markOn(pair.b)['path']).toBe(join(pair.b.sim.dir, elsewhere));
  await crashHostA(pair, session);
  await until('the copy took over', () => pair.b.session('g1')?.state === 'active');
  const [, epoch = ''] = / record standby -> activating, epoch (\d+)/.exec(pair.b.log('g1')) ?? [];
  expect(hashOf(there)).toBe(epochsOf(pair).get(Number(epoch)));
});

// Proves: while the guest runs and writes, and nobody protects it, its disk on the other host
// becomes what it is here, and is known as whole; a second time only what differs is sent; and the
// guest is as it was.
it.concurrent('is copied to the other host while nobody protects it', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000, more: ['--disk'] });
  const here = putDisk(pair.a, older());
  const there = putDisk(pair.b, Buffer.alloc(sizeBytes));
  const first = resync(pair);
  expect((await first.ended).code).toBe(0);
  expect(resultOf(first)).toMatchObject({ outcome: 'copied', bytes: sizeBytes, equal_bytes: 0 });
  expect(hashOf(there)).toBe(epochsOf(pair).get(0));
  const whole = { role: 'copy', state: 'whole', generation: 1, parent: 1 };
  expect(markOn(pair.b)).toMatchObject(whole);
  expect(pair.a.state('g1')).toBe('running');
  expect(pair.b.sim.list()).toEqual([]);
  for (const host of [pair.a, pair.b]) expect(host.session('g1')).toBe(null);

  const again = resync(pair);
  expect((await again.ended).code).toBe(0);
  const { equal_bytes: equal, text } = resultOf(again);
  expect(equal).toBeGreaterThanOrEqual(sizeBytes / 2);
  expect(text).toMatch(/^the disks of g1 on .* are as they were here at \d{4}-.*: 4\.2 MB in /);
  expect(hashOf(there)).toBe(epochsOf(pair).get(0));
  // The guest has gone on in between.
  expect(markOn(pair.b)).toMatchObject({ ...whole, generation: 2, parent: 2 });

  // Nobody plays the guest's writes now: it is at rest, and may have written since.
  const one = resync(pair, '--verify');
  const different = await one.ended;
  const { ranges = [], different_bytes: bytes } = resultOf(one) as unknown as Different;
  expect(different.code).toBe(bytes === 0 ? 0 : 20);
  expect(bytes).toBe(differingBytes(readFileSync(here), readFileSync(there)));
  expect(ranges.reduce((sum, range) => sum + range.bytes, 0)).toBe(bytes);
});

interface Told {
  readonly level: string;
  readonly sessions: readonly unknown[];
  readonly resyncs: readonly ResyncStatus[];
}

// Proves: while it goes on both hosts' status tell how far it is, by their own count, and nothing
// of it once it is over, however that came.
it.concurrent.for(['SIGINT', 'SIGKILL'] as const)(
  'is told of in the status of both hosts while it is copied: %s',
  async (how, { pair }) => {
    pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000, more: ['--disk'] });
    putDisk(pair.a, older());
    putDisk(pair.b, Buffer.alloc(sizeBytes));
    writeFileSync(join(pair.a.sim.dir, `${image}.hold`), '');
    const session = resync(pair);
    const hosts = [pair.a, pair.b] as const;
    const told = async (host: Host): Promise<Told> => {
      const { out } = await host.tsremus('status', '--json');
      // Where nothing has run yet there is nothing to be read.
      return out === '' ? { level: '', sessions: [], resyncs: [] } : (JSON.parse(out) as Told);
    };
    for (const [at, host] of hosts.entries()) {
      await until('it tells how far it is', async () => {
        const { resyncs } = await told(host);
        // What is played leaves when all of it is there.
        return resyncs.some(({ bytes }) => host === pair.b || bytes === sizeBytes / 2);
      });
      const { level, sessions, resyncs } = await told(host);
      expect([level, sessions.length]).toEqual(['warning', 0]);
      expect(resyncs).toMatchObject([
        { domain: 'g1', role: at === 0 ? 'primary' : 'backup', compare_only: false },
      ]);
      const [{ bytes = 0, total_bytes: total = 0, seconds_left: left = 0 } = {}] = resyncs;
      expect(total).toBe(sizeBytes);
      expect(bytes).toBeLessThan(total);
      if (host === pair.a) expect(left).toBeGreaterThan(0);
      const { code, out } = await host.tsremus('status', 'g1');
      expect(code).toBe(1);
      expect(out).toMatch(/^g1 +(primary|backup) +resync \d+ % /m);
      expect(out).toMatch(/g1: its disks are copied (to|from) .*: .* of 4\.2 MB, .*\/s/);
    }
    signal(session.pid, how);
    await session.ended;
    for (const host of hosts) {
      await until('it is not told of', async () => (await told(host)).resyncs.length === 0);
    }
  },
);

const receivers = (pair: Pair) =>
  pair
    .processes()
    .filter(({ argv }) => argv.at(-1) === 'receive')
    .map(({ pid }) => pid);

interface Different {
  readonly ranges?: readonly DifferentRange[];
  readonly different_bytes: number;
}

function differingBytes(one: Buffer, other: Buffer): number {
  let found = 0;
  for (let at = 0; at < one.length; at += 65_536) {
    if (!one.subarray(at, at + 65_536).equals(other.subarray(at, at + 65_536))) found += 65_536;
  }
  return found;
}

// Proves: a comparison finds each block that is not the same, and writes nothing.
it.concurrent('is compared with what the other host has of it', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000, more: ['--disk'] });
  const content = older();
  putDisk(pair.a, content);
  const changed = Buffer.from(content);
  for (const at of [70_000, 131_072, sizeBytes - 1]) changed.writeUInt8(1, at);
  const there = putDisk(pair.b, changed);
  const compared = resync(pair, '--verify');
  expect((await compared.ended).code).toBe(20);
  expect(resultOf(compared)).toMatchObject({
    ...{ outcome: 'compared', bytes: sizeBytes, different_bytes: 3 * 65_536, more: 0, exit: 20 },
    ranges: [
      { disk: 'xvda', at: 65_536, bytes: 131_072 },
      { disk: 'xvda', at: sizeBytes - 65_536, bytes: 65_536 },
    ],
  });
  expect(readFileSync(there).equals(changed)).toBe(true);
  expect(existsSync(join(pair.b.stateDir, 'disks'))).toBe(false);
  writeFileSync(there, content);
  const equal = resync(pair, '--verify');
  expect((await equal.ended).code).toBe(0);
  expect(resultOf(equal)).toMatchObject({ different_bytes: 0, ranges: [], exit: 0 });
});

// Proves: a resync that is broken off costs the guest nothing, and leaves a disk there that is
// known as torn: nobody may take it for a copy. The next one goes on.
it.concurrent.for(['SIGINT', 'SIGKILL', 'SIGKILL there'] as const)(
  'is torn on the other host where its copy was broken off: %s',
  async (how, { pair }) => {
    pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000, more: ['--disk'] });
    putDisk(pair.a, older());
    putDisk(pair.b, Buffer.alloc(sizeBytes));
    const session = resync(pair);
    await until('it has begun', () => existsSync(join(pair.b.stateDir, 'disks')));
    if (how === 'SIGKILL there') for (const pid of receivers(pair)) signal(pid, 'SIGKILL');
    else signal(session.pid, how);
    const { code } = await session.ended;
    const codes = { SIGINT: 130, SIGKILL: null, 'SIGKILL there': 13 };
    expect(code).toBe(codes[how]);
    expect(markOn(pair.b)).toMatchObject({ state: 'copying', generation: 1 });
    expect(pair.a.state('g1')).toBe('running');
    await until('nothing is left there', () => receivers(pair).length === 0);
    const again = resync(pair);
    expect((await again.ended).code).toBe(0);
    expect(markOn(pair.b)).toMatchObject({ state: 'whole' });
  },
);

// Proves: where another guest has the disk, too, protection goes on, and status warns and says who
// and what to type, for as long as it is so.
it.concurrent('is warned of while another guest has it, too', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000, more: ['--disk'] });
  putDisk(pair.a, older());
  putDisk(pair.b, Buffer.alloc(sizeBytes));
  const session = protect(pair);
  await until('it is protected', () => session.said('protected'));
  const said = join(pair.a.sim.dir, `${image}.shared`);
  writeFileSync(said, 'disk xvda was given to domains 1 and 2');
  await until('it is said', () => pair.a.session('g1')?.degraded?.startsWith('shared: disk xvda'));
  const warned = await pair.a.tsremus('status', 'g1');
  expect([warned.code, pair.a.session('g1')?.state]).toEqual([1, 'protected']);
  expect(warned.out).toMatch(
    /g1: shared: disk xvda was given to domains 1 and 2\n {2}Try: xl list\n/,
  );
  rmSync(said);
  await until('it is over', () => pair.a.session('g1')?.degraded === null);
  expect((await pair.a.tsremus('status', 'g1')).code).toBe(0);
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
  await session.ended;
});

// Proves: beside a session nothing is copied, and beside a resync no session begins.
it.concurrent('is not copied while it is protected', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000, more: ['--disk'] });
  putDisk(pair.a, older());
  putDisk(pair.b, Buffer.alloc(sizeBytes));
  const session = protect(pair);
  await until('it is protected', () => session.said('protected'));
  const refused = resync(pair);
  expect((await refused.ended).code).toBe(11);
  await pair.moreEpochs(pair.a, 'g1', 2);
  expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
  await session.ended;
});

// Proves: check finds of the other host's disk what protect would find, and changes nothing of it.
it.concurrent('is looked at where it would be copied to', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000, more: ['--disk'] });
  putDisk(pair.a, older());
  const there = putDisk(pair.b, Buffer.alloc(sizeBytes));
  const text = "the guest's may be kept here, 4.2 MB in all";
  expect(await checked(pair)).toMatchObject({ level: 'ok', text });
  const foreign = Buffer.alloc(sizeBytes, 'of another guest ');
  writeFileSync(there, foreign);
  expect(await checked(pair)).toMatchObject({
    level: 'fail',
    text: expect.stringContaining("not marked as this guest's"),
  });
  expect(await checked(pair, '--init-disk', 'xvda')).toMatchObject({ level: 'ok', text });
  // By another path there.
  const elsewhere = '/var/lib/xen/images/elsewhere.img';
  putDisk(pair.b, Buffer.alloc(sizeBytes), elsewhere);
  const placed = ['--disk', `xvda=${elsewhere}`];
  expect(await checked(pair, ...placed)).toMatchObject({ level: 'ok', text });
  expect(readFileSync(there).equals(foreign)).toBe(true);
  expect(existsSync(join(pair.b.stateDir, 'disks'))).toBe(false);
});
