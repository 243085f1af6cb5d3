/** That a session's checkpoints set their barriers in its own output buffer. */
import { expect, it } from 'vitest';
import type { PrimaryParts } from '../../src/engine/primary-parts.ts';
import { PrimarySession } from '../../src/engine/primary-session.ts';
import { silentLog } from '../../src/host/log.ts';
import { nullBuffer } from '../../src/network/output-buffer.ts';
import type { Hypervisor, SaveEvent } from '../../src/xen/hypervisor.ts';

/** Runs a session until its link ends in the seed; the answer is what the save was started with. */
async function barrierOf(buffered: boolean, barrier: number | null): Promise<unknown> {
  let given: unknown = 'never started';
  let say: (event: SaveEvent) => void = () => {};
  const xen = {
    info: async () => null,
    startSave: (_domid: number, _limit: number, handle: unknown, onEvent: typeof say) => {
      given = handle;
      say = onEvent;
      return {
        checkpoint: () => false,
        read: () => 0,
        abort: () => say({ kind: 'ended', end: { kind: 'aborted' } }),
      };
    },
  };
  const link = { send: () => true, fail() {}, close: async () => {} };
  const parts = {
    config: {
      ...{ heartbeatTimeoutMs: 1000, holdMs: 3000, buffered, pendingMax: 2, askEveryMs: 1000 },
      schedule: { kind: 'fixed', intervalMs: 200 },
    },
    ...{ domid: 7, queueBytes: 1 << 20, log: silentLog, pulse: null },
    output: { ...nullBuffer, barrier },
    xen: xen as unknown as Hypervisor,
    link: link as unknown as PrimaryParts['link'],
    encoder: {} as PrimaryParts['encoder'],
    askFresh: () => Promise.reject(new Error('nobody to ask')),
    onChange() {},
    onPause() {},
  } satisfies PrimaryParts;
  const session = new PrimarySession(parts);
  const running = session.run();
  session.onLinkClosed('end of the test');
  await running;
  return given;
}

// Proves: the buffer that holds the output is the one that the save seals. A session that started
// its save without it let every frame out unacknowledged, and said that it was protected.
it('sets its barriers in its output buffer', async () => {
  expect(await barrierOf(true, 42)).toBe(42);
  expect(await barrierOf(false, null)).toBe(null);
});
