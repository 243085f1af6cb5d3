/**
 * What is answered for a copy that took over, and a person's word that it is lost: real records on
 * a real disk, a hypervisor that has what the test says.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findLost, type LostPorts, loseGuest } from '../../src/guest/lost.ts';
import {
  systemBootClock as bootClock,
  systemChance as chance,
  systemClock,
  systemTimers as timers,
} from '../../src/host/clock.ts';
import { type ProcessId, systemProcesses } from '../../src/host/process-id.ts';
import type { GuestInfo, GuestRef, Hypervisor } from '../../src/hypervisor/port.ts';
import { openRecord } from '../../src/permission/record.ts';
import { RunDirectory } from '../../src/registry/run-directory.ts';
import { type AnswerPorts, answerAsk, byPerson } from '../../src/session/backup/answer.ts';
import { store } from '../fixtures/here.ts';
import { recordUuid as uuid } from '../fixtures/record-uuid.ts';
import { operationError } from '../link/support.ts';
import { deadOwner, sampleStatus } from '../registry/sample-status.ts';

const domain = 'web1';
const session = 'a'.repeat(32);
const processes = systemProcesses();
const dead: ProcessId = { pid: 4_000_000, startTicks: 1, bootId: processes.self.bootId };
const ref: GuestRef = { uuid, id: 5 };

let root: string;
/** The guest as the hypervisor has it; null: there is none. */
let guest: Pick<GuestInfo, 'paused' | 'state'> | null;
let unpaused: number;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tsremus-lost-'));
  mkdirSync(join(root, 'run'), { mode: 0o700 });
  guest = null;
  unpaused = 0;
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

const hypervisor = {
  find: async (name: string) => (guest === null || name !== domain ? null : ref),
  info: async () => (guest === null ? null : { ref, end: null, memoryBytes: 0, ...guest }),
  async unpause() {
    unpaused += 1;
    if (guest !== null) guest = { ...guest, paused: false };
  },
} as unknown as Hypervisor;

const record = (of = session, by = processes.self) =>
  openRecord(join(root, 'state'), uuid, of, {
    store,
    clock: systemClock,
    processes: { ...processes, self: by },
  });

function ports(): LostPorts & AnswerPorts {
  return {
    timers,
    processes,
    registry: new RunDirectory(join(root, 'run'), { timers, chance, bootClock, processes }),
    store,
    stateDirectory: join(root, 'state'),
    hypervisor: async () => hypervisor,
    record: (_uuid, of) => record(of),
  };
}

/** The copy took over, and the process that did it is dead. */
async function takeOver(of = session, news: { running?: boolean; ended?: boolean } = {}) {
  const one = record(of, dead);
  await one.create({ domain, peer: 'hosta' });
  await one.move('standby', 'activating', { epoch: 41, why: 'silence' });
  await one.move('activating', 'active', { epoch: 41, why: 'silence' });
  if (news.running ?? true) await one.noteRunning({});
  if (news.ended) await one.noteEnded({});
}

const ask = async () => (await answerAsk({ uuid, session, domain }, ports(), byPerson)).kind;

describe('a question about a copy that took over', () => {
  // Proves: what is said is looked up each time; what was noted is no evidence of what is now.
  it('is answered by what is there now', async () => {
    await takeOver();
    for (const [there, kind] of [
      [{ paused: false, state: 'here' }, 'running'],
      [{ paused: true, state: 'here' }, 'running'],
      [{ paused: false, state: 'suspended' }, 'running'],
      [{ paused: false, state: 'ended' }, 'ended'],
      [{ paused: false, state: 'dying' }, 'absent'],
      [null, 'absent'],
      [{ paused: false, state: 'here' }, 'running'],
    ] as const) {
      guest = there;
      expect(await ask(), JSON.stringify(there)).toBe(kind);
    }
    expect(unpaused).toBe(0);
  });

  it('says that it ended by itself where that was noted, unless it is there again', async () => {
    await takeOver(session, { ended: true });
    expect(await ask()).toBe('ended');
    guest = { paused: false, state: 'here' };
    expect(await ask()).toBe('running');
  });

  // Proves: the owner died between `active` and the unpause; whoever is asked finishes that.
  it('sets a copy going that stands there built', async () => {
    await takeOver(session, { running: false });
    guest = { paused: true, state: 'here' };
    expect(await ask()).toBe('running');
    expect(unpaused).toBe(1);
    guest = null;
    expect(await ask()).toBe('absent');
  });
});

describe('a word that it is lost', () => {
  it('is taken where it took over and is not there, and promises from then on', async () => {
    await takeOver();
    const lost = await findLost(ports(), domain);
    expect(lost).toMatchObject({ domain, uuid, peer: 'hosta', epoch: 41, sessions: [session] });
    expect(await ask()).toBe('absent');
    await loseGuest(ports(), lost);
    expect(await ask()).toBe('promised');
    guest = { paused: false, state: 'here' };
    expect(await ask()).toBe('promised');
    expect((await operationError(() => findLost(ports(), domain))).code).toBe('no-such-session');
  });

  it.each([
    ['by its name', domain],
    ['by its UUID', uuid.toUpperCase()],
  ])('finds it %s', async (_how, name) => {
    await takeOver();
    expect((await findLost(ports(), name)).domain).toBe(domain);
  });

  it('takes every session by which it went on here', async () => {
    await takeOver();
    await takeOver('b'.repeat(32));
    await loseGuest(ports(), await findLost(ports(), domain));
    for (const of of [session, 'b'.repeat(32)]) {
      expect((await record(of).read())?.permission).toBe('lost');
    }
  });

  // Proves: L1. A guest that is here is not lost, whatever it is at.
  it.each([
    { paused: false, state: 'here' },
    { paused: true, state: 'here' },
    { paused: false, state: 'suspended' },
    { paused: false, state: 'ended' },
  ] as const)('is refused while it is here: %o', async (there) => {
    await takeOver();
    guest = there;
    expect((await operationError(() => findLost(ports(), domain))).code).toBe('split-brain-risk');
    expect((await record().read())?.permission).toBe('active');
  });

  // Proves: L2. Between the question and the name that is typed it may have come back.
  it('is refused when it has come back meanwhile', async () => {
    await takeOver();
    const lost = await findLost(ports(), domain);
    guest = { paused: false, state: 'here' };
    expect((await operationError(() => loseGuest(ports(), lost))).code).toBe('split-brain-risk');
    expect((await record().read())?.permission).toBe('active');
  });

  it('is refused while a process looks after it: it may be booting it anew', async () => {
    await takeOver();
    const { registry } = ports();
    const release = await registry.claimWatch({ uuid, name: domain });
    expect((await operationError(() => findLost(ports(), domain))).message).toMatch(/looks after/);
    release?.();
    expect((await findLost(ports(), domain)).domain).toBe(domain);
  });

  it('is refused where no copy took over', async () => {
    await record(session, dead).create({ domain, peer: 'hosta' });
    expect((await operationError(() => findLost(ports(), domain))).code).toBe('no-such-session');
    expect((await operationError(() => record().lose({}))).code).toBe('split-brain-risk');
  });

  it('takes the session that took over out of sight', async () => {
    await takeOver();
    const status = sampleStatus({
      ...deadOwner(),
      ...{ uuid, session, domain, role: 'backup', state: 'active', outcome: 'activated' },
    });
    writeFileSync(join(root, 'run', `${uuid}.backup.json`), JSON.stringify(status));
    await loseGuest(ports(), await findLost(ports(), domain));
    expect(ports().registry.sessions().sessions).toEqual([]);
  });
});
