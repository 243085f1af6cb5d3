/** A record that can neither be written nor read: the backup's session waits mute. */
import { expect, it } from 'vitest';
import type { OwnPermission } from '../../../src/core/backup/types.ts';
import { systemClock, systemTimers } from '../../../src/host/clock.ts';
import type { Log } from '../../../src/host/log.ts';
import type { ControlMessage } from '../../../src/link/link.ts';
import { BackupSession } from '../../../src/session/backup/session.ts';

const silent = { debug() {}, info() {}, warning() {}, error() {} } as unknown as Log;
const timing = { heartbeatTimeoutMs: 60_000, holdMs: 100, buffered: true };
const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** A session that holds epoch 0 and whose primary asks; `disk` is what its record lives on. */
function session() {
  const sent: ControlMessage[] = [];
  const disk = { says: 'standby' as OwnPermission, reads: 0, isReadable: false };
  const backup = new BackupSession({
    lacks: async () => [],
    clock: systemClock,
    timers: systemTimers,
    config: { ...timing, withoutWitness: 'backup', parts: ['memory'] },
    copy: {
      commit() {},
      lastEpoch: 0,
      build: async () => {},
      unpause: async () => {},
      discard: async () => {},
    },
    disks: [],
    record: {
      // The step is taken, and then the disk fails: that is what must not be overlooked.
      move: async (_from, to) => {
        disk.says = to;
        throw new Error('EIO: i/o error, fsync');
      },
      noteBuilt: async () => {},
      read: async () => {
        disk.reads += 1;
        if (!disk.isReadable) throw new Error('EIO: i/o error, read');
        return disk.says;
      },
      noteRunning: async () => {},
    },
    send: (message) => sent.push(message),
    closeLink() {},
    log: silent,
    onChange() {},
  });
  void backup.run();
  backup.onEpochWhole('memory', 0);
  return { backup, sent, disk };
}

// Proves: a decision that may have been taken is never passed over; nothing is acknowledged after
// it, and nobody gets an answer, until the record can be read.
it('is asked until it answers, and nothing is acknowledged meanwhile', async () => {
  const { backup, sent, disk } = session();
  const acks = () => sent.filter(({ kind }) => kind === 'ack').length;
  expect(acks()).toBe(1);
  backup.onAsk(1);
  while (disk.reads === 0) await sleep(5);
  backup.onEpochWhole('memory', 1);
  await sleep(50);
  expect(acks()).toBe(1);
  expect(sent.some(({ kind }) => kind === 'answer')).toBe(false);
  disk.isReadable = true;
  while (!sent.some(({ kind }) => kind === 'answer')) await sleep(5);
  expect(sent.find(({ kind }) => kind === 'answer')).toMatchObject({
    answer: { kind: 'promised' },
  });
  expect(acks()).toBe(1);
});
