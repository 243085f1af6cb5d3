/** A guest that cannot be paused: gone, perhaps, and nobody has said so yet. */
import { describe, expect, it } from 'vitest';
import type { stepPrimary } from '../../../src/core/primary/primary.ts';
import type { PrimaryEffect } from '../../../src/core/primary/types.ts';
import { systemClock, systemTimers } from '../../../src/host/clock.ts';
import { silentLog } from '../../../src/host/log.ts';
import { nullBuffer } from '../../../src/output/port.ts';
import { type PrimaryParts, PrimarySession } from '../../../src/session/primary/session.ts';

/** The guest has lost: what the machine orders at once, and what became of it. */
function lose(buffered: boolean): { readonly over: Promise<unknown>; readonly done: string[] } {
  const done: string[] = [];
  const config = {
    ...{ heartbeatTimeoutMs: 60_000, holdMs: 3000, buffered, pendingMax: 2, askEveryMs: 1000 },
    ...{ withoutWitness: 'backup', schedule: { kind: 'fixed', intervalMs: 200 } },
  } as const;
  const ended = { kind: 'end', outcome: { kind: 'taken-over' } } as const;
  const step: typeof stepPrimary = (state, event) => {
    const askedAtMs = event.nowMs;
    const effects: readonly PrimaryEffect[] =
      event.kind === 'link-open'
        ? [
            { kind: 'pause-guest', reason: 'the copy took over' },
            { kind: 'destroy-guest', askedAtMs },
          ]
        : [ended];
    return { state, effects };
  };
  const hypervisor = {
    pause() {
      throw new Error('cannot pause domain 7: it is gone');
    },
    destroy: async () => void done.push('destroyed'),
    info: async () => null,
    startSave: () => ({ checkpoint: () => true, read: () => 0, abort() {} }),
  };
  const parts = {
    ...{ config, step, clock: systemClock, timers: systemTimers, log: silentLog },
    ...{ guest: { uuid: 'u', id: 7 }, name: 'u', queueBytes: 1 << 20, pulse: null, spec: {} },
    ...{ output: nullBuffer, disks: [], diskEncoders: [], encoder: {}, link: {}, hypervisor },
    askFresh: () => Promise.reject(new Error('nobody to ask')),
    onChange() {},
    onPause: () => done.push('noted'),
    onDisksCopied() {},
    onForceRefused() {},
  };
  return { over: new PrimarySession(parts as unknown as PrimaryParts).run(), done };
}

describe('a guest that cannot be paused', () => {
  // Proves: a session that has lost ends as it should where its guest has gone unseen.
  it('is destroyed all the same where its output is held', async () => {
    const { over, done } = lose(true);
    expect(await over).toEqual({ kind: 'taken-over' });
    expect(done).toEqual(['noted', 'destroyed']);
  });

  // Proves: nothing else keeps it silent, so nothing goes on as if it stood still.
  it('ends the session with -n', async () => {
    const { over, done } = lose(false);
    await expect(over).rejects.toThrow('cannot pause domain 7: it is gone');
    expect(done).toEqual(['noted']);
  });
});
