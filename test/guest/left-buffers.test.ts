/** Output buffers without a session: what `status` and `stop` find of them, in files and names. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { judge } from '../../src/core/health/health.ts';
import { type LeftBufferPorts, leftOf, listAll } from '../../src/guest/left-buffers.ts';
import {
  systemBootClock as bootClock,
  systemChance as chance,
  systemClock,
  systemTimers as timers,
} from '../../src/host/clock.ts';
import { systemProcesses } from '../../src/host/process-id.ts';
import { aliasOf } from '../../src/output/plug/device-note.ts';
import { findBuffers } from '../../src/output/plug/find.ts';
import { type Devices, openDevices } from '../../src/output/plug/interfaces.ts';
import type { BufferState } from '../../src/output/plug/state-file.ts';
import { RunDirectory } from '../../src/registry/run-directory.ts';
import type { SessionStatus } from '../../src/registry/status.ts';
import { parseStatus } from '../../src/registry/status-parser.ts';
import { store } from '../fixtures/here.ts';
import { deadOwner, sampleStatus } from '../registry/sample-status.ts';

const { uuid, session } = sampleStatus();
const guest = { ref: { uuid, id: 7 }, session };

let root: string;
let dir: string;
let devices: Devices;

function ports(changes: Partial<Devices> = {}): LeftBufferPorts {
  const registry = new RunDirectory(dir, {
    timers,
    chance,
    bootClock,
    processes: systemProcesses(),
  });
  const places = { dir, store, devices: { ...devices, ...changes } };
  return { registry, clock: systemClock, findBuffers: () => findBuffers(places) };
}

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tsremus-left-'));
  dir = join(root, 'run');
  mkdirSync(dir);
  mkdirSync(join(root, 'class/net/lo'), { recursive: true });
  devices = openDevices(root);
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

function addDevices(...names: string[]): void {
  for (const name of names) mkdirSync(join(root, 'class/net', name));
}

function putState(changes: Partial<BufferState> = {}): void {
  const peer = { host: 'hostb', ssh_command: null, heartbeat_timeout_ms: 1_000 };
  const whose = { schema: 1, domain: 'web1', domid: 7, uuid, session, peer } as const;
  const state: BufferState = { ...whose, interfaces: [], ...changes };
  writeFileSync(join(dir, `${state.uuid}.network.json`), JSON.stringify(state));
}

function putSession(changes: Partial<SessionStatus>): void {
  const status = sampleStatus(changes);
  writeFileSync(join(dir, `${status.uuid}.${status.role}.json`), JSON.stringify(status));
}

/** The buffers that are listed beside the sessions. */
async function left(): Promise<SessionStatus[]> {
  const { sessions } = await listAll(ports());
  return sessions.map(({ status }) => status).filter((status) => status.buffer_only);
}

describe('a buffer without a session', () => {
  // Proves: devices of our names alone are enough; the run directory may be gone altogether.
  it.each([true, false])('is known by its devices; run directory there: %s', async (isThere) => {
    if (!isThere) rmSync(dir, { recursive: true });
    addDevices('tsr7.0a', 'tsr7.0b', 'tsr7.1ea', 'tsr12.0b', 'tsrother', 'ifb0');
    const found = await left();
    expect(found.map(({ domain, domid, uuid: id }) => [domain, domid, id])).toEqual([
      ['12', 12, ''],
      ['7', 7, ''],
    ]);
    const verdict = judge(found[1] ?? sampleStatus(), 'dead', 0);
    expect(verdict).toMatchObject({ state: 'held', level: 'critical' });
    expect(verdict.reason).toBe(
      'nothing leaves the guest: an output buffer of domain 7 is left here, and no session ' +
        'looks after it',
    );
    expect(verdict.next).toEqual([
      'tsremus stop 7  # clears it if the guest is gone; else says what may be done',
    ]);
  });

  // Proves: with the run directory gone the devices still say whose they are and whom to ask.
  it('says by what is written on one of its devices whose it is', async () => {
    addDevices('tsr7.0a', 'tsr7.0b');
    const peer = { host: 'hostb', ssh_command: 'ssh -p 22', heartbeat_timeout_ms: 700 };
    const whose = { schema: 1, domain: 'web1', domid: 7, uuid, session, peer } as const;
    const alias = aliasOf({ ...whose, interfaces: [] });
    writeFileSync(join(root, 'class/net/tsr7.0b/ifalias'), `${alias}\n`);
    rmSync(dir, { recursive: true });
    expect(await left()).toMatchObject([
      {
        ...{ domain: 'web1', domid: 7, uuid, session, heartbeat_timeout_ms: 700 },
        transport: { host: 'hostb', ssh_command: 'ssh -p 22' },
      },
    ]);
  });

  it('says by its own state whose it is, and whom to ask', async () => {
    addDevices('tsr7.0a', 'tsr7.0b');
    putState({ watch: false });
    const [found, ...others] = await left();
    expect(others).toEqual([]);
    expect(found).toMatchObject({
      ...{ domain: 'web1', domid: 7, uuid, session, peer: 'hostb', watch: false },
      transport: { host: 'hostb', ssh_command: null },
    });
    expect(found?.next[0]).toBe('tsremus stop web1  # asks hostb, and clears what is left here');
    // What programs read has every key of a session.
    expect(parseStatus(JSON.stringify(found))).toEqual({ status: found });
  });

  it('that only failed to go needs nothing but another try', async () => {
    putState({ may_open: true });
    const [found = sampleStatus()] = await left();
    const { reason, next } = judge(found, 'dead', 0);
    expect(reason).toMatch(/^its output buffer could not be removed/);
    expect(next).toEqual(['tsremus stop web1  # tries again; it may go on here']);
  });

  it.each([
    ['ended and seen to', { state: 'ended', outcome: 'taken-over', ...deadOwner() }, 1],
    ['killed', deadOwner(), 0],
    ['held', { state: 'held', outcome: 'held', ...deadOwner() }, 0],
    ['alive', {}, 0],
    ['alive, at its end', { state: 'ended', outcome: 'guest-ended' }, 0],
    ['a copy of the same guest', { role: 'backup', domid: 7, state: 'standby' }, 1],
  ] as const)('beside a session that is %s', async (_, changes, count) => {
    addDevices('tsr7.0a');
    putState();
    putSession(changes);
    expect(await left()).toHaveLength(count);
  });

  // Proves: one that a session makes or removes while status looks is never shown as left.
  it.each([
    ['appear', [[], ['tsr7.0a']]],
    ['vanish', [['tsr7.0a'], []]],
  ] as const)('is none while devices %s', async (_, looks) => {
    let look = 0;
    const names = () => looks[look++] ?? [];
    const { sessions } = await listAll(ports({ names }));
    expect(sessions).toEqual([]);
    expect(look).toBe(2);
  });

  it('whose state makes no sense is shown by its devices; the file as unreadable', async () => {
    addDevices('tsr7.0a');
    writeFileSync(join(dir, 'x.network.json'), '{"schema":1,"peer":7}');
    const { sessions, broken } = await listAll(ports());
    expect(sessions.map(({ status }) => status.domain)).toEqual(['7']);
    expect(broken).toMatchObject([
      { reason: expect.stringMatching(/is not the state of .*; ip link .* then remove/) },
    ]);
  });
});

it('without any, a missing run directory is what it was', async () => {
  rmSync(dir, { recursive: true });
  await expect(listAll(ports())).rejects.toMatchObject({ code: 'storage' });
  expect(await leftOf(ports(), guest)).toBeNull();
});

// Proves: where a session's state is lost, its guest's own end is not taken for permitted.
describe('what a watcher finds', () => {
  it('is the session that died', async () => {
    putSession(deadOwner());
    expect(await leftOf(ports(), guest)).toMatchObject({ session, state: 'protected' });
    expect(await leftOf(ports(), { ...guest, session: 'later' })).toBeNull();
  });

  it('is the buffer where the session is lost, with what the watcher knows', async () => {
    addDevices('tsr7.0a');
    const found = await leftOf(ports(), guest);
    expect(found).toMatchObject({ buffer_only: true, domid: 7, uuid, session, transport: null });
    expect(await leftOf(ports(), { ...guest, ref: { uuid, id: 8 } })).toBeNull();
  });
});
