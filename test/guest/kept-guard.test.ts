// Goal: a session is never without a guard unnoticed. Method: guards that are told to die or not to
// start, on a clock that only the test moves.
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Guard } from '../../src/guest/guard.ts';
import { KeptGuard } from '../../src/guest/kept-guard.ts';
import { systemClock as clock, systemTimers as timers } from '../../src/host/clock.ts';
import { silentLog as log } from '../../src/host/log.ts';

const ref = { uuid: '6ba7b810-9dad-11d1-80b4-00c04fd430c8', id: 1 };
const guarded = { ref, name: 'web1', session: '1', wait: true };

interface FakeGuard extends Guard {
  die(how: string): void;
  said: string[];
  beats: number[];
}

function fakeGuard(ready: Promise<void>): FakeGuard {
  const said: string[] = [];
  const beats: number[] = [];
  let die = (_how: string): void => {};
  const gone = new Promise<string>((resolve) => {
    die = resolve;
  });
  return {
    ready,
    gone,
    die,
    said,
    beats,
    beat: () => beats.push(0),
    done: () => said.push('done'),
    standIn: async () => true,
    watch: async () => said.push('watch') > 0,
  };
}

/** Starts one guard after the other: those that `fails` names reject. */
function kept(fails: readonly number[] = []) {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  const guards: FakeGuard[] = [];
  const problems: (string | null)[] = [];
  const keeper: KeptGuard = new KeptGuard({
    clock,
    timers,
    log,
    guarded,
    startGuard: () => {
      const isBad = fails.includes(guards.length);
      const ready = isBad ? Promise.reject(new Error('no memory')) : Promise.resolve();
      ready.catch(() => {});
      const guard = fakeGuard(ready);
      guards.push(guard);
      return guard;
    },
    onChange: () => problems.push(keeper.problem),
  });
  return { keeper, guards, problems };
}

afterEach(() => void vi.useRealTimers());

const turns = () => vi.advanceTimersByTimeAsync(0);

describe('a guard', () => {
  it('that dies is missed at once, and started again', async () => {
    const { keeper, guards, problems } = kept();
    await keeper.begin();
    expect(keeper.problem).toBeNull();
    guards[0]?.die('SIGKILL');
    await turns();
    const missed = 'nobody would resume the guest if this process died in a checkpoint';
    expect(problems).toEqual([`its guard died (SIGKILL): ${missed}`, null]);
    expect(guards.length).toBe(2);
    await keeper.watch(ref, { end: true, lateSuspend: false });
    expect(guards.map(({ said }) => said)).toEqual([[], ['watch']]);
  });

  it('that cannot be started again is tried for, and missed until then', async () => {
    const { keeper, guards } = kept([1, 2, 3]);
    await keeper.begin();
    guards[0]?.die('SIGKILL');
    await turns();
    expect(keeper.problem).toMatch(/^its guard died and cannot be started again \(no memory\): /);
    await vi.advanceTimersByTimeAsync(1_100);
    expect(guards.length).toBe(3);
    await vi.advanceTimersByTimeAsync(1_100);
    expect(guards.length).toBe(3);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(guards.length).toBe(4);
    await vi.advanceTimersByTimeAsync(4_100);
    expect(guards.length).toBe(5);
    expect(keeper.problem).toBeNull();
  });

  it('that dies again and again is not started again and again at once', async () => {
    const { keeper, guards } = kept();
    await keeper.begin();
    for (let at = 0; at < 4; at += 1) {
      guards.at(-1)?.die('exit code 1');
      await turns();
    }
    expect(guards.length).toBe(2);
    expect(keeper.problem).not.toBeNull();
    await vi.advanceTimersByTimeAsync(1_100);
    expect(guards.length).toBe(3);
    expect(keeper.problem).toBeNull();
  });

  it('hears that protect moves, until it is told what to do then', async () => {
    const { keeper, guards } = kept();
    await keeper.begin();
    await vi.advanceTimersByTimeAsync(5_500);
    expect(guards[0]?.beats.length).toBe(5);
    keeper.done();
    await vi.advanceTimersByTimeAsync(5_500);
    expect(guards[0]?.beats.length).toBe(5);
  });

  it('that goes because it was told to is not missed', async () => {
    const { keeper, guards } = kept();
    await keeper.begin();
    keeper.done();
    guards[0]?.die('exit code 0');
    await vi.advanceTimersByTimeAsync(100_000);
    expect(guards.length).toBe(1);
    expect(keeper.problem).toBeNull();
  });

  it('that does not start at all is an error', async () => {
    const { keeper } = kept([0]);
    await expect(keeper.begin()).rejects.toThrow('the guard did not start: no memory');
  });
});
