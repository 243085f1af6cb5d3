/**
 * A copy that a dead process left: found, run on a person's word, or kept from whoever would
 * destroy it unasked. Real records and a real run directory; a hypervisor that has what the test
 * says.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Said } from '../../src/core/permission/tie.ts';
import * as leftCopy from '../../src/guest/left-copy.ts';
import { findLeftCopy, type RunCopyPorts, runLeftCopy } from '../../src/guest/left-copy.ts';
import { Recovery, type RecoveryPorts } from '../../src/guest/recovery.ts';
import {
  systemBootClock as bootClock,
  systemChance as chance,
  systemClock as clock,
  systemTimers as timers,
} from '../../src/host/clock.ts';
import { type ProcessId, systemProcesses } from '../../src/host/process-id.ts';
import type { GuestInfo, Hypervisor } from '../../src/hypervisor/port.ts';
import type { Hello } from '../../src/link/hello-message.ts';
import { openRecord } from '../../src/permission/record.ts';
import { RunDirectory } from '../../src/registry/run-directory.ts';
import { type AnswerPorts, answerAsk, byPerson } from '../../src/session/backup/answer.ts';
import { checkNames } from '../../src/session/backup/preflight.ts';
import { store } from '../fixtures/here.ts';
import { recordUuid as uuid } from '../fixtures/record-uuid.ts';
import { operationError } from '../link/support.ts';
import { deadOwner, sampleStatus } from '../registry/sample-status.ts';

const domain = 'web1';
const session = 'a'.repeat(32);
const processes = systemProcesses();
const dead: ProcessId = { pid: 4_000_000, startTicks: 1, bootId: processes.self.bootId };

let root: string;
/** Domains of the guest's UUID by name. */
let domains: Map<string, Pick<GuestInfo, 'paused' | 'state'>>;
let done: string[];

const paused = { paused: true, state: 'here' } as const;
const incoming = `${domain}--incoming`;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tsremus-left-'));
  mkdirSync(join(root, 'run'), { mode: 0o700 });
  domains = new Map();
  done = [];
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

const names = [domain, incoming];
const nameOf = (id: number) => names[id] ?? '';

const hypervisor = {
  find: async (name: string) => (domains.has(name) ? { uuid, id: names.indexOf(name) } : null),
  async info({ id }: { readonly id: number }) {
    const found = domains.get(nameOf(id));
    return found === undefined ? null : { ref: { uuid, id }, end: null, memoryBytes: 0, ...found };
  },
  async unpause({ id }: { readonly id: number }) {
    done.push(`unpause ${(await record().read())?.permission}`);
    domains.set(nameOf(id), { paused: false, state: 'here' });
  },
  async destroy({ id }: { readonly id: number }) {
    done.push(`destroy ${nameOf(id)}`);
    domains.delete(nameOf(id));
  },
  otherWatcher: () => null,
} as unknown as Hypervisor;

const record = (by = processes.self) =>
  openRecord(join(root, 'state'), uuid, session, {
    store,
    clock,
    processes: { ...processes, self: by },
  });

const registry = () =>
  new RunDirectory(join(root, 'run'), { timers, chance, bootClock, processes });

/** As another process has it, which sees that this one lives. */
function ofAnother(): RunDirectory {
  const another = { ...processes, self: { ...processes.self, pid: process.ppid } };
  return new RunDirectory(join(root, 'run'), { timers, chance, bootClock, processes: another });
}

function ports(): RunCopyPorts & AnswerPorts {
  return {
    ...{ clock, timers, processes, registry: registry(), store },
    stateDirectory: join(root, 'state'),
    hypervisor: async () => hypervisor,
    record: () => record(),
    startGuard: () => ({
      ready: Promise.resolve(),
      gone: new Promise(() => {}),
      beat() {},
      done() {},
      standIn: async () => true,
      async watch() {
        done.push('watch');
        return true;
      },
    }),
    log: { debug() {}, info() {}, warning() {}, error() {} },
    async announce() {
      done.push('announce');
    },
  };
}

/** Where the process that held the copy died, and what stands here. */
async function left(at: 'standby' | 'activating' | 'built' | 'active', agreed = 'backup' as const) {
  await record(dead).prepare();
  await record(dead).create({ domain, peer: 'hosta' }, agreed);
  if (at === 'standby') return;
  const facts = { epoch: 41, why: 'silence' };
  await record(dead).move('standby', 'activating', facts, 'word');
  if (at === 'built') await record(dead).noteBuilt();
  if (at === 'active') await record(dead).move('activating', 'active', facts);
}

/** What it said of itself last. */
function said(changes: object = {}) {
  const status = sampleStatus({
    ...deadOwner(),
    ...{ uuid, session, domain, role: 'backup', peer: 'hosta', state: 'activating', epoch: 41 },
    ...changes,
  });
  writeFileSync(join(root, 'run', `${uuid}.backup.json`), JSON.stringify(status));
}

const shown = () => registry().sessions().sessions[0]?.status;
const says = async () => (await record().read())?.permission;

async function failover(person: Said = 'order'): Promise<string> {
  const copy = await findLeftCopy(domain, ports());
  if (copy === null) throw new Error('there is none');
  return runLeftCopy(copy, person, ports());
}

describe('failover of a copy whose process is dead', () => {
  // Proves: by the steps that its owner would have taken, in that order, and then it is watched.
  it('records, lets it run, notes and shows that, and has it watched', async () => {
    await left('built');
    said();
    domains.set(domain, paused);
    expect(await failover()).toBe('web1 runs here');
    expect(done).toEqual(['unpause active', 'announce', 'watch']);
    expect(await record().read()).toMatchObject({ permission: 'active', running: true });
    expect(shown()).toMatchObject({ state: 'active', outcome: 'activated', domid: 0 });
    expect(shown()?.reason).toBe(
      'took over from epoch 41: the administrator ordered it, its process was dead',
    );
  });

  it('goes on where the record says active, also without its status', async () => {
    await left('active');
    domains.set(domain, paused);
    expect(await failover()).toBe('web1 runs here');
    expect(done).toEqual(['unpause active', 'announce', 'watch']);
  });

  it('says only so of one that runs and is not known to', async () => {
    await left('active');
    said();
    domains.set(domain, { paused: false, state: 'here' });
    expect(await failover()).toBe('web1 runs here');
    expect(done).toEqual(['announce', 'watch']);
    expect((await record().read())?.running).toBe(true);
    expect(shown()?.state).toBe('active');
  });

  // Proves: what the hypervisor had not built when its process died is never run.
  it.each([
    ['standby', incoming],
    ['activating', incoming],
    ['activating', domain],
  ] as const)('refuses one that was not built: %s', async (at, name) => {
    await left(at);
    said();
    domains.set(name, paused);
    const error = await operationError(() => failover('word'));
    expect(error.message).toMatch(/was not built .* can never run/);
    expect(done).toEqual([]);
    expect(await says()).toBe(at);
    expect(shown()?.state).toBe('activating');
  });

  it('needs a person’s word where the primary goes on by itself', async () => {
    await record(dead).prepare();
    await record(dead).create({ domain, peer: 'hosta' }, 'primary');
    await record(dead).move('standby', 'activating', { epoch: 41 }, 'word');
    await record(dead).noteBuilt();
    domains.set(domain, paused);
    expect((await operationError(() => failover())).message).toMatch(/takes your word/);
    expect(await says()).toBe('activating');
    expect(await failover('word')).toBe('web1 runs here');
  });

  it('is refused once it was promised away while the person thought', async () => {
    await left('built');
    domains.set(domain, paused);
    const copy = await findLeftCopy(domain, ports());
    await record().move('activating', 'promised', {});
    if (copy === null) throw new Error('there is none');
    const error = await operationError(() => runLeftCopy(copy, 'word', ports()));
    expect(error.message).toMatch(/the primary has the promise/);
    expect(done).toEqual([]);
  });

  // Proves: what is just being promised to a primary, or begun anew with it, is not run beside it.
  it('waits for whoever acts for the owner already', async () => {
    await left('built');
    domains.set(domain, paused);
    const claim = await registry().claimSession({ uuid, domain, role: 'backup' });
    const copy = await findLeftCopy(domain, ports());
    if (copy === null) throw new Error('there is none');
    const late = () => runLeftCopy(copy, 'word', { ...ports(), registry: ofAnother() });
    expect((await operationError(late)).code).toBe('already-protected');
    expect(done).toEqual([]);
    expect(await says()).toBe('activating');
    claim.release('forget');
    expect(await failover('word')).toBe('web1 runs here');
  });

  it('leaves a copy to the process that lives', async () => {
    await record().create({ domain, peer: 'hosta' });
    expect(await findLeftCopy(domain, ports())).toBeNull();
  });
});

describe('a primary that asks', () => {
  const ask = async () => (await answerAsk({ uuid, session, domain }, ports(), byPerson)).kind;

  // Proves: W-rules stay: a promise to a living primary lets the copy go, and that is to be seen.
  it('gets its promise all the same', async () => {
    await left('built');
    said({ copy_built: true });
    domains.set(domain, paused);
    expect(await ask()).toBe('promised');
    expect(done).toEqual([`destroy ${domain}`]);
    expect(shown()).toMatchObject({ state: 'ended', outcome: 'promised' });
  });

  // Proves: what a person is just letting run is not destroyed under him.
  it('is told that nothing is decided while somebody else acts for the owner', async () => {
    await left('built');
    domains.set(domain, paused);
    const claim = await registry().claimSession({ uuid, domain, role: 'backup' });
    const asked = { ...ports(), registry: ofAnother() };
    expect((await answerAsk({ uuid, session, domain }, asked, byPerson)).kind).toBe('activating');
    expect(done).toEqual([]);
    expect(await says()).toBe('activating');
    claim.release('forget');
    expect(await ask()).toBe('promised');
  });
});

describe('stop of a copy whose process is dead', () => {
  const recovery = () =>
    new Recovery({
      ...ports(),
      answerHere: () => answerAsk({ uuid, session, domain }, ports(), byPerson),
      lookAtCopy: (status) => leftCopy.lookAtCopy(status, ports()),
      loseCopy: (status) => leftCopy.loseLeftCopy(status, ports()),
    } as Partial<RecoveryPorts> as RecoveryPorts);

  async function stop(destroy: boolean) {
    said({ copy_built: true });
    const status = shown();
    if (status === undefined) throw new Error('nothing is shown');
    return recovery().stop(status, { force: false, destroy });
  }

  // Proves: K3.
  it.each(['built', 'active'] as const)('keeps one that is whole: %s', async (at) => {
    await left(at);
    domains.set(domain, paused);
    const { outcome, next } = await stop(false);
    expect(outcome).toMatchObject({ kind: 'held', isWholeCopy: true });
    expect(next).toEqual([
      'tsremus failover web1  # here, if hosta is dead',
      'tsremus stop --destroy web1  # here: give it up, if hosta goes on',
    ]);
    expect(done).toEqual([]);
    expect(await says()).toBe(at === 'built' ? 'activating' : at);
    expect(shown()?.state).toBe('activating');
  });

  it.each([
    ['built', 'promised'],
    ['active', 'lost'],
  ] as const)('gives up one that is %s on a word: %s', async (at, then) => {
    await left(at);
    domains.set(domain, paused);
    const { text } = await stop(true);
    expect(text).toBe('the copy of web1 is destroyed here, as you said: hosta may go on');
    expect(done).toEqual([`destroy ${domain}`]);
    expect(await says()).toBe(then);
    expect(shown()).toBeUndefined();
  });

  it('clears what was not built', async () => {
    await left('built');
    domains.set(incoming, paused);
    expect((await stop(false)).outcome.kind).toBe('promised');
    expect(done).toEqual([`destroy ${incoming}`]);
  });
});

describe('a new session', () => {
  const hello = { domain, uuid } as Hello;
  const settings = () => ({ stateDirectory: join(root, 'state'), hostName: 'hostb' });
  const names = () =>
    checkNames(
      { processes, store, clock, hypervisor, settings: settings() } as Parameters<
        typeof checkNames
      >[0],
      hello,
    );

  it.each(['built', 'active'] as const)('does not destroy a whole copy: %s', async (at) => {
    await left(at);
    domains.set(domain, paused);
    const error = await operationError(names);
    expect(error.code).toBe('locked');
    expect(error.message).toBe(
      'a whole copy of web1 stands on hostb, of epoch 41, left by a process that died: ' +
        'it may be all that is left of the guest',
    );
    expect(error.hint).toBe(
      'tsremus stop --destroy web1  # if the guest that is to be protected is the one',
    );
    expect(done).toEqual([]);
  });

  it.each(['standby', 'activating'] as const)('destroys one that was not built: %s', async (at) => {
    await left(at);
    domains.set(incoming, paused);
    await names();
    expect(done).toEqual([`destroy ${incoming}`]);
  });

  it('touches no domain of the guest’s name that is no copy', async () => {
    domains.set(domain, paused);
    expect((await operationError(names)).message).toBe('a domain called web1 is on hostb already');
    expect(done).toEqual([]);
  });
});
