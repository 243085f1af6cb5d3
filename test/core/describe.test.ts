/** Every event and effect has words: short, on one line, without a final stop. */
import { describe, expect, it } from 'vitest';
import type { BackupEffect, BackupEvent } from '../../src/core/backup/types.ts';
import {
  describeBackupEffect,
  describeBackupEvent,
  describePrimaryEffect,
  describePrimaryEvent,
} from '../../src/core/describe.ts';
import { defaultSchedule } from '../../src/core/limits.ts';
import type { PrimaryEffect, PrimaryEvent } from '../../src/core/primary/types.ts';

const nowMs = 0;
const reason = 'end of stream';
const promised = { kind: 'promised' } as const;

const primaryEvents: readonly (readonly [PrimaryEvent, string])[] = [
  [{ kind: 'tick', nowMs }, 'tick'],
  [{ kind: 'echo', seq: 4, nowMs }, 'echo 4'],
  [{ kind: 'ack', epoch: 7, nowMs }, 'ack 7'],
  [{ kind: 'drained', epoch: 2, pauseMs: 4, pages: 9, nowMs }, 'drained 2'],
  [{ kind: 'progress', nowMs }, 'progress'],
  [
    { kind: 'output', packets: 3, bytes: 200, nearLimit: false, nowMs },
    'output 3 packets, 200 bytes',
  ],
  [
    { kind: 'output', packets: 3, bytes: 200, nearLimit: true, nowMs },
    'output 3 packets, 200 bytes, near the limit',
  ],
  [
    { kind: 'set-schedule', schedule: { kind: 'fixed', intervalMs: 50 }, nowMs },
    'set-schedule every 50 ms',
  ],
  [
    { kind: 'set-schedule', schedule: defaultSchedule, nowMs },
    'set-schedule auto, 20 to 1000 ms, overhead at most 20 %',
  ],
  [{ kind: 'output-lost', reason: 'vif1.0', nowMs }, 'output-lost (vif1.0)'],
  [{ kind: 'disk-lost', reason: 'xvda', nowMs }, 'disk-lost (xvda)'],
  [{ kind: 'disk-filling', nowMs }, 'disk-filling'],
  [{ kind: 'link-closed', reason, nowMs }, 'link-closed (end of stream)'],
  [{ kind: 'answer', id: 2, answer: promised, nowMs }, 'answer 2: promised'],
  [{ kind: 'ask-failed', id: 2, reason, nowMs }, 'ask-failed 2 (end of stream)'],
  [{ kind: 'stop', force: true, by: 'sigint', nowMs }, 'stop by sigint, forced'],
];

const primaryEffects: readonly (readonly [PrimaryEffect, string])[] = [
  [{ kind: 'send-heartbeat', seq: 1, heldMs: 0 }, 'heartbeat 1'],
  [{ kind: 'release', epoch: 3 }, 'release ..3'],
  [{ kind: 'ask-promise', id: 1, way: 'fresh' }, 'ask 1 (fresh)'],
  [{ kind: 'pause-guest', reason }, 'pause-guest (end of stream)'],
  [{ kind: 'open-buffer' }, 'open-buffer'],
];

const backupEvents: readonly (readonly [BackupEvent, string])[] = [
  [{ kind: 'tick', stalledMs: 0, nowMs }, 'tick'],
  [{ kind: 'tick', stalledMs: 12.4, nowMs }, 'tick (stalled 12 ms)'],
  [{ kind: 'ask', way: 'link', token: 3, nowMs }, 'ask #3 (link)'],
  [{ kind: 'record', permission: 'active', nowMs }, 'record says active'],
  [{ kind: 'discard-failed', reason, nowMs }, 'discard-failed (end of stream)'],
];

const write = {
  kind: 'write-record',
  from: 'standby',
  to: 'promised',
  epoch: 4,
  why: 'it was asked',
};

const backupEffects: readonly (readonly [BackupEffect, string])[] = [
  [{ kind: 'send-ack', epoch: 4 }, 'ack 4'],
  [write as BackupEffect, 'record standby -> promised, epoch 4 (it was asked)'],
  [{ kind: 'answer', way: 'link', token: 3, answer: promised }, 'answer #3 (link): promised'],
  [{ kind: 'failover-answer', token: 3, refused: null }, 'failover #3: started'],
  [{ kind: 'failover-answer', token: 3, refused: 'no' }, 'failover #3: no'],
];

describe('words', () => {
  it.each(primaryEvents)("of the primary's event $kind", (event, words) => {
    expect(describePrimaryEvent(event)).toBe(words);
  });

  it.each(primaryEffects)("of the primary's effect $kind", (effect, words) => {
    expect(describePrimaryEffect(effect)).toBe(words);
  });

  it.each(backupEvents)("of the backup's event $kind", (event, words) => {
    expect(describeBackupEvent(event)).toBe(words);
  });

  it.each(backupEffects)("of the backup's effect $kind", (effect, words) => {
    expect(describeBackupEffect(effect)).toBe(words);
  });
});
