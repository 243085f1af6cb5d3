import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Said } from '../../src/core/permission/tie.ts';
import type { FoundCopy } from '../../src/guest/left-copy.ts';
import { systemTimers } from '../../src/host/clock.ts';
import {
  type ControlRequest,
  type ControlServer,
  type FailoverPlan,
  serveControl,
} from '../../src/registry/control.ts';
import type { SessionStatus } from '../../src/registry/status.ts';
import { deadOwner, sampleStatus } from '../registry/sample-status.ts';
import { type FakeIo, runLine, TemporaryRun } from './fake-io.ts';

type RunCopy = (copy: FoundCopy, said: Said, env: unknown) => Promise<string>;
const app = vi.hoisted(() => ({
  leftCopy: vi.fn<(name: string) => Promise<FoundCopy | null>>(),
  runCopy: vi.fn<RunCopy>(),
}));
vi.mock('../../src/app/failover.ts', () => app);

let run: TemporaryRun;
let server: ControlServer | null = null;
let verbs: string[];
let requests: ControlRequest[];

const copy = { role: 'backup', state: 'standby', peer: 'hosta' } as const;

beforeEach(() => {
  run = new TemporaryRun();
  app.leftCopy.mockReset().mockResolvedValue(null);
  app.runCopy.mockReset().mockResolvedValue('web1 runs here');
  verbs = [];
  requests = [];
});

afterEach(() => {
  server?.close();
  server = null;
  run.remove();
});

async function live(plan: FailoverPlan, changes: Partial<SessionStatus> = {}) {
  const status = sampleStatus({ ...copy, ...changes });
  run.put(status);
  server = await serveControl(
    run.socketPath(status),
    async (request, progress) => {
      const { verb } = request;
      requests.push(request);
      verbs.push(verb);
      if (verb === 'failover-plan') return plan;
      progress('building the copy');
      return { text: 'web1 runs here since epoch 42' };
    },
    systemTimers,
  );
}

const silent: FailoverPlan = {
  refused: null,
  needs: 'nothing',
  primary: ['hosta was last heard 12.3 s ago'],
};

const failover = (...argv: string[]) => runLine(['failover', ...argv], run.io());

function terminal(answer: string | null): FakeIo {
  const io = run.io();
  io.env['TERM'] = 'dumb';
  io.stdinIsTty = true;
  io.err.isTty = true;
  io.answer = answer;
  return io;
}

const planText = [
  'failover of web1 from hosta to this host:',
  '  the copy of epoch 42 will run here, now (120 ms old)',
  '  hosta was last heard 12.3 s ago',
  '  if web1 still runs on hosta, what it did since that epoch is lost',
  '',
].join('\n');

describe('failover', () => {
  it('says what it does and asks, on a terminal', async () => {
    await live(silent);
    const ran = await runLine(['failover', 'web1'], terminal('y'));
    expect(ran.code).toBe(0);
    expect(ran.io.questions).toEqual(['Go on? [y/N] ']);
    expect(ran.err).toBe(`${planText}web1: building the copy\n`);
    expect(ran.out).toBe('web1 runs here since epoch 42\n');
    expect(verbs).toEqual(['failover-plan', 'failover']);
  });

  it.each(['', 'n', 'maybe', null])('takes %j for no', async (answer) => {
    await live(silent);
    const ran = await runLine(['failover', 'web1'], terminal(answer));
    expect(ran.code).toBe(10);
    expect(ran.err).toContain('tsremus: nothing was done');
    expect(verbs).toEqual(['failover-plan']);
  });

  // Proves: with -n the primary's guest may run on unnoticed; a y that comes by habit is no answer.
  it('with -n warns of two guests, and wants the name', async () => {
    await live(silent, { buffered: false });
    const hasty = await runLine(['failover', 'web1'], terminal('y'));
    expect(hasty.code).toBe(10);
    expect(hasty.err).toContain('if it does, TWO GUESTS RUN: both answer as web1');
    expect(hasty.io.questions).toEqual(["Two guests may run. Type the domain's name to go on: "]);
    expect(verbs).toEqual(['failover-plan']);
    expect((await runLine(['failover', 'web1'], terminal(' web1'))).code).toBe(0);
    expect((await failover('--yes', 'web1')).code).toBe(0);
    expect((await failover('--dry-run', 'web1')).out).toContain('TWO GUESTS RUN');
  });

  // Proves: where the primary goes on by itself a habit must not start a second guest.
  it('wants the name, or --force-unsafe, where the primary goes on by itself', async () => {
    await live({ ...silent, needs: 'word' });
    const hasty = await runLine(['failover', 'web1'], terminal('y'));
    expect(hasty.code).toBe(10);
    expect(hasty.err).toContain('it was agreed that web1 goes on on hosta by itself');
    const yes = await failover('--yes', 'web1');
    expect(yes.code).toBe(64);
    expect(yes.err).toContain('Try: tsremus failover --force-unsafe web1');
    expect(verbs).not.toContain('failover');
    expect((await runLine(['failover', 'web1'], terminal('web1'))).code).toBe(0);
    expect((await failover('--force-unsafe', 'web1')).code).toBe(0);
    expect(requests.filter(({ verb }) => verb === 'failover')).toEqual([
      { verb: 'failover', vouched: true },
      { verb: 'failover', vouched: true },
    ]);
  });

  it('needs --yes where it cannot ask', async () => {
    await live(silent);
    const ran = await failover('web1');
    expect(ran.code).toBe(64);
    expect(ran.err).toContain('Try: tsremus failover --yes web1');
    expect(verbs).toEqual([]);
    expect((await failover('--yes', 'web1')).code).toBe(0);
  });

  it('does nothing with --dry-run', async () => {
    await live(silent);
    expect(await failover('--dry-run', 'web1')).toMatchObject({ code: 0, out: planText, err: '' });
    expect(verbs).toEqual(['failover-plan']);
  });

  it('reports in JSON', async () => {
    await live(silent);
    const planned = await failover('--dry-run', '--json', 'web1');
    expect(JSON.parse(planned.out)).toMatchObject({ dry_run: true, exit: 0 });
    const done = await failover('--yes', '--json', 'web1');
    expect(JSON.parse(done.out)).toMatchObject({ dry_run: false, exit: 0 });
  });

  it('is refused while the primary answers: 14', async () => {
    await live({ refused: 'hosta answered 40 ms ago', needs: 'nothing', primary: [] });
    for (const how of ['--yes', '--dry-run']) {
      const ran = await failover(how, 'web1');
      expect(ran.code).toBe(14);
      expect(ran.err).toContain('failover of web1 is refused: hosta answered 40 ms ago');
      expect(ran.err).toContain('Try: ssh hosta tsremus stop web1  # end protection there');
    }
    expect(verbs).not.toContain('failover');
  });
});

const left: FoundCopy = {
  ...{ domain: 'web1', uuid: 'u', session: 's', peer: 'hosta', epoch: 41, agreed: 'backup' },
  needs: 'order',
  left: { kind: 'whole', isActive: false },
};

const leftPlan = [
  'failover of web1 from hosta to this host:',
  '  the copy of epoch 41 will run here, now',
  '  the process that held it is dead; the copy stands here, whole',
  '  hosta cannot be asked from here: where it lives it asks, and is promised',
  '  if web1 still runs on hosta, what it did since that epoch is lost',
  '',
].join('\n');

describe('a copy whose process died', () => {
  const dead = () => run.put(sampleStatus({ ...copy, ...deadOwner(), state: 'activating' }));

  it('is named, and run on an order', async () => {
    dead();
    app.leftCopy.mockResolvedValue(left);
    expect((await failover('--dry-run', 'web1')).out).toBe(leftPlan);
    expect(app.runCopy).not.toHaveBeenCalled();
    expect((await runLine(['failover', 'web1'], terminal('n'))).code).toBe(10);
    expect(app.runCopy).not.toHaveBeenCalled();
    const ran = await runLine(['failover', 'web1'], terminal('y'));
    expect(ran).toMatchObject({ code: 0, out: 'web1 runs here\n', err: leftPlan });
    expect(app.runCopy.mock.calls[0]?.slice(0, 2)).toEqual([left, 'order']);
  });

  it('wants a word where the primary goes on by itself', async () => {
    dead();
    app.leftCopy.mockResolvedValue({ ...left, agreed: 'primary', needs: 'word' });
    expect((await failover('--yes', 'web1')).code).toBe(64);
    expect((await failover('--force-unsafe', 'web1')).code).toBe(0);
    expect(app.runCopy.mock.calls[0]?.[1]).toBe('word');
  });

  // Proves: where even its status is lost nobody knows whether output was held: the name is asked.
  it('is found by its record where its status is lost', async () => {
    app.leftCopy.mockResolvedValue(left);
    expect((await runLine(['failover', 'web1'], terminal('y'))).code).toBe(10);
    expect((await runLine(['failover', 'web1'], terminal('web1'))).code).toBe(0);
  });

  // Proves: of a copy that runs nothing is to be decided, and it is not said to have been lost.
  it('is noted when it was let run just before, and is refused once that is known', async () => {
    dead();
    app.leftCopy.mockResolvedValue({ ...left, left: { kind: 'runs' } });
    const ran = await runLine(['failover', 'web1'], terminal('n'));
    expect(ran).toMatchObject({ code: 0, out: 'web1 runs here\n' });
    expect(ran.err).toMatch(/^web1 runs here already, its process is dead: it is noted/);
    for (const [kind, text] of [
      ['running', 'the copy of web1 runs here already'],
      ['absent', 'the copy of web1 went on here, and is here no more'],
    ] as const) {
      app.leftCopy.mockResolvedValue({ ...left, left: { kind: 'went-on', answer: { kind } } });
      const refused = await failover('--yes', 'web1');
      expect(refused.code).toBe(10);
      expect(refused.err).toContain(text);
    }
  });

  it('is not run once it was promised away: 14', async () => {
    dead();
    app.leftCopy.mockResolvedValue({ ...left, left: { kind: 'given-up' } });
    const ran = await failover('--yes', 'web1');
    expect(ran.code).toBe(14);
    expect(ran.err).toContain('the primary has the promise');
  });

  it('is none when it was not built: 10, and that is said', async () => {
    dead();
    app.leftCopy.mockResolvedValue({ ...left, left: { kind: 'not-built' } });
    const ran = await failover('--yes', 'web1');
    expect(ran.code).toBe(10);
    expect(ran.err).toMatch(/that held it is dead, and it was not built: it can never run/);
    expect(app.runCopy).not.toHaveBeenCalled();
  });
});

describe('without a copy', () => {
  it('12 when there is no session', async () => {
    expect((await failover('--yes', 'web1')).code).toBe(12);
  });

  it.each([
    ['on the host where the guest runs', {}, 'its copy is on hostb'],
    ['when it runs here already', { ...copy, state: 'active' }, 'runs here already'],
    ['when its process died', { ...copy, ...deadOwner() }, 'no copy of web1 is held here any more'],
    ['when it was given up', { ...copy, outcome: 'promised' }, 'no copy of web1 is held here'],
  ] as const)('10 %s', async (_name, changes, message) => {
    run.put(sampleStatus(changes));
    const ran = await failover('--yes', 'web1');
    expect(ran.code).toBe(10);
    expect(ran.err).toContain(message);
    expect(ran.err).toContain('Try: tsremus');
  });
});
