import { afterEach, beforeEach, describe, expect, it } from 'vitest';
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

let run: TemporaryRun;
let server: ControlServer | null = null;
let verbs: string[];
let requests: ControlRequest[];

const copy = { role: 'backup', state: 'standby', peer: 'hosta' } as const;

beforeEach(() => {
  run = new TemporaryRun();
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
