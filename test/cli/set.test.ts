import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemTimers } from '../../src/host/clock.ts';
import { OperationError } from '../../src/host/errors.ts';
import {
  type ControlHandler,
  type ControlServer,
  serveControl,
} from '../../src/registry/control.ts';
import type { SessionStatus } from '../../src/registry/status.ts';
import { sampleStatus } from '../registry/sample-status.ts';
import { runLine, TemporaryRun } from './fake-io.ts';

let run: TemporaryRun;
let server: ControlServer | null = null;

beforeEach(() => {
  run = new TemporaryRun();
});

afterEach(() => {
  server?.close();
  server = null;
  run.remove();
});

const set = (...argv: string[]) => runLine(['set', ...argv], run.io());

async function live(handler: ControlHandler, changes: Partial<SessionStatus> = {}) {
  const status = sampleStatus(changes);
  run.put(status);
  server = await serveControl(run.socketPath(status), handler, systemTimers);
}

describe('tsremus set', () => {
  it('asks the session, and says what holds now', async () => {
    const asked = vi.fn();
    await live(async (request) => {
      asked(request);
      return { text: 'checkpoints every 50 ms' };
    });
    expect(await set('web1', 'interval=50')).toMatchObject({
      code: 0,
      out: 'web1: checkpoints every 50 ms\n',
      err: '',
    });
    expect(asked).toHaveBeenLastCalledWith({ verb: 'set', interval: 50 });
    await set('web1', 'interval=auto', 'max-overhead=5');
    expect(asked).toHaveBeenLastCalledWith({ verb: 'set', interval: 'auto', maxOverhead: 5 });
    const { out } = await set('--json', 'web1', 'max-overhead=7');
    expect(asked).toHaveBeenLastCalledWith({ verb: 'set', maxOverhead: 7 });
    const document = { schema: 1, domain: 'web1', text: 'checkpoints every 50 ms', exit: 0 };
    expect(JSON.parse(out)).toEqual(document);
  });

  it('passes on what the session refuses', async () => {
    await live(async () => {
      throw new OperationError('command-failed', 'this session has a fixed interval', { op: 'x' });
    });
    const { code, err } = await set('web1', 'max-overhead=7');
    expect(code).toBe(10);
    expect(err).toContain('this session has a fixed interval');
  });

  it.each([
    [['interval'], /"interval" is nothing that can be set; known are: interval, max-overhead/],
    [['color=red'], /"color=red" is nothing that can be set/],
    [['interval=0'], /^tsremus: interval: 0 is not a time/],
    [['interval=fast'], /interval: "fast" is not a whole number of milliseconds, 10 to 60000/],
    [['interval='], /interval: "" is not a whole number/],
    [['max-overhead=91'], /max-overhead: 91 is out of range \(percent, 1 to 90\)/],
    [['interval=50', 'interval=60'], /interval is set twice/],
    [['interval=50', 'max-overhead=5'], /max-overhead is for interval=auto: with 50 ms/],
  ])('refuses %j, asking nobody', async (settings, message) => {
    const asked = vi.fn();
    await live(async () => asked());
    const { code, err } = await set('web1', ...settings);
    expect(code).toBe(64);
    expect(err).toMatch(message);
    expect(asked).not.toHaveBeenCalled();
  });

  it('knows where it belongs', async () => {
    expect((await set('web1', 'interval=50')).code).toBe(12);
    run.put(sampleStatus({ role: 'backup', peer: 'hosta' }));
    const { code, err } = await set('web1', 'interval=50');
    expect(code).toBe(10);
    expect(err).toContain('this host holds the copy of web1');
    expect(err).toContain('ssh hosta tsremus set web1 interval=50');
  });
});
