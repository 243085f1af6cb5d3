// Goal: a protect that is stopped in a checkpoint is ended and its guest let run, but only with the
// backup's promise. Method: ports in words, on a clock that only the test moves.
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { beatMs, type StoppedPorts, watchProtect } from '../../src/guest/stopped-protect.ts';
import { systemClock as clock, systemTimers as timers } from '../../src/host/clock.ts';
import type { SessionStatus } from '../../src/registry/status.ts';

const ref = { uuid: '6ba7b810-9dad-11d1-80b4-00c04fd430c8', id: 3 };
const watched = { ref, name: 'web1', session: 's1' };
const status = {
  ...{ role: 'primary', uuid: ref.uuid, session: 's1', outcome: null },
  ...{ pid: 77, pid_start: 5, boot_id: 'b' },
} as unknown as SessionStatus;

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
afterEach(() => void vi.useRealTimers());

class Bench {
  isSuspended = true;
  beats = 0;
  isOver = false;
  /** Why the guest may not go on; null: it may. */
  news: string | null = null;
  session: SessionStatus = status;
  dies = true;
  readonly did: string[] = [];
  amended: Partial<SessionStatus> | null = null;
  #isAlive = true;

  constructor() {
    const ports = {
      ...{ clock, timers },
      hypervisor: { info: async () => ({ state: this.isSuspended ? 'suspended' : 'here' }) },
      registry: {
        sessions: () => ({
          sessions: [{ status: this.session, liveness: this.#isAlive ? 'alive' : 'dead' }],
          broken: [],
        }),
        amend: (_which: unknown, change: (one: SessionStatus) => SessionStatus) => {
          this.amended = change(this.session);
        },
      },
      processes: {
        signal: (id: object, signal: string) => {
          this.did.push(`${signal} ${JSON.stringify(id)}`);
          if (this.dies) this.#isAlive = false;
        },
        state: () => (this.#isAlive ? 'alive' : 'dead'),
      },
      leftovers: {
        mayGoOn: async () => {
          this.did.push('asked');
          return this.news;
        },
        of: async () => this.session,
        settle: async () => {
          this.did.push('settled');
          return { outcome: { kind: 'stopped', by: 'command' } };
        },
      },
      openLog: () => ({ info() {}, warning() {}, error() {}, close() {} }),
    } as unknown as StoppedPorts;
    const heard = { beats: () => this.beats, isOver: () => this.isOver };
    void watchProtect(ports, watched, heard);
  }
}

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

it('one that is stopped in a checkpoint is ended, and its guest let run', async () => {
  const bench = new Bench();
  await pass(9_000);
  expect(bench.did).toEqual([]);
  await pass(3_000);
  const id = '{"pid":77,"startTicks":5,"bootId":"b"}';
  expect(bench.did).toEqual(['asked', `SIGKILL ${id}`, 'settled']);
  expect(bench.amended).toMatchObject({ state: 'unprotected', outcome: 'unprotected' });
  expect(bench.amended?.reason).toContain('process 77 did not move');
});

// Proves: G1, each half of it.
it.each(['moves', 'runs its guest'])('one that %s is left alone', async (which) => {
  const bench = new Bench();
  if (which === 'runs its guest') bench.isSuspended = false;
  for (let second = 0; second < 60; second += 1) {
    await pass(beatMs);
    if (which === 'moves' && second % 3 === 0) bench.beats += 1;
  }
  expect(bench.did).toEqual([]);
});

// Proves: G2; the backup is asked again, and what was refused may be given.
it('without a promise nothing is touched', async () => {
  const bench = new Bench();
  bench.news = 'the copy took over';
  await pass(30_000);
  expect(new Set(bench.did)).toEqual(new Set(['asked']));
  expect(bench.did.length).toBeGreaterThan(2);
  bench.news = null;
  await pass(6_000);
  expect(bench.did.at(-1)).toBe('settled');
});

// Proves: G3: nothing of a process that does not die, or of a session that was decided.
it('what is left of one that does not die is not touched', async () => {
  const bench = new Bench();
  bench.dies = false;
  await pass(60_000);
  expect(bench.did).toContain('asked');
  expect(bench.did).not.toContain('settled');
  const decided = new Bench();
  decided.session = { ...status, outcome: 'stopped' } as SessionStatus;
  await pass(60_000);
  expect(decided.did).toEqual([]);
});

it('one that says farewell is watched no more', async () => {
  const bench = new Bench();
  await pass(5_000);
  bench.isOver = true;
  await pass(60_000);
  expect(bench.did).toEqual([]);
});
