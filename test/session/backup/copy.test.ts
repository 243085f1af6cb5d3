/** The copy on the backup, over an operation that a test plays. */
import { expect, it } from 'vitest';
import { OperationError } from '../../../src/host/errors.ts';
import type { Log } from '../../../src/host/log.ts';
import type {
  GuestSpec,
  Hypervisor,
  RestoreOptions,
  StreamPosition,
} from '../../../src/hypervisor/port.ts';
import { Copy } from '../../../src/session/backup/copy.ts';

function copyOf(feed: () => StreamPosition): Copy {
  return copyOn({ startRestore: () => ({ feed }) } as unknown as Hypervisor);
}

function copyOn(hypervisor: Hypervisor): Copy {
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

/** A copy that waits, on a hypervisor that builds at once; and what was asked of that. */
function waiting(there: string, uuid = '6a7b') {
  const asked: string[] = [];
  const hypervisor = {
    find: async (name: string) => (name === there ? { id: 7, uuid } : null),
    async rename(_ref: unknown, from: string, to: string) {
      asked.push(`${from} is ${to}`);
    },
    startRestore: (_spec: unknown, { onEvent }: RestoreOptions) => ({
      finish() {
        asked.push('end of file');
        onEvent({ kind: 'built', copy: { id: 7, uuid } });
      },
    }),
  } as unknown as Hypervisor;
  return { copy: copyOn(hypervisor), asked };
}

// Proves: the scripts of the copy's devices, which run after end-of-file, find the guest's name.
it('gives the copy its name, and then ends the stream', async () => {
  const { copy, asked } = waiting('web1--incoming');
  await copy.build();
  expect(asked).toEqual(['web1--incoming is web1', 'end of file']);
  expect(copy.guest).toEqual({ id: 7, uuid: '6a7b' });
});

// Proves: another domain is given no name of ours, and nothing is built of what is not there.
it.each([
  ['of another guest', 'web1--incoming', 'other'],
  ['gone', 'web2--incoming', '6a7b'],
] as const)('builds nothing where what waited is %s', async (_what, there, uuid) => {
  const { copy, asked } = waiting(there, uuid);
  await expect(copy.build()).rejects.toThrow('there is no web1--incoming any more');
  expect(asked).toEqual([]);
});
