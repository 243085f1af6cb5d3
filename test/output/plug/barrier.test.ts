/** What a session and its output buffer owe each other: barriers, figures, and the end. */
import { expect, it } from 'vitest';
import { judge } from '../../../src/core/health/health.ts';
import { heldBack } from '../../../src/core/outcomes.ts';
import { systemClock, systemTimers } from '../../../src/host/clock.ts';
import { silentLog } from '../../../src/host/log.ts';
import type { Hypervisor, SaveEvent, SaveOptions } from '../../../src/hypervisor/port.ts';
import { openForGood } from '../../../src/output/open.ts';
import { nullBuffer, type OutputBuffer } from '../../../src/output/port.ts';
import { mutedText } from '../../../src/session/primary/facts.ts';
import { type PrimaryParts, PrimarySession } from '../../../src/session/primary/session.ts';
import { sampleStatus } from '../../registry/sample-status.ts';

interface Trial {
  readonly session: PrimarySession;
  /** What the save was started with. */
  readonly given: unknown;
}

/** Runs a session until its link ends in the seed. */
async function trial(
  buffered: boolean,
  output: OutputBuffer,
  whileRunning: (session: PrimarySession) => void = () => {},
): Promise<Trial> {
  let given: unknown = 'never started';
  let say: (event: SaveEvent) => void = () => {};
  const hypervisor = {
    info: async () => null,
    startSave: (_guest: unknown, { barriers, onEvent }: SaveOptions) => {
      given = barriers;
      say = onEvent;
      return {
        checkpoint: () => false,
        read: () => 0,
        abort: () => say({ kind: 'ended', end: { kind: 'aborted', left: 'runs' } }),
      };
    },
  };
  const link = { send: () => true, fail() {}, close: async () => {} };
  const parts = {
    config: {
      ...{ heartbeatTimeoutMs: 1000, holdMs: 3000, buffered, pendingMax: 2, askEveryMs: 1000 },
      withoutWitness: 'backup' as const,
      schedule: { kind: 'fixed', intervalMs: 200 },
    },
    ...{ clock: systemClock, timers: systemTimers, guest: { uuid: 'u', id: 7 }, name: 'u' },
    ...{ queueBytes: 1 << 20, saveHelper: 'own' as const, log: silentLog, pulse: null },
    output,
    disks: [],
    diskEncoders: [],
    spec: {} as PrimaryParts['spec'],
    hypervisor: hypervisor as unknown as Hypervisor,
    link: link as unknown as PrimaryParts['link'],
    encoder: {} as PrimaryParts['encoder'],
    askFresh: () => Promise.reject(new Error('nobody to ask')),
    onChange() {},
    onPause() {},
    onDisksCopied() {},
    onForceRefused() {},
  } satisfies PrimaryParts;
  const session = new PrimarySession(parts);
  const running = session.run();
  whileRunning(session);
  session.onLinkClosed('end of the test');
  await running;
  return { session, given };
}

// Proves: the buffer that holds the output is the one that the save seals. A session that started
// its save without it let every frame out unacknowledged, and said that it was protected.
it('sets its barriers in its output buffer', async () => {
  expect((await trial(true, { ...nullBuffer, barrier: 42 })).given).toEqual([42]);
  expect((await trial(false, nullBuffer)).given).toEqual([]);
});

// Proves: the scheduler hears what waits, so that `auto` hurries for it and a full buffer asks for
// a checkpoint.
it('hears from its output buffer how much waits', async () => {
  const held = { packets: 7, bytes: 4321, dropped: 0, nearLimit: true };
  const output: OutputBuffer = { ...nullBuffer, listen: (listener) => listener(held) };
  await trial(true, output, ({ state }) => {
    expect(state.output).toEqual({ packets: 7, bytes: 4321, nearLimit: true });
  });
});

// Proves: what others let out of the buffer reaches the machine, which does not call it protected
// before a copy knows of it; what they did without letting anything out is only shown.
it('hears from its output buffer what was lost', async () => {
  for (const escaped of [false, true]) {
    const loss = {
      kind: 'lost',
      name: 'vif7.0',
      reason: 'its filter was removed',
      escaped,
    } as const;
    const output: OutputBuffer = { ...nullBuffer, onLoss: (listener) => listener(loss) };
    await trial(true, output, ({ state }) => {
      const unheld = { reason: 'vif7.0: its filter was removed', epoch: 1 };
      expect(state.unheld).toEqual(escaped ? unheld : null);
    });
  }
});

// Proves: a buffer that could not be opened at an end with permission is no end in order: it is
// held, with the permission written down, and so not CRITICAL in silence but with a way out.
it('knows when its output buffer could not be opened', async () => {
  const output: OutputBuffer = { ...nullBuffer, open: () => Promise.reject(new Error('busy')) };
  const { session } = await trial(true, output);
  expect(session.unopened).toBe('busy');
  const { outcome } = session.state;
  if (outcome === null) throw new Error('no outcome');
  expect(outcome.kind).toBe('never-protected');
  expect(heldBack(outcome, session.unopened)).toEqual({
    ...{ kind: 'held', reason: 'busy', mayOpen: true },
  });
  expect(heldBack(outcome, (await trial(true, nullBuffer)).session.unopened)).toBe(outcome);
});

// Proves: what a guest that has ended still holds is in nobody's way; a guest that lives keeps it.
it('throws away what cannot be let out of a guest that has ended', async () => {
  const calls: string[] = [];
  const output: OutputBuffer = {
    ...nullBuffer,
    open: () => Promise.reject(new Error('busy')),
    drop: async () => void calls.push('drop'),
  };
  const say = (text: string) => calls.push(text);
  expect(await openForGood(output, true, say)).toBeNull();
  expect(await openForGood(output, false, say)).toBe('busy');
  expect(calls).toEqual(['busy', 'drop', 'busy']);
});

// Proves: status says what to type, and does not claim that the backup has to be asked.
it('says in status that only the buffer is in the way', () => {
  const changes = { state: 'held', outcome: 'held', may_open: true, reason: 'busy' } as const;
  const { level, reason, next } = judge(sampleStatus(changes), 'dead', 0);
  expect(level).toBe('critical');
  expect(reason).toBe('its output buffer could not be removed: busy');
  expect(next).toEqual(['tsremus stop web1  # tries again; it may go on here']);
});

// Proves: an interface that was plugged in later and is blocked makes the session a warning, which
// names it.
it('is a warning while an interface is blocked', () => {
  const held = { packets: 0, bytes: 0, dropped: 0, nearLimit: false };
  const late = { ...held, name: 'vif7.1', state: 'blocked' as const };
  const degraded = mutedText('web1', [{ ...held, name: 'vif7.0', state: 'protected' }, late]);
  const { level, reason } = judge(sampleStatus({ degraded }), 'alive', 0);
  expect(level).toBe('warning');
  expect(reason).toMatch(/^blocked: vif7.1 came while web1 was protected/);
  const open = mutedText('web1', [late, { ...late, name: 'vif7.2', state: 'open' }]);
  expect(open).toMatch(/^open: vif7.2 came while web1 was protected: what it sends is not held/);
  expect(mutedText('web1', [{ ...late, state: 'gone' }])).toBeNull();
});

// Proves: so does one whose buffer somebody took apart, as long as it is mute, and why it still is.
it('is a warning while an interface is lost', () => {
  const held = { packets: 0, bytes: 0, dropped: 0, nearLimit: false };
  const reason = 'its filter was removed; tc says: busy';
  const lost = { ...held, name: 'vif7.1', state: 'lost' as const, reason };
  const degraded = mutedText('web1', [lost]);
  const verdict = judge(sampleStatus({ degraded }), 'alive', 0);
  expect(verdict.level).toBe('warning');
  expect(verdict.reason).toBe(
    'lost: what holds vif7.1 (its filter was removed; tc says: busy) was taken apart: ' +
      'web1 is mute there until it is made anew',
  );
});
