/** What a backup's session does around the build of its copy, in this order. */
import { expect, it } from 'vitest';
import type { BackupDisk } from '../../../src/disk/port.ts';
import { systemClock, systemTimers } from '../../../src/host/clock.ts';
import { silentLog } from '../../../src/host/log.ts';
import { BackupSession } from '../../../src/session/backup/session.ts';

const timing = { heartbeatTimeoutMs: 300, holdMs: 100, buffered: true };
const bridge = { what: 'the bridge xenbr1 is not there', advice: 'ip link add' };

interface Case {
  readonly lacks?: boolean;
  readonly isNoteLost?: boolean;
}

/** A session that holds epoch 0, and hears nothing more: it takes over. */
function silent({ lacks = false, isNoteLost = false }: Case = {}) {
  const deeds: string[] = [];
  const did = async (what: string) => void deeds.push(what);
  const disk = {
    name: 'xvda',
    listen() {},
    commit() {},
    rollBack: () => did('roll back'),
    settle: () => did('settle'),
  } as unknown as BackupDisk;
  const answers: unknown[] = [];
  const session = new BackupSession({
    lacks: async () => (lacks ? [bridge] : []),
    clock: systemClock,
    timers: systemTimers,
    config: { ...timing, withoutWitness: 'backup', parts: ['memory', 'xvda'] },
    copy: {
      commit() {},
      lastEpoch: 0,
      build: () => did('build'),
      unpause: () => did('unpause'),
      discard: () => did('discard'),
    },
    disks: [disk],
    record: {
      move: async (_from, to) => {
        deeds.push(to);
        return to;
      },
      noteBuilt: async () => {
        deeds.push('note built');
        if (isNoteLost) throw new Error('EIO: i/o error');
      },
      read: async () => 'standby',
      noteRunning: () => did('note running'),
    },
    send: (message) => {
      if (message.kind === 'answer') answers.push(message.answer.kind);
    },
    closeLink() {},
    log: silentLog,
    onChange() {},
  });
  const done = session.run();
  session.onEpochWhole('memory', 0);
  session.onEpochWhole('xvda', 0);
  return { session, done, deeds, answers };
}

// Proves: what was not committed goes from the disks before anything is built on them; that the
// copy is built is noted before it is active, and held up by nothing that keeps the note away.
it.each([false, true])(
  'builds, notes and lets run in order (the note is lost: %s)',
  async (lost) => {
    const { done, deeds } = silent({ isNoteLost: lost });
    await done;
    const built = ['roll back', 'settle', 'build', 'note built'];
    expect(deeds).toEqual(['activating', ...built, 'active', 'unpause', 'note running']);
  },
);

// Proves: a primary that asks, either way, is not kept waiting for what a copy lacks that it can do
// without; the copy goes, with what its disks had not committed, and who asks again has a promise.
it.each(['link', 'fresh'] as const)('gives up a copy that lacks something for %s', async (way) => {
  const { session, done, deeds, answers } = silent({ lacks: true });
  while (session.lacks.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  if (way === 'link') session.onAsk(1);
  else void session.askFresh().then((answer) => answers.push(answer?.kind));
  await done;
  while (answers.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(answers[0]).toBe('activating');
  expect(deeds).toEqual([
    ...['activating', 'roll back', 'settle'],
    ...['discard', 'roll back', 'promised'],
  ]);
  expect(await session.askFresh()).toEqual({ kind: 'promised' });
});
