// Goal: of any number of processes that want to decide, exactly one does, and whatever a process
// reported before it was killed is still true afterwards. Method: real processes on a real folder.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Permission } from '../../src/core/vocabulary.ts';
import { systemClock as clock } from '../../src/host/clock.ts';
import { type ProcessId, systemProcesses } from '../../src/host/process-id.ts';
import { openRecord, type PermissionRecord, recordPath } from '../../src/permission/record.ts';
import { bundleFixture } from '../fixtures/bundle.ts';
import { store } from '../fixtures/here.ts';
import { recordUuid as uuid } from '../fixtures/record-uuid.ts';
import { operationError } from '../link/support.ts';

const processes = systemProcesses();
const { self } = processes;
const dead: ProcessId = { pid: 4_000_000, startTicks: 1, bootId: self.bootId };

function freshDir(): string {
  return mkdtempSync(join(tmpdir(), 'tsremus-record-'));
}

function sessionName(number: number): string {
  return number.toString(16).padStart(32, '0');
}

function record(dir: string, session = 1, by: ProcessId = self): PermissionRecord {
  return openRecord(dir, uuid, sessionName(session), {
    store,
    clock,
    processes: { ...processes, self: by },
  });
}

describe('a permission record', () => {
  it('does not exist before it is created, and that is no promise', async () => {
    const dir = join(freshDir(), 'deep', 'down');
    expect(await record(dir).read()).toBeNull();
    const error = await operationError(() => record(dir).move('standby', 'promised', {}));
    expect(error.code).toBe('no-such-session');
    await record(dir).create({ domain: 'web1' });
    expect(await record(dir).read()).toMatchObject({
      permission: 'standby',
      running: false,
      standby: { says: 'standby', by: self, facts: { domain: 'web1' } },
      decision: null,
    });
  });

  // Proves: what was agreed in HELLO holds for whoever reads the record later.
  it.each([
    ['primary', 'order', 'word'],
    ['manual', 'nothing', 'order'],
  ] as const)('agreed %s does not become activating on %s', async (agreed, less, enough) => {
    const dir = freshDir();
    await record(dir).create({}, agreed);
    expect(await record(dir).read()).toMatchObject({ withoutWitness: agreed });
    const refused = await operationError(() => record(dir).move('standby', 'activating', {}, less));
    expect(refused.code).toBe('split-brain-risk');
    expect(await record(dir).read()).toMatchObject({ permission: 'standby' });
    const moved = await record(dir).move('standby', 'activating', {}, enough);
    expect(moved).toEqual({ permission: 'activating', mine: true });
  });

  it('of the schema before let the backup go on', async () => {
    const dir = freshDir();
    await record(dir).create({}, 'primary');
    const path = recordPath(dir, uuid, sessionName(1), 'standby');
    const { withoutWitness: _, ...note } = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(path, JSON.stringify({ ...note, schema: 1 }));
    expect(await record(dir).read()).toMatchObject({ withoutWitness: 'backup' });
    writeFileSync(path, JSON.stringify({ ...note, withoutWitness: 'witness' }));
    const error = await operationError(() => record(dir).read());
    expect(error.message).toContain('without a witness "witness" goes on');
  });

  it('is created once', async () => {
    const dir = freshDir();
    await record(dir).create({});
    expect((await operationError(() => record(dir).create({}))).code).toBe('already-protected');
  });

  it.each<[string, readonly Permission[], Permission]>([
    ['an activation', ['activating', 'active'], 'active'],
    ['a promise', ['promised'], 'promised'],
    ['an activation that failed', ['activating', 'promised'], 'promised'],
  ])('goes through %s', async (_what, steps, end) => {
    const one = record(freshDir());
    await one.create({});
    let at: Permission = 'standby';
    for (const to of steps) {
      expect(await one.move(at, to, { epoch: 7 })).toEqual({ permission: to, mine: true });
      at = to;
    }
    expect((await one.read())?.permission).toBe(end);
    expect((await one.read())?.decision?.facts).toEqual({ epoch: 7 });
  });

  it('takes no step twice: later ones learn what holds', async () => {
    const dir = freshDir();
    const one = record(dir);
    const two = record(dir, 1, dead);
    await one.create({});
    await one.move('standby', 'activating', {});
    expect(await two.move('standby', 'promised', {})).toEqual({
      permission: 'activating',
      mine: false,
    });
    expect(await two.move('standby', 'activating', {})).toEqual({
      permission: 'activating',
      mine: false,
    });
    expect(await one.move('standby', 'activating', {})).toEqual({
      permission: 'activating',
      mine: true,
    });
    await one.move('activating', 'active', {});
    expect(await one.move('activating', 'promised', {})).toEqual({
      permission: 'active',
      mine: false,
    });
    expect(await one.move('standby', 'promised', {})).toEqual({
      permission: 'active',
      mine: false,
    });
  });

  it('lets nobody but its owner end an activation, while the owner lives', async () => {
    const dir = freshDir();
    await record(dir).create({});
    await record(dir).move('standby', 'activating', {});
    const other = record(dir, 1, dead);
    const error = await operationError(() => other.move('activating', 'promised', {}));
    expect(error.code).toBe('split-brain-risk');
    expect(error.message).toContain(`process ${self.pid}, which is alive`);
    expect((await record(dir).read())?.permission).toBe('activating');
  });

  it('lets anybody end the activation of a dead owner', async () => {
    const dir = freshDir();
    await record(dir).create({});
    await record(dir, 1, dead).move('standby', 'activating', {});
    expect(await record(dir).move('activating', 'promised', {})).toEqual({
      permission: 'promised',
      mine: true,
    });
    // Should the dead owner come back from wherever it was, it has lost.
    expect(await record(dir, 1, dead).move('activating', 'active', {})).toEqual({
      permission: 'promised',
      mine: false,
    });
  });

  // Proves: that a copy was built is known while nobody has let it run, in the boot that it was
  // built in and no other, and not once that is decided.
  it('notes that the copy is built, for this boot', async () => {
    const dir = freshDir();
    await record(dir, 1, dead).prepare();
    await record(dir, 1, dead).create({});
    await record(dir, 1, dead).move('standby', 'activating', {});
    expect((await record(dir).read())?.built).toBe(false);
    await record(dir, 1, dead).noteBuilt();
    expect((await record(dir).read())?.built).toBe(true);
    const booted = { ...self, bootId: '0'.repeat(36) };
    expect((await record(dir, 1, booted).read())?.built).toBe(false);
    await record(dir).move('activating', 'promised', {});
    expect((await record(dir).read())?.built).toBe(false);
  });

  it('notes that the copy runs, only when it is active', async () => {
    const one = record(freshDir());
    await one.create({});
    await one.move('standby', 'activating', {});
    await expect(one.noteRunning({})).rejects.toThrow('says activating');
    await one.move('activating', 'active', {});
    expect((await one.read())?.running).toBe(false);
    await one.noteRunning({});
    await one.noteRunning({});
    expect((await one.read())?.running).toBe(true);
  });

  it('refuses steps that do not exist', async () => {
    const one = record(freshDir());
    await one.create({});
    for (const [from, to] of [
      ['standby', 'active'],
      ['promised', 'activating'],
      ['active', 'promised'],
    ] as const) {
      await expect(one.move(from, to, {})).rejects.toThrow(`no step from ${from} to ${to}`);
    }
  });

  it('is decided once, however the calls interleave', async () => {
    const dir = freshDir();
    for (let session = 0; session < 20; session++) {
      await record(dir, session).create({});
      const moves = Array.from({ length: 8 }, (_, index) =>
        record(dir, session, { ...dead, pid: dead.pid + index }).move(
          'standby',
          index % 2 ? 'promised' : 'activating',
          {},
        ),
      );
      const all = await Promise.all(moves);
      expect(all.filter(({ mine }) => mine).length).toBe(1);
      expect(new Set(all.map(({ permission }) => permission)).size).toBe(1);
    }
  });

  it('leaves no temporary files', async () => {
    const dir = freshDir();
    const one = record(dir);
    await one.create({});
    await one.move('standby', 'activating', {});
    await one.move('standby', 'promised', {});
    const base = `${uuid}.${sessionName(1)}`;
    expect(readdirSync(dir).sort()).toEqual([`${base}.decision`, `${base}.standby`]);
  });
});

describe('a damaged record', () => {
  it.each([
    ['not JSON', 'x', 'is damaged: not JSON'],
    ['another schema', '{"schema":3}', 'schema 3, must be 1 or 2'],
    ['no saying', '{"schema":1,"says":"maybe"}', 'says "maybe"'],
    ['no process', '{"schema":1,"says":"promised","at":"now","facts":{}}', 'no process'],
    [
      'an impossible saying',
      JSON.stringify({ schema: 1, says: 'running', at: 'now', by: self, facts: {} }),
      'says what it cannot say',
    ],
    ['too long', ' '.repeat(20_000), '20000 bytes, limit 16384'],
  ])('%s is an error, never a promise', async (_what, content, message) => {
    const dir = freshDir();
    await record(dir).create({});
    writeFileSync(recordPath(dir, uuid, sessionName(1), 'decision'), content);
    const error = await operationError(() => record(dir).read());
    expect(error.code).toBe('storage');
    expect(error.message).toContain(message);
    await operationError(() => record(dir).move('standby', 'promised', {}));
  });
});

describe('a record that cannot be written', () => {
  // Root may write everywhere, so the folder is replaced by what cannot be written even so.
  it('says so and decides nothing', async () => {
    const error = await operationError(() => record('/proc/self').create({}));
    expect(['storage', 'disk-full']).toContain(error.code);
    expect(error.message).toContain('/proc/self');
  });

  it.skipIf(process.getuid?.() === 0)('without permission (skipped for root)', async () => {
    const dir = freshDir();
    await record(dir).create({});
    chmodSync(dir, 0o500);
    const error = await operationError(() => record(dir).move('standby', 'promised', {}));
    expect(error.message).toContain('permission denied');
    expect((await record(dir).read())?.permission).toBe('standby');
  });
});

describe('what a crash between two steps of the file system leaves', () => {
  const note = (says: string) =>
    JSON.stringify({ schema: 1, says, at: 'then', by: dead, facts: {} });
  const temporary = `.${uuid}.${sessionName(1)}.decision.0123456789abcdef.tmp`;

  it.each<[string, Record<string, string>, Permission]>([
    ['an empty temporary file', { [temporary]: '' }, 'standby'],
    ['a whole temporary file', { [temporary]: note('activating') }, 'standby'],
    [
      'a name that is linked, its temporary file still there',
      {
        [temporary]: note('activating'),
        [`${uuid}.${sessionName(1)}.decision`]: note('activating'),
      },
      'activating',
    ],
  ])('%s', async (_what, files, permission) => {
    const dir = freshDir();
    await record(dir, 1, dead).create({});
    for (const [name, content] of Object.entries(files)) writeFileSync(join(dir, name), content);
    expect((await record(dir).read())?.permission).toBe(permission);
    expect((await record(dir).move(permission, 'promised', {})).permission).toBe('promised');
  });
});

interface Line {
  readonly session: string;
  readonly to: Permission;
  readonly permission: string;
  readonly mine: boolean;
}

describe('processes that race', () => {
  let mover = '';
  beforeAll(async () => {
    mover = await bundleFixture('record-mover');
  });

  function start(
    dir: string,
    from: string,
    steps: string,
    slotMs: number,
    sessions: readonly string[],
  ) {
    const argv = [mover, dir, join(dir, 'go'), from, steps, String(slotMs), ...sessions];
    const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] });
    return { child, output: text(child.stdout), ready: ready(child) };
  }

  /**
   * The time to begin, on the clock that all processes share; renamed, so that it is read whole.
   */
  function letGo(dir: string): void {
    const atMs = Number(process.hrtime.bigint()) / 1e6 + 20;
    writeFileSync(join(dir, 'go.new'), String(atMs));
    renameSync(join(dir, 'go.new'), join(dir, 'go'));
  }

  function ready(child: ChildProcess): Promise<void> {
    return new Promise((resolve) => child.stdout?.once('data', () => resolve()));
  }

  function lines(output: string): Line[] {
    const rows = output.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
    return rows.map((line) => JSON.parse(line) as Line);
  }

  async function race(from: Permission, wanted: readonly string[], count: number, by: ProcessId) {
    const dir = freshDir();
    const sessions = Array.from({ length: count }, (_, index) => sessionName(index));
    for (const [index] of sessions.entries()) {
      await record(dir, index, by).create({});
      if (from === 'activating') await record(dir, index, by).move('standby', from, {});
    }
    const racers = wanted.map((to) => start(dir, from, to, 12, sessions));
    await Promise.all(racers.map(({ ready }) => ready));
    letGo(dir);
    const all = (await Promise.all(racers.map(({ output }) => output))).flatMap(lines);
    expect(all.length).toBe(wanted.length * count);
    const ends = new Set<string>();
    for (const [index, session] of sessions.entries()) {
      const said = all.filter((line) => line.session === session);
      expect(said.filter(({ mine }) => mine).length).toBe(1);
      const end = (await record(dir, index).read())?.permission ?? 'none';
      expect(new Set(said.map(({ permission }) => permission))).toEqual(new Set([end]));
      ends.add(end);
    }
    return ends;
  }

  it('out of standby: exactly one decides, all others learn it', async () => {
    await race('standby', ['promised', 'activating', 'promised', 'activating'], 80, self);
  });

  it('out of a dead activation: exactly one decides, all others learn it', async () => {
    await race('activating', ['promised', 'active', 'promised', 'active'], 60, dead);
  });

  it('and are killed at any moment: what they reported stays true', async () => {
    const reported: number[] = [];
    for (let round = 0; round < 6; round++) {
      const dir = freshDir();
      const sessions = Array.from({ length: 60 }, (_, index) => sessionName(index));
      for (const [index] of sessions.entries()) await record(dir, index).create({});
      const { child, output, ready } = start(dir, 'standby', 'activating,active', 0, sessions);
      await ready;
      letGo(dir);
      // Killed some time after this number of its lines, so at any point of a later step.
      const killAfter = 1 + round * 12;
      let seen = 0;
      child.stdout?.on('data', (chunk: Buffer) => {
        seen += chunk.toString().split('\n').length - 1;
        if (seen >= killAfter) child.kill('SIGKILL');
      });
      const said = lines(await output);
      // Its output ends before the process does.
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      reported.push(said.length);
      await checkAfterKill(dir, sessions, said);
    }
    expect(Math.max(...reported)).toBeGreaterThan(0);
  });

  async function checkAfterKill(dir: string, sessions: readonly string[], said: readonly Line[]) {
    for (const [index, session] of sessions.entries()) {
      const last = said.findLast((line) => line.session === session);
      const before = (await record(dir, index).read())?.permission;
      if (last?.permission === 'active') expect(before).toBe('active');
      if (last?.permission === 'activating') expect(['activating', 'active']).toContain(before);
      // Its owner is dead: the promise may be asked for, and is given unless the copy is active.
      if (before === 'standby' || before === 'activating') {
        expect((await record(dir, index).move(before, 'promised', {})).permission).toBe('promised');
        expect(last?.permission).not.toBe('active');
      }
    }
  }
});
