import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { StopResult } from '../../src/core/outcomes.ts';
import type { RecoveryOrder } from '../../src/core/permission/recovery.ts';
import type { Answer } from '../../src/core/vocabulary.ts';
import type { Named } from '../../src/core/who.ts';
import type { LostGuest } from '../../src/guest/lost.ts';
import { systemTimers } from '../../src/host/clock.ts';
import { OperationError } from '../../src/host/errors.ts';
import {
  type ControlHandler,
  type ControlServer,
  serveControl,
} from '../../src/registry/control.ts';
import { RunDirectory } from '../../src/registry/run-directory.ts';
import type { SessionStatus } from '../../src/registry/status.ts';
import { deadOwner, sampleStatus } from '../registry/sample-status.ts';
import { runLine, TemporaryRun } from './fake-io.ts';

type StopLeftover = (
  status: SessionStatus,
  order: RecoveryOrder,
  env: unknown,
) => Promise<StopResult>;
type Declare = (guest: LostGuest, env: unknown) => Promise<void>;
const app = vi.hoisted(() => ({
  lostGuest: vi.fn<(name: string) => Promise<LostGuest>>(),
  declareLost: vi.fn<Declare>(),
  stopLeftover: vi.fn<StopLeftover>(),
  leftBufferNamed: vi.fn<(name: string) => Promise<SessionStatus | null>>(),
}));
vi.mock('../../src/app/stop.ts', () => app);
/** Whom Xen knows under a number, beside the sessions. */
const who = vi.hoisted(() => ({
  guestsByNumber: vi.fn<(wanted: string) => Promise<readonly Named[]>>(),
}));
vi.mock('../../src/app/who.ts', () => who);

let run: TemporaryRun;
let server: ControlServer | null = null;

beforeEach(() => {
  run = new TemporaryRun();
  who.guestsByNumber.mockReset();
  who.guestsByNumber.mockResolvedValue([]);
  app.stopLeftover.mockReset();
  app.leftBufferNamed.mockReset();
  app.lostGuest.mockReset();
  app.declareLost.mockReset();
});

afterEach(() => {
  server?.close();
  server = null;
  run.remove();
});

const stop = (...argv: string[]) => runLine(['stop', ...argv], run.io());

/** A session that lives in this process and answers with `handler`. */
async function live(handler: ControlHandler, changes: Partial<SessionStatus> = {}) {
  const status = sampleStatus(changes);
  run.put(status);
  server = await serveControl(run.socketPath(status), handler, systemTimers);
}

/** A copy whose process died after it was built. */
const wholeCopy: StopResult = {
  outcome: { kind: 'held', reason: 'its copy stands here, whole', isWholeCopy: true },
  text: 'web1 is not given up: its copy stands here, whole',
  next: ['tsremus failover web1', 'tsremus stop --destroy web1'],
};
const deadCopy = { ...deadOwner(), role: 'backup', peer: 'hosta', state: 'activating' } as const;

describe('a whole copy whose process died', () => {
  beforeEach(() => {
    run.put(sampleStatus(deadCopy));
    app.stopLeftover.mockResolvedValueOnce(wholeCopy);
  });

  const orders = () => app.stopLeftover.mock.calls.map(([, order]) => order.destroy);

  // Proves: without a terminal and without the option nothing is done, and what to type is said.
  it('is left alone: 18', async () => {
    const ran = await stop('web1');
    expect(ran.code).toBe(18);
    expect(ran.err).toBe(
      'tsremus: web1 is not given up: its copy stands here, whole\n' +
        'Try: tsremus failover web1\nTry: tsremus stop --destroy web1\n',
    );
    expect(orders()).toEqual([false]);
  });

  it('goes when its name is typed, and not for a y', async () => {
    app.stopLeftover.mockResolvedValueOnce({ outcome: { kind: 'promised' }, text: 'it is gone' });
    const io = run.io();
    io.stdinIsTty = true;
    io.err.isTty = true;
    io.answer = 'web1';
    const ran = await runLine(['stop', 'web1'], io);
    expect(ran).toMatchObject({ code: 0, out: 'it is gone\n' });
    expect(ran.err).toContain('to run it: tsremus failover web1\n');
    expect(orders()).toEqual([false, true]);
    app.stopLeftover.mockResolvedValueOnce(wholeCopy);
    io.answer = 'y';
    expect((await runLine(['stop', 'web1'], io)).code).toBe(10);
    expect(orders()).toEqual([false, true, false]);
  });

  it('goes with --destroy, and is nothing to force', async () => {
    app.stopLeftover.mockReset();
    app.stopLeftover.mockResolvedValueOnce({ outcome: { kind: 'promised' }, text: 'it is gone' });
    expect((await stop('--destroy', 'web1')).out).toBe('it is gone\n');
    expect(orders()).toEqual([true]);
    expect((await stop('--force-unsafe', '--vouch', 'web1', 'web1')).code).toBe(10);
    expect(orders()).toEqual([true]);
  });
});

const stopped: StopResult = { outcome: { kind: 'stopped', by: 'command' } };

/** After the backup was asked, and answered `found`; null: nobody did. */
function held(found: Answer['kind'] | null): StopResult {
  return { outcome: { kind: 'held', reason: 'hostb does not answer', found } };
}

describe('a session that lives', () => {
  it('is asked to end, and what it does is told', async () => {
    const asked = vi.fn();
    await live(async (request, progress) => {
      asked(request);
      progress('waiting for the promise');
      return stopped;
    });
    expect(await stop('web1')).toMatchObject({
      code: 0,
      out: 'protection of web1 ended in order: it runs on here, the copy on hostb is gone\n',
      err: 'web1: waiting for the promise\n',
    });
    expect(asked).toHaveBeenCalledWith({ verb: 'stop', force: false, once: true });
  });

  it('may stay held: 18, and what only the administrator can do', async () => {
    await live(async () => held(null));
    const ran = await stop('web1');
    expect(ran.code).toBe(18);
    expect(ran.out).toBe('');
    expect(ran.err).toBe(
      'tsremus: web1 stays held, nothing leaves it: hostb does not answer\n' +
        'Try: tsremus stop --force-unsafe web1  # only if the copy on hostb never ran and never will\n',
    );
  });

  /** Whatever it says is heard, and then its time is over. */
  function inVain(said: readonly string[]) {
    const request = vi.spyOn(RunDirectory.prototype, 'request');
    request.mockImplementation(async (_path, _request, options) => {
      for (const text of said) options?.onProgress?.(text);
      throw new OperationError('no-answer', 'the session does not answer', { op: 'await-answer' });
    });
    return request;
  }

  // Proves: the same line again and again is an end, too: it has a time.
  it('is reported as held when it cannot say more in its time: 18', async () => {
    run.put(sampleStatus({ state: 'held', reason: 'the link is cut' }));
    const request = inVain(['asking hostb', 'asking hostb']);
    const ran = await stop('web1');
    expect(ran.code).toBe(18);
    expect(ran.err).toContain(
      'web1 stays held, nothing leaves it: the link is cut (it is asked again and again)\n',
    );
    expect(request.mock.calls[0]?.[2]).toMatchObject({ silenceMsMax: 25_000, totalMsMax: 90_000 });
    request.mockRestore();
  });

  // Proves: one that says nothing is stopped, and that is said, whatever its state was.
  it.each(['protected', 'held'] as const)(
    'is named when it says nothing: 18, %s',
    async (state) => {
      run.put(sampleStatus({ state }));
      const request = inVain([]);
      const ran = await stop('web1');
      request.mockRestore();
      expect(ran.code).toBe(18);
      expect(ran.err).toMatch(/process \d+ of web1: the session does not answer\n/);
      expect(ran.err).toContain(`Try: ps -o pid,stat,wchan:20,cmd -p ${process.pid}\n`);
    },
  );

  it('may have been taken over: 17', async () => {
    await live(async () => ({ outcome: { kind: 'taken-over' } }));
    const ran = await stop('--json', 'web1');
    expect(ran.code).toBe(17);
    expect(JSON.parse(ran.out)).toMatchObject({ schema: 1, outcome: 'taken-over', exit: 17 });
    expect(JSON.parse(ran.err).error).toMatchObject({ code: 'taken-over', exit: 17 });
  });

  it('may refuse', async () => {
    await live(async () => {
      throw new OperationError('split-brain-risk', 'the copy may run', { op: 'stop' });
    });
    expect((await stop('web1')).code).toBe(14);
  });

  it('that does not answer is not taken for dead', async () => {
    run.put(sampleStatus());
    const ran = await stop('web1');
    expect(ran.code).toBe(10);
    expect(ran.err).toContain('the session does not answer');
    expect(app.stopLeftover).not.toHaveBeenCalled();
  });
});

describe('what a dead session left', () => {
  it('is cleared by the recovery', async () => {
    const status = sampleStatus(deadOwner());
    run.put(status);
    app.stopLeftover.mockResolvedValue({ ...stopped, text: 'web1 runs on here' });
    expect(await stop('web1')).toMatchObject({ code: 0, out: 'web1 runs on here\n', err: '' });
    expect(app.stopLeftover).toHaveBeenCalledWith(
      status,
      { force: false, destroy: false },
      expect.anything(),
    );
  });

  it('is cleared on the backup too', async () => {
    run.put(sampleStatus({ ...deadOwner(), role: 'backup', state: 'standby' }));
    app.stopLeftover.mockResolvedValue({ outcome: { kind: 'promised' } });
    const ran = await stop('web1');
    expect(ran).toMatchObject({
      code: 0,
      out: 'what was left here of the copy of web1 is removed\n',
    });
    expect(app.stopLeftover.mock.calls[0]?.[1]).toEqual({ force: false, destroy: false });
    expect((await stop('--force-unsafe', '--vouch', 'web1', 'web1')).code).toBe(10);
  });

  it('is cleared when it was held', async () => {
    run.put(sampleStatus({ ...deadOwner(), state: 'held', outcome: 'held' }));
    app.stopLeftover.mockResolvedValue(stopped);
    expect((await stop('web1')).code).toBe(0);
    expect(app.stopLeftover).toHaveBeenCalledOnce();
  });
});

describe('an output buffer without a session', () => {
  function putBuffer(): void {
    const { uuid, session } = sampleStatus();
    const peer = { host: 'hostb', ssh_command: 'ssh -v', heartbeat_timeout_ms: 700 };
    const whose = { domain: 'web1', domid: 7, uuid, session, peer };
    const text = JSON.stringify({ schema: 1, ...whose, interfaces: [] });
    writeFileSync(join(run.dir, `${uuid}.network.json`), text);
  }

  // Proves: stop knows it by name, number and UUID, and the recovery is told whom to ask.
  it.each(['web1', '7', sampleStatus().uuid])('is cleared when it is called %s', async (name) => {
    putBuffer();
    app.stopLeftover.mockResolvedValue(stopped);
    expect((await stop(name)).code).toBe(0);
    const [status, order] = app.stopLeftover.mock.calls[0] ?? [];
    expect(status).toMatchObject({
      ...{ domain: 'web1', domid: 7, buffer_only: true, heartbeat_timeout_ms: 700 },
      transport: { host: 'hostb', ssh_command: 'ssh -v' },
    });
    expect(order).toEqual({ force: false, destroy: false });
  });

  // Proves: a session that was settled, and stays only to be seen, does not hide it.
  it('comes before a session that is over', async () => {
    putBuffer();
    run.put(sampleStatus({ ...deadOwner(), state: 'ended', outcome: 'guest-ended' }));
    app.stopLeftover.mockResolvedValue(stopped);
    expect((await stop('web1')).code).toBe(0);
    expect(app.stopLeftover.mock.calls[0]?.[0]).toMatchObject({ buffer_only: true });
  });

  it('is found by a name that only Xen knows', async () => {
    putBuffer();
    app.leftBufferNamed.mockResolvedValue(null);
    expect((await stop('web9')).code).toBe(12);
    app.leftBufferNamed.mockResolvedValue(sampleStatus({ domain: '9' }));
    app.stopLeftover.mockResolvedValue(stopped);
    expect((await stop('web9')).code).toBe(0);
    expect(app.stopLeftover.mock.calls[0]?.[0]).toMatchObject({ domain: '9' });
  });
});

describe('a number that is the name of another guest', () => {
  const uuids = { seven: '6ba7b812-9dad-11d1-80b4-00c04fd430c8' };

  // Proves: stop does not guess, and each line that it offers names one guest for certain.
  it('is neither: 12', async () => {
    run.put(sampleStatus(deadOwner()));
    run.put(sampleStatus({ ...deadOwner(), domain: '7', domid: 9, uuid: uuids.seven }));
    const io = run.io();
    Object.assign(io, { argv: ['stop', '--destroy', '7'] });
    const ran = await runLine(['stop', '--destroy', '7'], io);
    expect(ran.code).toBe(12);
    expect(ran.err).toBe(
      `tsremus: 7 may mean web1 (number 7, UUID ${sampleStatus().uuid}) or 7 (number 9, UUID ` +
        `${uuids.seven}): say which\n` +
        `Try: tsremus stop --destroy ${sampleStatus().uuid}  # web1 (number 7)\n` +
        `Try: tsremus stop --destroy ${uuids.seven}  # 7 (number 9)\n`,
    );
    expect(app.stopLeftover).not.toHaveBeenCalled();
    app.stopLeftover.mockResolvedValue(stopped);
    expect((await stop(uuids.seven)).code).toBe(0);
    expect(app.stopLeftover.mock.calls[0]?.[0]).toMatchObject({ domain: '7' });
  });

  // Proves: a guest without a session counts, too, where its number or name is typed.
  it('is refused when only Xen knows the other one', async () => {
    run.put(sampleStatus({ ...deadOwner(), domain: '3' }));
    who.guestsByNumber.mockResolvedValue([{ name: '', uuid: uuids.seven, id: 3 }]);
    expect((await stop('3')).code).toBe(12);
    who.guestsByNumber.mockResolvedValue([]);
    app.stopLeftover.mockResolvedValue(stopped);
    expect((await stop('3')).code).toBe(0);
  });

  it('and two guests of one name are not guessed at, unless one is over', async () => {
    run.put(sampleStatus(deadOwner()));
    run.put(sampleStatus({ ...deadOwner(), domid: 9, uuid: uuids.seven }));
    expect((await stop('web1')).code).toBe(12);
    const over = { state: 'ended', outcome: 'guest-ended' } as const;
    run.put(sampleStatus({ ...deadOwner(), ...over, domid: 9, uuid: uuids.seven }));
    app.stopLeftover.mockResolvedValue(stopped);
    expect((await stop('web1')).code).toBe(0);
    expect(app.stopLeftover.mock.calls[0]?.[0]).toMatchObject({ domid: 7 });
  });
});

describe('--destroy', () => {
  it('gives the guest of a dead session up', async () => {
    run.put(sampleStatus(deadOwner()));
    app.stopLeftover.mockResolvedValue({ outcome: { kind: 'destroyed' } });
    expect(await stop('--destroy', 'web1')).toMatchObject({
      code: 0,
      out: 'web1 is destroyed here: what it held was thrown away, its copy may go on\n',
    });
    expect(app.stopLeftover.mock.calls[0]?.[1]).toEqual({ force: false, destroy: true });
    expect(JSON.parse((await stop('--destroy', '--json', 'web1')).out)).toMatchObject({
      ...{ outcome: 'destroyed', exit: 0 },
    });
  });

  // Proves: on a terminal it is asked first, and another word than the name does nothing.
  it('asks on a terminal', async () => {
    run.put(sampleStatus(deadOwner()));
    app.stopLeftover.mockResolvedValue({ outcome: { kind: 'destroyed' } });
    const no = await typing('y', '--destroy', 'web1');
    expect(no.code).toBe(10);
    expect(no.err).toContain('web1 will be destroyed on this host');
    expect(app.stopLeftover).not.toHaveBeenCalled();
    expect((await typing('web1', '--destroy', 'web1')).code).toBe(0);
    expect(app.stopLeftover).toHaveBeenCalledOnce();
  });

  it('is refused while the session lives: 11', async () => {
    const asked = vi.fn(async () => stopped);
    await live(asked);
    const ran = await stop('--destroy', 'web1');
    expect(ran.code).toBe(11);
    expect(ran.err).toContain(`process ${process.pid} looks after web1`);
    expect(asked).not.toHaveBeenCalled();
  });

  it('is refused beside --force-unsafe, and both of a copy that is held', async () => {
    await live(async () => stopped, { role: 'backup', state: 'standby' });
    expect((await stop('--destroy', 'web1')).code).toBe(10);
    expect((await stop('--destroy', '--force-unsafe', 'web1')).code).toBe(64);
    expect((await stop('--destroy', '--lost', 'web1')).code).toBe(64);
    expect((await stop('--vouch', 'web1', 'web1')).code).toBe(64);
    expect(app.stopLeftover).not.toHaveBeenCalled();
  });
});

/** On a terminal, where a person types `typed` when asked. */
async function typing(typed: string | null, ...argv: string[]) {
  const io = run.io();
  Object.assign(io, { stdinIsTty: true, answer: typed });
  io.err.isTty = true;
  return runLine(['stop', ...argv], io);
}

describe('--force-unsafe', () => {
  const force = { verb: 'stop', force: true, once: true };
  const once = { verb: 'stop', force: false, once: true };

  /** A session whose backup answers `found`, again and again. */
  async function asking(found: Answer['kind'] | null) {
    const requests = vi.fn();
    await live(async (request) => {
      requests(request);
      return request.verb === 'stop' && request.force ? stopped : held(found);
    });
    return requests;
  }

  // Proves: the backup is asked first, then the person; only then is the order given.
  it.each([null, 'unknown'] as const)('after the answer %s takes a typed name', async (found) => {
    const requests = await asking(found);
    const ran = await typing('web1', '--force-unsafe', 'web1');
    expect(ran.code).toBe(0);
    expect(ran.io.questions).toEqual(["If you are sure, type the domain's name: "]);
    expect(ran.err).toContain('TWO GUESTS RUN');
    expect(requests.mock.calls).toEqual([[once], [force]]);
  });

  it.each(['no', 'y', '', null])('does nothing when %j is typed', async (typed) => {
    const requests = await asking(null);
    const ran = await typing(typed, '--force-unsafe', 'web1');
    expect(ran.code).toBe(10);
    expect(ran.err).toContain('nothing was done');
    expect(requests.mock.calls).toEqual([[once]]);
  });

  // Proves: two guests are not made where somebody answers that one of them is there.
  it.each([
    ['activating', /Try: tsremus stop web1 {2}# asks hostb once more/],
    ['absent', /Try: ssh -t hostb tsremus stop --lost web1 {2}#/],
  ] as const)('is refused when the backup answers %s: 14', async (found, advice) => {
    const requests = await asking(found);
    const ran = await typing('web1', '--force-unsafe', 'web1');
    expect(ran.code).toBe(14);
    expect(ran.err).toMatch(/--force-unsafe is refused/);
    expect(ran.err).toMatch(advice);
    expect(ran.err).not.toContain('Try: tsremus stop --force-unsafe');
    expect(ran.io.questions).toEqual([]);
    expect(requests.mock.calls).toEqual([[once]]);
  });

  it('is refused when the backup answers while the person types: 14', async () => {
    await live(async (request) => {
      return held(request.verb === 'stop' && request.force ? 'activating' : null);
    });
    expect((await typing('web1', '--force-unsafe', 'web1')).code).toBe(14);
  });

  it('is not needed where the backup promises, or took over', async () => {
    await live(async () => stopped);
    expect((await typing('no', '--force-unsafe', 'web1')).code).toBe(0);
    server?.close();
    await live(async () => ({ outcome: { kind: 'taken-over' } }));
    expect((await typing('no', '--force-unsafe', 'web1')).code).toBe(17);
  });

  it('asks for what a dead session left, too', async () => {
    run.put(sampleStatus(deadOwner()));
    app.stopLeftover.mockResolvedValueOnce(held(null)).mockResolvedValueOnce(stopped);
    expect((await typing('web1', '--force-unsafe', 'web1')).code).toBe(0);
    expect(app.stopLeftover.mock.calls.map(([, order]) => order.force)).toEqual([false, true]);
  });

  it('needs --vouch without a terminal, and the right name', async () => {
    const requests = await asking(null);
    const ran = await stop('--force-unsafe', 'web1');
    expect(ran.code).toBe(64);
    expect(ran.err).toContain('tsremus stop --force-unsafe --vouch web1 web1');
    expect(requests).not.toHaveBeenCalled();
    expect((await stop('--force-unsafe', '--vouch', 'web2', 'web1')).code).toBe(10);
    expect((await stop('--force-unsafe', '--vouch', 'web1', 'web1')).code).toBe(0);
    expect(requests.mock.calls).toEqual([[once], [once], [force]]);
  });
});

describe('--lost', () => {
  const guest: LostGuest = {
    ...{ domain: 'web1', uuid: sampleStatus().uuid, peer: 'hosta', since: '2026-11-29T10:00:00Z' },
    ...{ epoch: 41, sessions: [sampleStatus().session] },
  };

  it('says both sides of it, takes a typed name, and has it written down', async () => {
    app.lostGuest.mockResolvedValue(guest);
    const ran = await typing('web1', '--lost', 'web1');
    expect(ran.code).toBe(0);
    expect(ran.err).toContain('web1 took over here from epoch 41 at 2026-11-29T10:00:00Z');
    expect(ran.err).toContain('its disk here is the newer one');
    expect(ran.out).toBe('web1 is lost here, as you said: hosta may go on with what it has\n');
    expect(app.declareLost.mock.calls.map(([lost]) => lost)).toEqual([guest]);
  });

  it('does nothing on another name, and asks for --vouch without a terminal', async () => {
    app.lostGuest.mockResolvedValue(guest);
    expect((await typing('yes', '--lost', 'web1')).code).toBe(10);
    expect((await stop('--lost', 'web1')).code).toBe(64);
    expect(app.declareLost).not.toHaveBeenCalled();
    expect((await stop('--lost', '--vouch', 'web1', '--json', guest.uuid)).code).toBe(0);
  });

  it('is refused where the guest is here: 14', async () => {
    const refused = new OperationError('split-brain-risk', 'web1 is not lost: it is here', {
      op: 'lose-guest',
    });
    app.lostGuest.mockRejectedValue(refused);
    expect((await typing('web1', '--lost', 'web1')).code).toBe(14);
  });
});

describe('a session that is over', () => {
  it.each(['unprotected', 'taken-over', 'guest-ended'])(
    '%s is shown no longer',
    async (outcome) => {
      run.put(sampleStatus({ ...deadOwner(), state: 'ended', outcome }));
      expect(await stop('web1')).toMatchObject({
        code: 0,
        out: 'web1: seen; how its session ended is shown no longer\n',
      });
      expect(readdirSync(run.dir)).toEqual([]);
      expect((await stop('web1')).code).toBe(12);
    },
  );

  it('is asked to forget while its process watches the guest', async () => {
    const asked = vi.fn(async () => ({}));
    await live(asked, { role: 'backup', state: 'active', outcome: 'activated' });
    expect((await stop('web1')).code).toBe(0);
    expect(asked).toHaveBeenCalledWith({ verb: 'forget' }, expect.anything());
    expect(readdirSync(run.dir)).toEqual([]);
  });
});

describe('a refusal', () => {
  it('without a session: 12', async () => {
    expect(await stop('web1')).toMatchObject({
      code: 12,
      out: '',
      err: 'tsremus: there is no session of web1 on this host\nTry: tsremus status\n',
    });
  });

  it('without a run directory: 12', async () => {
    run.remove();
    expect((await stop('web1')).code).toBe(12);
  });

  it('on the host that holds the copy', async () => {
    run.put(sampleStatus({ role: 'backup', state: 'standby', peer: 'hosta' }));
    const ran = await stop('web1');
    expect(ran.code).toBe(10);
    expect(ran.err).toContain('this host holds the copy of web1');
    expect(ran.err).toContain('Try: ssh hosta tsremus stop web1  # end protection there\n');
    expect(ran.err).toContain('Try: tsremus failover web1  # here');
  });
});

describe('a guest of which only marks of disks tell', () => {
  // Proves: on the host of the copies nothing is asked or given back; who can be asked is named.
  it('is not stopped on the host that has its copies', async () => {
    run.mark({ role: 'copy', state: 'copying', parent: 1 });
    const { code, err } = await stop('web1');
    expect(code).toBe(10);
    expect(err).toContain(
      'no session of web1 is here: /dev/vg0/web1 is a copy of its disk on hostb',
    );
    expect(err).toContain('ssh hostb tsremus stop web1');
  });

  it('is nobody once it runs on them', async () => {
    run.mark({ role: 'copy', generation: 2, parent: 1, session: null });
    expect((await stop('web1')).code).toBe(12);
  });
});
