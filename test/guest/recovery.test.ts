/** What becomes of a guest whose session died, when the backup's answer is old, or changes. */
import { describe, expect, it } from 'vitest';
import type { Answer, Answered } from '../../src/core/vocabulary.ts';
import type { Guard } from '../../src/guest/guard.ts';
import { Recovery, type RecoveryPorts } from '../../src/guest/recovery.ts';
import type { GuestInfo, Hypervisor } from '../../src/hypervisor/port.ts';
import { nullBuffer } from '../../src/output/port.ts';
import type { Registry } from '../../src/registry/port.ts';
import { deadOwner, sampleStatus } from '../registry/sample-status.ts';

const plain = { force: false, destroy: false };
const status = sampleStatus({ ...deadOwner(), heartbeat_timeout_ms: 1_000, watch: false });

/**
 * Answers `kinds` in turn, each so long after the question; to drop what is held takes so long.
 */
function trial(
  kinds: readonly Answer['kind'][],
  ageMs: number,
  dropMs: number,
  isHere = true,
  state: GuestInfo['state'] = 'here',
) {
  const done: string[] = [];
  let nowMs = 10_000;
  let asked = 0;
  const hypervisor = {
    info: async () => (isHere ? { paused: false, state } : null),
    destroy: async () => void done.push('destroy'),
    resume: async () => void done.push('resume'),
  } as unknown as Hypervisor;
  const ports = {
    clock: { nowMs: () => nowMs, wall: () => new Date() },
    hypervisor: async () => hypervisor,
    async askBackup(): Promise<Answered> {
      const kind = kinds[Math.min(asked, kinds.length - 1)];
      if (kind === undefined) throw new Error('no route to host');
      asked += 1;
      done.push(`ask: ${kind}`);
      return { answer: { kind }, askedAtMs: nowMs - ageMs };
    },
    leftOutput: async () => ({
      ...nullBuffer,
      async drop() {
        done.push('drop');
        nowMs += dropMs;
        dropMs = 0; // what is down is down
      },
      async open() {
        done.push('open');
      },
    }),
  } as unknown as RecoveryPorts;
  return { done, ports, settle: (order = plain) => new Recovery(ports).settle(status, order) };
}

describe('a guest that a dead session left suspended', () => {
  // Proves: whoever clears up does what the guard did not live to do, and not without leave.
  it('is resumed with the promise, and not without it', async () => {
    const promised = trial(['promised'], 100, 0, true, 'suspended');
    expect((await promised.settle()).outcome.kind).toBe('stopped');
    expect(promised.done).toContain('resume');
    const unknown = trial(['activating'], 100, 0, true, 'suspended');
    expect((await unknown.settle()).outcome.kind).toBe('held');
    expect(unknown.done).not.toContain('resume');
  });
});

describe('a guest that stays held', () => {
  /** `tsremus stop` where nobody answers: `watcher` is who watches the guest, the guard does so. */
  async function stopped(watcher: number | null, standsIn = true) {
    const began: string[] = [];
    const guard: Partial<Guard> = {
      ready: Promise.resolve(),
      standIn: async () => standsIn,
    };
    const { ports } = trial([], 0, 0);
    const recovery = new Recovery({
      ...ports,
      registry: { watcherOf: () => watcher } as unknown as Registry,
      startGuard: ({ session, wait }) => {
        began.push(`${session} ${wait}`);
        return guard as Guard;
      },
    });
    return { result: await recovery.stop(status, plain), began };
  }

  // Proves: where its guard died, too, nobody else would resume it if it is suspended.
  it('gets a guard that stands in, where it has none', async () => {
    const { result, began } = await stopped(null);
    expect(result.outcome.kind).toBe('held');
    expect(result.detail).toBeUndefined();
    expect(began).toEqual([`${status.session} false`]);
    expect((await stopped(4711)).began).toEqual([]);
  });

  it('is said to have none when that cannot be', async () => {
    const { result } = await stopped(null, false);
    expect(result.outcome.kind).toBe('held');
    expect(result.detail).toMatch(/^nobody resumes it if it is suspended: /);
  });
});

describe('a guest whose copy took over', () => {
  it.each(['running', 'ended'] as const)('is destroyed on `%s`', async (kind) => {
    const { done, settle } = trial([kind], 4_999, 0);
    expect((await settle()).outcome).toEqual({ kind: 'taken-over' });
    expect(done).toEqual([`ask: ${kind}`, 'drop', 'destroy']);
  });

  // Proves: E1. To drop what is held may take its time, and the answer is old news then.
  it('is asked about again when the answer has become too old', async () => {
    const { done, settle } = trial(['running'], 100, 5_000);
    expect((await settle()).outcome).toEqual({ kind: 'taken-over' });
    expect(done).toEqual(['ask: running', 'drop', 'ask: running', 'drop', 'destroy']);
  });

  it('is kept when it is not there any more by then', async () => {
    const { done, settle } = trial(['running', 'absent'], 100, 5_000);
    expect((await settle()).outcome).toMatchObject({ kind: 'held', found: 'absent' });
    expect(done).not.toContain('destroy');
  });

  it('is kept when every answer is too old', async () => {
    const { done, settle } = trial(['running'], 5_000, 0);
    const result = await settle();
    expect(result.outcome).toMatchObject({ kind: 'held' });
    expect(result.next?.join('\n')).not.toContain('--force-unsafe');
    expect(done).toEqual(['ask: running', 'ask: running']);
  });

  it('is told to be without a network when it goes on after all', async () => {
    const { done, settle } = trial(['running', 'promised'], 100, 5_000);
    const result = await settle();
    expect(result.outcome).toMatchObject({ kind: 'stopped' });
    expect(result.text).toMatch(/its interfaces were taken down/);
    expect(done).not.toContain('destroy');
  });

  // Proves: a guest that is gone, nobody knows why, is not said to have ended by itself.
  it('may be why it is not here any more', async () => {
    const { text, outcome } = await trial([], 0, 0, false).settle();
    expect(outcome.kind).toBe('guest-ended');
    expect(text).toBe('web1 is not on this host any more: it ended, or its copy runs on hostb');
  });

  it('and is gone there is left to a person: both hosts, and what to type', async () => {
    const { done, settle } = trial(['absent'], 0, 0);
    const result = await settle();
    expect(result.outcome).toMatchObject({ kind: 'held', found: 'absent' });
    expect(result.next).toEqual([
      'ssh -t hostb tsremus stop --lost web1  # if it will not run there again',
      'tsremus stop web1  # asks hostb once more',
      'tsremus stop --destroy web1  # drops what is held, destroys the guest',
    ]);
    expect(done).toEqual(['ask: absent']);
  });
});

describe('a word of the administrator', () => {
  const forced = { force: true, destroy: false };

  // Proves: E2. Whoever answers need not be vouched for.
  it.each([
    [['promised'], 'stopped'],
    [['running'], 'taken-over'],
    [['activating'], 'held'],
    [['absent'], 'held'],
    [['unknown'], 'stopped'],
    [[], 'stopped'],
  ] as const)('after the answer %j: %s', async (kinds, outcome) => {
    const { done, settle } = trial(kinds, 0, 0);
    expect((await settle(forced)).outcome.kind).toBe(outcome);
    expect(done.includes('open')).toBe(outcome === 'stopped');
  });
});
