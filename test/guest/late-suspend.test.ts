// Goal: a guest that was asked to suspend is resumed when it obeys, however late, and nobody else's
// suspend is undone. Method: a guest in words, on a clock that only the test moves.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { farewellIn, farewellText } from '../../src/guest/guard.ts';
import {
  answerMsMax,
  awaitLateSuspend,
  type LateEnd,
  soonMs,
} from '../../src/guest/late-suspend.ts';
import { systemClock as clock, systemTimers as timers } from '../../src/host/clock.ts';
import type { GuestInfo, Hypervisor } from '../../src/hypervisor/port.ts';

const ref = { uuid: '6ba7b810-9dad-11d1-80b4-00c04fd430c8', id: 3 };

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
afterEach(() => void vi.useRealTimers());

/** A guest that the test changes, and the watch over it. */
class Bench {
  state: GuestInfo['state'] = 'here';
  paused = false;
  gone = false;
  saver: string | null = null;
  resumes = 0;
  failsLeft = 0;
  isStopped = false;
  end: LateEnd | null = null;
  readonly said: string[] = [];

  constructor() {
    const hypervisor = {
      info: async () => {
        if (this.gone) return null;
        return { ref, paused: this.paused, state: this.state, end: null, memoryBytes: 0 };
      },
      resume: async () => {
        this.resumes += 1;
        if (this.failsLeft-- > 0) throw new Error('xc_domain_resume failed');
        this.state = 'here';
      },
      otherSaver: () => this.saver,
    } as unknown as Hypervisor;
    void awaitLateSuspend(
      { clock, timers, hypervisor },
      { ref, name: 'web1' },
      { say: (text) => this.said.push(text), isStopped: () => this.isStopped },
    ).then((end) => {
      this.end = end;
    });
  }
}

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

describe('a guest that obeys late', () => {
  it('is resumed at once while libxl itself would have waited', async () => {
    const bench = new Bench();
    await pass(8_000);
    bench.state = 'suspended';
    await pass(100);
    expect(bench).toMatchObject({ resumes: 1, end: 'resumed', state: 'here' });
  });

  it('minutes later is resumed, too, once it has stayed so', async () => {
    const bench = new Bench();
    await pass(soonMs + 120_000);
    bench.state = 'suspended';
    await pass(1_500);
    expect(bench.resumes).toBe(0);
    await pass(1_500);
    expect(bench.end).toBe('resumed');
  });

  it('was paused for an hour, and is waited for: paused it cannot answer', async () => {
    const bench = new Bench();
    bench.paused = true;
    await pass(3_600_000);
    expect(bench.end).toBeNull();
    bench.paused = false;
    bench.state = 'suspended';
    await pass(3_000);
    expect(bench.end).toBe('resumed');
  });

  it('is tried again where it cannot be resumed, and that is said once', async () => {
    const bench = new Bench();
    bench.failsLeft = 3;
    bench.state = 'suspended';
    await pass(1_000);
    expect(bench).toMatchObject({ resumes: 4, end: 'resumed' });
    expect(bench.said[0]).toBe('xc_domain_resume failed');
    expect(bench.said).toHaveLength(2);
  });
});

describe('the watch ends', () => {
  it('when the guest is gone or has ended', async () => {
    const gone = new Bench();
    gone.gone = true;
    const ended = new Bench();
    ended.state = 'ended';
    await pass(100);
    expect([gone.end, ended.end]).toEqual(['gone', 'gone']);
  });

  it('when the guest has run for so long that the request is lost, and not before', async () => {
    const bench = new Bench();
    await pass(answerMsMax - 10_000);
    expect(bench.end).toBeNull();
    await pass(20_000);
    expect(bench.end).toBe('unanswered');
  });

  it('when somebody else has the watch', async () => {
    const bench = new Bench();
    await pass(1_000);
    bench.isStopped = true;
    await pass(100);
    expect(bench.end).toBe('stopped');
  });
});

// Proves: xl save and its like are named, and not undone: what they write would be torn.
it('a guest that somebody else saves is left alone', async () => {
  const bench = new Bench();
  bench.saver = 'xl save (process 7)';
  bench.state = 'suspended';
  await pass(30_000);
  expect(bench.resumes).toBe(0);
  expect(bench.said).toEqual(['xl save (process 7) has domain 3 suspended: it is left alone']);
  bench.saver = null;
  await pass(1_000);
  expect(bench.end).toBe('resumed');
});

it('the words for the guard are the same on both ends of its pipe', () => {
  for (const [end, lateSuspend] of [
    [true, false],
    [false, true],
    [true, true],
  ] as const) {
    const farewell = { kind: 'watch', id: 7, duties: { end, lateSuspend } } as const;
    expect(farewellIn(farewellText(farewell))).toEqual(farewell);
  }
  for (const kind of ['done', 'stand-in'] as const) {
    expect(farewellIn(farewellText({ kind }))).toEqual({ kind });
  }
  for (const odd of ['', 'stand in', 'watch 7\n', 'watch 7 end', 'watch  late\n']) {
    expect(farewellIn(odd)).toEqual({ kind: 'none' });
  }
});
