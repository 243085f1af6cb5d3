/** A copy that a former session left held, when the guest is protected anew. */
import { describe, expect, it } from 'vitest';
import type { Liveness } from '../../../src/core/health/facts.ts';
import type { Answer } from '../../../src/core/vocabulary.ts';
import type { Log } from '../../../src/host/log.ts';
import type { ControlRequest } from '../../../src/registry/control.ts';
import type { Registry, SessionEntry } from '../../../src/registry/port.ts';
import type { SessionStatus } from '../../../src/registry/status.ts';
import { dismissFormer } from '../../../src/session/backup/former.ts';
import { sampleStatus } from '../../registry/sample-status.ts';

const silent = { debug() {}, info() {}, warning() {}, error() {} } as unknown as Log;

/** A registry with one session; it is gone two looks after it gave its promise. */
function bench(changes: Partial<SessionStatus>, answer: Answer, liveness: Liveness = 'alive') {
  const status = sampleStatus({
    ...{ role: 'backup', state: 'held', peer: 'hosta', without_witness: 'primary' },
    ...changes,
  });
  const entry: SessionEntry = { status, liveness, statusPath: '', socketPath: '/sock' };
  const asked: ControlRequest[] = [];
  let nowMs = 0;
  let looks = 0;
  const registry = {
    sessions: () => ({ sessions: [entry], broken: [] }),
    refreshed: () => (++looks > 2 ? null : entry),
    async request(_path: string, request: ControlRequest) {
      asked.push(request);
      return { answer };
    },
  } as unknown as Registry;
  const timers = {
    after(ms: number, run: () => void) {
      nowMs += ms;
      queueMicrotask(run);
      return () => {};
    },
    soon(run: () => void) {
      queueMicrotask(run);
      return () => {};
    },
  };
  const clock = { nowMs: () => nowMs, wall: () => new Date(0) };
  const anew = { uuid: sampleStatus().uuid, session: 'new', host: 'hosta' };
  const done = () => dismissFormer(anew, { registry, clock, timers }, silent);
  return { asked, done, looks: () => looks };
}

const promised = { kind: 'promised' } as const;

describe('a copy that is left held', () => {
  it.each(['primary', 'manual'] as const)('agreed %s, is promised and awaited', async (agreed) => {
    const { asked, done, looks } = bench({ without_witness: agreed }, promised);
    await done();
    expect(asked).toEqual([{ verb: 'ask', session: 'a1b2c3' }]);
    expect(looks()).toBe(3);
  });

  it('is not awaited where its owner promises nothing', async () => {
    const { done, looks } = bench({}, { kind: 'activating' });
    await done();
    expect(looks()).toBe(0);
  });

  it.each<[string, Partial<SessionStatus>, Liveness]>([
    ['whose primary is heard', { state: 'standby' }, 'alive'],
    ['that took over', { state: 'active' }, 'alive'],
    ['that goes on by itself', { without_witness: 'backup' }, 'alive'],
    ['of another host', { peer: 'hostc' }, 'alive'],
    ['of another guest', { uuid: '99999999-2222-3333-4444-555555555555' }, 'alive'],
    ['of this very session', { session: 'new' }, 'alive'],
    ['whose process is dead', {}, 'dead'],
    ['that is none', { role: 'primary' }, 'alive'],
  ])('is not asked about: one %s', async (_what, changes, liveness) => {
    const { asked, done } = bench(changes, promised, liveness);
    await done();
    expect(asked).toEqual([]);
  });
});
