/** The copy on the backup, over an operation that a test plays. */
import { expect, it } from 'vitest';
import { OperationError } from '../../../src/host/errors.ts';
import type { Log } from '../../../src/host/log.ts';
import type { GuestSpec, Hypervisor, StreamPosition } from '../../../src/hypervisor/port.ts';
import { Copy } from '../../../src/session/backup/copy.ts';

function copyOf(feed: () => StreamPosition): Copy {
  const hypervisor = { startRestore: () => ({ feed }) } as unknown as Hypervisor;
  return new Copy({
    hypervisor,
    spec: { name: 'web1', uuid: '6a7b' } as unknown as GuestSpec,
    clock: { nowMs: () => 0 },
    log: { info() {} } as unknown as Log,
    queueBytesMax: 1024,
    epochBytesMax: 1024,
    onFailed() {},
    onRunning() {},
  });
}

// Proves: a copy that is being discarded, or whose libxl failed just now, makes no torn epoch of
// the one that was on its way: that would be told to the primary in place of what happened.
it('forgets an epoch while it ends, and says that it does not count', () => {
  let isEnding = false;
  const position = { bytes: 5, epochs: 1, epochEnd: 5, atBoundary: true };
  const copy = copyOf(() => {
    if (isEnding) throw new OperationError('aborted', 'the session is ending', { op: 'feed' });
    return position;
  });
  copy.feed(Buffer.alloc(5));
  expect(copy.whole(0)).toBe(true);
  isEnding = true;
  copy.feed(Buffer.alloc(5));
  expect(copy.whole(1)).toBe(false);
});

// Proves: one that does not end holds the stream to its epochs.
it('takes no torn epoch', () => {
  const copy = copyOf(() => ({ bytes: 5, epochs: 0, epochEnd: 0, atBoundary: false }));
  copy.feed(Buffer.alloc(5));
  expect(() => copy.whole(0)).toThrow('epoch 0 does not end with CHECKPOINT_END');
});
