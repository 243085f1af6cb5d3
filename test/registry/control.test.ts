import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemTimers } from '../../src/host/clock.ts';
import { OperationError } from '../../src/host/errors.ts';
import {
  type ControlHandler,
  type ControlServer,
  type LateOrders,
  parseRequest,
  requestControl,
  serveControl,
} from '../../src/registry/control.ts';
import { LineReader } from '../../src/registry/line-reader.ts';

let dir: string;
let path: string;
let server: ControlServer | null;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tsremus-control-'));
  path = join(dir, 'x.sock');
  server = null;
});

afterEach(() => {
  server?.close();
  rmSync(dir, { recursive: true });
});

async function serve(handler: ControlHandler, late: LateOrders | null = null) {
  server = await serveControl(path, handler, systemTimers, late);
}

/** Sends raw text and returns all that comes back. */
function raw(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let got = '';
    const socket = connect(path, () => socket.write(text));
    socket.on('data', (chunk) => {
      got += String(chunk);
    });
    socket.on('close', () => resolve(got));
    socket.on('error', reject);
  });
}

describe('the control socket', () => {
  it('gives progress, then the result', async () => {
    await serve(async (request, progress) => {
      progress('asking hostb');
      return { asked: request };
    });
    const said: string[] = [];
    const request = { verb: 'stop', force: true } as const;
    const result = await requestControl(path, request, systemTimers, {
      onProgress: (text) => said.push(text),
    });
    expect(result).toEqual({ asked: request });
    expect(said).toEqual(['asking hostb']);
  });

  // Proves: a client that stands still costs no memory, and gets its result when it goes on.
  it('leaves out progress that nobody reads', async () => {
    await serve(async (_request, progress) => {
      for (let count = 0; count < 20_000; count += 1) progress('x'.repeat(100));
      return { done: true };
    });
    const lines = (await raw('{"verb":"forget"}\n')).trim().split('\n');
    expect(lines.length).toBeGreaterThan(100);
    expect(lines.length).toBeLessThan(10_000);
    expect(JSON.parse(lines.at(-1) ?? '')).toEqual({ kind: 'result', result: { done: true } });
  });

  it('carries an OperationError with its code and hint', async () => {
    await serve(async () => {
      const detail = { op: 'failover', hint: 'wait' };
      throw new OperationError('split-brain-risk', 'hosta answered 40 ms ago', detail);
    });
    await expect(requestControl(path, { verb: 'failover' }, systemTimers)).rejects.toMatchObject({
      code: 'split-brain-risk',
      message: 'hosta answered 40 ms ago',
      hint: 'wait',
    });
  });

  it('carries any other error as a failed command', async () => {
    await serve(() => Promise.reject(new TypeError('x is not a function')));
    await expect(requestControl(path, { verb: 'failover' }, systemTimers)).rejects.toMatchObject({
      code: 'command-failed',
      message: 'x is not a function',
    });
  });

  it('is for its owner alone', async () => {
    await serve(async () => ({}));
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('replaces what a dead process left, and leaves nothing itself', async () => {
    await serve(async () => ({ first: true }));
    const first = server;
    await serve(async () => ({ second: true }));
    expect(await requestControl(path, { verb: 'failover' }, systemTimers)).toEqual({
      second: true,
    });
    first?.close();
    server?.close();
    server = null;
    expect(() => statSync(path)).toThrow('ENOENT');
  });

  it('answers a request that it does not know', async () => {
    await serve(async () => ({}));
    for (const line of ['{"verb":"dance"}', 'hello', '[]', 'null', '{"verb":"stop"}']) {
      expect(JSON.parse(await raw(`${line}\n`))).toMatchObject({
        kind: 'error',
        code: 'not-built',
      });
    }
  });

  it('does not read an endless request', async () => {
    await serve(async () => ({}));
    expect(await raw('x'.repeat(100_000))).toContain('"not-built"');
  });

  it('goes on with what was asked when the client goes away', async () => {
    let done: () => void = () => {};
    const finished = new Promise<void>((resolve) => {
      done = resolve;
    });
    await serve(async (_request, progress) => {
      await new Promise((resolve) => setTimeout(resolve, 30));
      progress('nobody reads this');
      done();
      return {};
    });
    const socket = connect(path, () => {
      socket.write('{"verb":"stop","force":false}\n', () => socket.destroy());
    });
    await finished;
    await expect(requestControl(path, { verb: 'failover' }, systemTimers)).resolves.toEqual({});
  });
});

describe('a client', () => {
  it('says so when nobody listens', async () => {
    await expect(requestControl(path, { verb: 'failover' }, systemTimers)).rejects.toMatchObject({
      code: 'command-failed',
      message: expect.stringContaining('ENOENT'),
    });
  });

  // Proves: silence is bounded, not the whole; and nothing is left that would fire later.
  it('waits anew after whatever the session says, and for nothing after the result', async () => {
    await serve(async (_request, progress) => {
      progress('one');
      return {};
    });
    const waits: { isCancelled: boolean }[] = [];
    const timers = {
      ...systemTimers,
      after(delayMs: number) {
        expect(delayMs).toBe(700);
        const wait = { isCancelled: false };
        waits.push(wait);
        return () => {
          wait.isCancelled = true;
        };
      },
    };
    let begun = 0;
    const onProgress = () => {
      begun = waits.filter(({ isCancelled }) => isCancelled).length;
    };
    await requestControl(path, { verb: 'failover' }, timers, { silenceMsMax: 700, onProgress });
    expect(begun).toBe(1);
    expect(waits.length).toBeGreaterThan(1);
    expect(waits.every(({ isCancelled }) => isCancelled)).toBe(true);
  });

  it('does not wait for ever', async () => {
    await serve(() => new Promise(() => {}));
    const asked = requestControl(path, { verb: 'failover' }, systemTimers, { silenceMsMax: 50 });
    await expect(asked).rejects.toMatchObject({ code: 'no-answer' });
  });

  // Proves: what waited for a process that was stopped is not carried out when it continues.
  it('begins with nothing whose time is over, and says so', async () => {
    const warnings: string[] = [];
    const bootClock = { sinceBootMs: () => 5_000 };
    let begun = 0;
    await serve(
      async () => {
        begun += 1;
        return {};
      },
      { bootClock, log: { warning: (text) => warnings.push(text) } },
    );
    const order = { verb: 'stop', force: false } as const;
    const until = (untilMs: number) => requestControl(path, order, systemTimers, { untilMs });
    await expect(until(4_999)).rejects.toMatchObject({ code: 'no-answer' });
    expect(warnings).toEqual([
      'the order stop came too late, and is not carried out: its time was over',
    ]);
    expect(begun).toBe(0);
    await expect(until(5_000)).resolves.toEqual({});
    // Of an older program, which names no time.
    await expect(requestControl(path, order, systemTimers)).resolves.toEqual({});
    expect(begun).toBe(2);
  });

  it('says whether the order has lapsed or was begun', async () => {
    await serve((_request, progress) => {
      progress('asking hostb');
      return new Promise(() => {});
    });
    // Time that passes when it has said something, and not before.
    let pass = () => {};
    const after = (_delayMs: number, run: () => void) => {
      pass = run;
      return () => {};
    };
    const onProgress = () => setImmediate(() => pass());
    const timers = { ...systemTimers, after };
    const asked = requestControl(path, { verb: 'failover' }, timers, { onProgress });
    await expect(asked).rejects.toThrow('it goes on with what was asked');
  });

  it('has a time in all, whatever it hears', async () => {
    const tellers: NodeJS.Timeout[] = [];
    await serve((_request, progress) => {
      tellers.push(setInterval(() => progress('still the same'), 5));
      return new Promise(() => {});
    });
    const limits = { totalMsMax: 100 };
    const asked = requestControl(path, { verb: 'failover' }, systemTimers, limits);
    await expect(asked).rejects.toMatchObject({ code: 'no-answer' });
    for (const teller of tellers) clearInterval(teller);
  });

  it('names a path that is too long for a socket', async () => {
    const long = join(dir, 'x'.repeat(120));
    await expect(serveControl(long, async () => ({}), systemTimers)).rejects.toMatchObject({
      code: 'storage',
    });
    await expect(requestControl(long, { verb: 'failover' }, systemTimers)).rejects.toThrow(
      'too long',
    );
  });
});

it('takes requests apart strictly', () => {
  expect(parseRequest('{"verb":"stop","force":false,"new":1}')).toEqual({
    verb: 'stop',
    force: false,
  });
  expect(parseRequest('{"verb":"failover-plan"}')).toEqual({ verb: 'failover-plan' });
  expect(parseRequest('{"verb":"forget"}')).toEqual({ verb: 'forget' });
  expect(parseRequest('{"verb":"set","interval":"auto","maxOverhead":5}')).toEqual({
    verb: 'set',
    interval: 'auto',
    maxOverhead: 5,
  });
  expect(parseRequest('{"verb":"set","interval":50}')).toEqual({ verb: 'set', interval: 50 });
  expect(parseRequest('{"verb":"set","interval":"soon"}')).toBeNull();
  expect(parseRequest('{"verb":"set","maxOverhead":"all"}')).toBeNull();
  expect(parseRequest('{"verb":"stop","force":"yes"}')).toBeNull();
});

describe('LineReader', () => {
  it('puts lines together from any pieces', () => {
    const reader = new LineReader(100);
    const lines = [...'one\ntwo\n\nthr'].flatMap((piece) => reader.push(Buffer.from(piece)));
    expect(lines).toEqual(['one', 'two', '']);
    expect(reader.push(Buffer.from('ee\n'))).toEqual(['three']);
  });

  it('stops at a line that is too long, whole or not', () => {
    const unfinished = new LineReader(4);
    expect(unfinished.push(Buffer.from('12345'))).toEqual([]);
    expect(unfinished.overlong).toBe(true);
    const whole = new LineReader(4);
    expect(whole.push(Buffer.from('1234\n12345\n'))).toEqual(['1234']);
    expect(whole.overlong).toBe(true);
    expect(whole.push(Buffer.from('1\n'))).toEqual([]);
  });
});
