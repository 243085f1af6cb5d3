/**
 * Goal: whatever the outside world sends, in whatever order, the machines keep their invariants.
 * Method: random lists of events. What the peer, the administrator and the network do is
 * arbitrary; what the engine owes the machine (the order of an epoch's way, one result for
 * every effect that has one) is kept. Every step asserts P1 to P12 and B1 to B11; a small ledger
 * here counts what the assertions cannot see.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { initialBackup, stepBackup } from '../../src/core/backup/backup.ts';
import type { BackupEffect, BackupEvent, OwnPermission } from '../../src/core/backup/types.ts';
import { InvariantError, invariant, unreachable } from '../../src/core/invariant.ts';
import { type Agreement, agreements } from '../../src/core/permission/tie.ts';
import { initialPrimary, stepPrimary } from '../../src/core/primary/primary.ts';
import type { PrimaryEffect, PrimaryEvent } from '../../src/core/primary/types.ts';
import type { Schedule } from '../../src/core/scheduler.ts';
import type { Answer } from '../../src/core/vocabulary.ts';
import { backupConfig, primaryConfig } from './story.ts';

const answers: fc.Arbitrary<Answer> = fc.constantFrom<Answer>(
  { kind: 'promised' },
  { kind: 'activating' },
  { kind: 'running' },
  { kind: 'ended' },
  { kind: 'absent' },
  { kind: 'unknown' },
);

const agreed = fc.constantFrom(...agreements);
const later = fc.integer({ min: 0, max: 700 });
const small = fc.integer({ min: 0, max: 6 });

/** `epoch`: the engine's next step with the checkpoint that is under way, if there is one. */
type PrimaryStroke =
  | { readonly kind: 'epoch' }
  | { readonly kind: 'good-ack' }
  | { readonly kind: 'good-echo' }
  | { readonly kind: 'save-over' }
  /** The answer to the ask under way, asked so long ago. */
  | { readonly kind: 'good-answer'; readonly answer: Answer; readonly ageMs: number }
  | { readonly kind: 'destroy-over'; readonly isGood: boolean }
  | Exclude<
      PrimaryEvent,
      {
        kind: 'checkpoint' | 'drained' | 'sent' | 'save-ended' | 'destroyed' | 'destroy-failed';
      }
    >;

const schedules: fc.Arbitrary<Schedule> = fc.constantFrom<Schedule>(
  { kind: 'fixed', intervalMs: 10 },
  { kind: 'fixed', intervalMs: 200 },
  { kind: 'auto', minMs: 10, maxMs: 300, maxOverhead: 0.2 },
);

const reason = fc.constantFrom('eof', 'reset');

const primaryStrokes: fc.Arbitrary<PrimaryStroke> = fc.oneof(
  { weight: 12, arbitrary: fc.constant({ kind: 'epoch' } as const) },
  { weight: 6, arbitrary: fc.constant({ kind: 'good-ack' } as const) },
  { weight: 6, arbitrary: fc.constant({ kind: 'good-echo' } as const) },
  { weight: 6, arbitrary: fc.constant({ kind: 'tick', nowMs: 0 } as const) },
  { weight: 2, arbitrary: fc.constant({ kind: 'save-over' } as const) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('good-answer' as const),
      answer: answers,
      ageMs: fc.constantFrom(0, 500, 999, 1_000, 5_000),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('destroy-over' as const),
      isGood: fc.boolean(),
    }),
  },
  fc.constant({ kind: 'activated', nowMs: 0 } as const),
  fc.constant({ kind: 'progress', nowMs: 0 } as const),
  fc.record({
    kind: fc.constant('output' as const),
    packets: small,
    bytes: fc.nat(1_000),
    nearLimit: fc.boolean(),
    nowMs: fc.constant(0),
  }),
  fc.record({ kind: fc.constant('output-lost' as const), reason, nowMs: fc.constant(0) }),
  fc.record({
    kind: fc.constant('set-schedule' as const),
    schedule: schedules,
    nowMs: fc.constant(0),
  }),
  fc.record({ kind: fc.constant('echo' as const), seq: small, nowMs: fc.constant(0) }),
  fc.record({ kind: fc.constant('ack' as const), epoch: small, nowMs: fc.constant(0) }),
  fc.record({ kind: fc.constant('link-closed' as const), reason, nowMs: fc.constant(0) }),
  fc.record({ kind: fc.constant('copy-lost' as const), reason, nowMs: fc.constant(0) }),
  fc.record({ kind: fc.constant('backup-leaving' as const), reason, nowMs: fc.constant(0) }),
  fc.record({ kind: fc.constant('save-failed' as const), reason, nowMs: fc.constant(0) }),
  fc.record({ kind: fc.constant('disk-lost' as const), reason, nowMs: fc.constant(0) }),
  fc.record({ kind: fc.constant('disk-filling' as const), nowMs: fc.constant(0) }),
  fc.record({ kind: fc.constant('guest-ended' as const), reason, nowMs: fc.constant(0) }),
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('answer' as const),
      id: small,
      answer: answers,
      nowMs: fc.constant(0),
    }),
  },
  fc.record({ kind: fc.constant('ask-failed' as const), id: small, reason, nowMs: fc.constant(0) }),
  fc.record({
    kind: fc.constant('stop' as const),
    force: fc.boolean(),
    by: fc.constantFrom('command' as const, 'sigint' as const),
    nowMs: fc.constant(0),
  }),
);

/** E1: an answer to a question that is older destroys nothing. */
const evidenceMsMax = Math.max(primaryConfig.heartbeatTimeoutMs, 5_000);

/** Plays an engine around the primary; returns everything that it was told to do. */
function playPrimary(
  strokes: readonly (readonly [number, PrimaryStroke])[],
  buffered: boolean,
  pendingMax = 2,
  withoutWitness: Agreement = 'backup',
): PrimaryEffect[] {
  let state = initialPrimary({ ...primaryConfig, buffered, pendingMax, withoutWitness });
  let nowMs = 0;
  const told: PrimaryEffect[] = [];
  /** The ledger: what the backup acknowledged, in order, and what was asked for. */
  let acked = -1;
  let taken = 0;
  let drainedEpoch = -1;
  const feed = (event: PrimaryEvent): void => {
    if (event.kind === 'ack' && event.epoch === acked + 1 && acked < drainedEpoch) acked += 1;
    if (event.kind === 'drained') drainedEpoch = event.epoch;
    const step = stepPrimary(state, event);
    state = step.state;
    told.push(...step.effects);
    for (const effect of step.effects) {
      if (effect.kind === 'release') expect(effect.epoch).toBe(acked);
      if (effect.kind !== 'take-checkpoint') continue;
      taken += 1;
      expect(effect.epoch).toBe(taken);
      expect(taken - acked).toBeLessThanOrEqual(pendingMax);
    }
  };
  feed({ kind: 'link-open', nowMs });
  for (const [waitMs, stroke] of strokes) {
    nowMs += waitMs;
    const { requested, suspended, drained, sent, saving, beats } = state;
    switch (stroke.kind) {
      case 'epoch':
        if (sent < drained) feed({ kind: 'sent', epoch: sent + 1, nowMs });
        else if (drained < suspended) {
          feed({ kind: 'drained', epoch: suspended, pauseMs: 5, pages: 100, nowMs });
        } else if (saving && suspended < requested) {
          feed({ kind: 'checkpoint', epoch: requested, nowMs });
        }
        break;
      case 'good-ack':
        if (acked < drained) feed({ kind: 'ack', epoch: acked + 1, nowMs });
        break;
      case 'good-echo':
        feed({ kind: 'echo', seq: beats.at(-1)?.seq ?? 0, nowMs });
        break;
      case 'save-over':
        if (state.saving && (state.outcome !== null || state.abortedAtMs !== null)) {
          feed({ kind: 'save-ended', nowMs });
        }
        break;
      case 'good-answer': {
        const { answer, ageMs } = stroke;
        const id = state.ask?.id ?? 0;
        // The ledger: an answer that is too old, or asked for by nobody, destroys nothing.
        const isEvidence = state.ask !== null && ageMs < evidenceMsMax;
        const before = told.length;
        feed({ kind: 'answer', id, answer, askedAtMs: nowMs - ageMs, nowMs });
        const isDestroyed = told.slice(before).some(({ kind }) => kind === 'destroy-guest');
        const says = answer.kind === 'running' || answer.kind === 'ended';
        expect(isDestroyed && !(isEvidence && says)).toBe(false);
        break;
      }
      case 'destroy-over':
        if (!state.destroying) break;
        if (stroke.isGood) feed({ kind: 'destroyed', nowMs });
        else feed({ kind: 'destroy-failed', reason: 'busy', nowMs });
        break;
      default:
        feed({ ...stroke, nowMs });
    }
  }
  return told;
}

type BackupStroke =
  | { readonly kind: 'result'; readonly isGood: boolean; readonly isElse: boolean }
  | { readonly kind: 'next-epoch' }
  | Extract<
      BackupEvent,
      {
        kind:
          | 'tick'
          | 'bytes'
          | 'heartbeat'
          | 'epoch-whole'
          | 'corrupt'
          | 'link-closed'
          | 'ask'
          | 'copy-failed'
          | 'failover'
          | 'leave';
      }
    >;

const zero = fc.constant(0);

const backupStrokes: fc.Arbitrary<BackupStroke> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant('result' as const),
      isGood: fc.boolean(),
      isElse: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
    }),
  },
  { weight: 8, arbitrary: fc.constant({ kind: 'next-epoch' } as const) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('tick' as const),
      stalledMs: fc.constantFrom(0, 0, 0, 500),
      nowMs: zero,
    }),
  },
  fc.record({ kind: fc.constant('bytes' as const), nowMs: zero }),
  fc.record({
    kind: fc.constant('heartbeat' as const),
    seq: small,
    heldMs: fc.constantFrom(0, 0, 1, 5_000),
    nowMs: zero,
  }),
  fc.record({
    kind: fc.constant('epoch-whole' as const),
    part: fc.constant('memory'),
    epoch: small,
    nowMs: zero,
  }),
  fc.record({ kind: fc.constant('corrupt' as const), reason, nowMs: zero }),
  fc.record({ kind: fc.constant('link-closed' as const), reason, nowMs: zero }),
  fc.record({ kind: fc.constant('copy-failed' as const), reason, nowMs: zero }),
  fc.record({
    kind: fc.constant('ask' as const),
    way: fc.constantFrom('link' as const, 'fresh' as const),
    token: small,
    nowMs: zero,
  }),
  fc.record({
    kind: fc.constant('failover' as const),
    token: small,
    vouched: fc.boolean(),
    nowMs: zero,
  }),
  fc.record({ kind: fc.constant('leave' as const), reason, nowMs: zero }),
);

/** Plays an engine and a record around the backup. */
class BackupPlay {
  state;
  nowMs = 0;
  record: OwnPermission = 'standby';
  readonly told: BackupEffect[] = [];
  readonly #due: BackupEffect[] = [];

  constructor(buffered: boolean, withoutWitness: Agreement = 'backup') {
    this.state = initialBackup({ ...backupConfig, buffered, withoutWitness });
    this.feed({ kind: 'link-open', nowMs: 0 });
  }

  feed(event: BackupEvent): void {
    const step = stepBackup(this.state, event);
    this.state = step.state;
    this.told.push(...step.effects);
    const slow = ['write-record', 'build-copy', 'unpause-copy', 'discard-copy'];
    this.#due.push(...step.effects.filter((effect) => slow.includes(effect.kind)));
  }

  /** The oldest slow effect comes to its end, one way or the other. */
  result(isGood: boolean, isElse: boolean): void {
    const effect = this.#due.shift();
    const { nowMs } = this;
    switch (effect?.kind) {
      case 'write-record':
        // Another process may have given the promise: anybody may step out of standby.
        if (isElse && this.record === 'standby') this.record = 'promised';
        else if (isGood && this.record === effect.from) this.record = effect.to;
        if (this.record === effect.from)
          this.feed({ kind: 'record-failed', reason: 'full', nowMs });
        else this.feed({ kind: 'record', permission: this.record, nowMs });
        return;
      case 'build-copy':
        if (isGood) this.feed({ kind: 'built', nowMs });
        else this.feed({ kind: 'build-failed', reason: 'memory', nowMs });
        return;
      case 'unpause-copy':
        if (isGood) this.feed({ kind: 'running', nowMs });
        else this.feed({ kind: 'unpause-failed', reason: 'busy', nowMs });
        return;
      case 'discard-copy':
        if (isGood) this.feed({ kind: 'discarded', nowMs });
        else this.feed({ kind: 'discard-failed', reason: 'busy', nowMs });
        return;
      default:
        return;
    }
  }

  play(strokes: readonly (readonly [number, BackupStroke])[]): this {
    for (const [waitMs, stroke] of strokes) {
      this.nowMs += waitMs;
      if (stroke.kind === 'result') this.result(stroke.isGood, stroke.isElse);
      else if (stroke.kind === 'next-epoch') {
        this.feed({
          kind: 'epoch-whole',
          part: 'memory',
          epoch: this.state.whole + 1,
          nowMs: this.nowMs,
        });
      } else this.feed({ ...stroke, nowMs: this.nowMs });
    }
    return this;
  }
}

const runs = { numRuns: 1_500 };

describe('invariants of the primary', () => {
  const lists = fc.array(fc.tuple(later, primaryStrokes), { maxLength: 120 });

  it('hold whatever comes, and effects keep their order', () => {
    const depth = fc.integer({ min: 1, max: 4 });
    const property = fc.property(lists, fc.boolean(), depth, agreed, (strokes, ...how) => {
      const told = playPrimary(strokes, ...how);
      const kinds = told.map((effect) => effect.kind);
      const releases = told.filter((effect) => effect.kind === 'release');
      for (const [index, release] of releases.entries()) {
        expect(release.epoch).toBeGreaterThan(releases[index - 1]?.epoch ?? -1);
      }
      expect(kinds.filter((kind) => kind === 'open-buffer').length).toBeLessThanOrEqual(1);
      // What could not be destroyed may go on with a promise; what was destroyed may not.
      const isTakenOver = told.some(
        (effect) => effect.kind === 'end' && effect.outcome.kind === 'taken-over',
      );
      expect(kinds.includes('open-buffer') && isTakenOver).toBe(false);
      const end = kinds.indexOf('end');
      expect(end === -1 || end === kinds.length - 1).toBe(true);
      const decided = kinds.findIndex((kind) => kind === 'open-buffer' || kind === 'abort-save');
      const after = decided === -1 ? [] : kinds.slice(decided);
      expect(after).not.toContain('release');
      expect(after).not.toContain('take-checkpoint');
    });
    fc.assert(property, runs);
  });

  it('pause a guest whose output is buffered only once it has lost', () => {
    const heard = new Set(['activated', 'answer', 'good-answer']);
    const property = fc.property(lists, (strokes) => {
      const deaf = strokes.filter(([, { kind }]) => !heard.has(kind));
      const kinds = playPrimary(deaf, true).map((effect) => effect.kind);
      expect(kinds).not.toContain('pause-guest');
      expect(kinds).not.toContain('destroy-guest');
    });
    fc.assert(property, runs);
  });
});

describe('invariants of the backup', () => {
  const lists = fc.array(fc.tuple(later, backupStrokes), { maxLength: 120 });

  it('hold whatever comes: one end, one decision, and the record before the deed', () => {
    const property = fc.property(lists, fc.boolean(), agreed, (strokes, ...how) => {
      const { told, record } = new BackupPlay(...how).play(strokes);
      const kinds = told.map((effect) => effect.kind);
      const end = kinds.indexOf('end');
      expect(end === -1 || end === kinds.length - 1).toBe(true);
      const promises = told.filter(
        (effect) => effect.kind === 'answer' && effect.answer.kind === 'promised',
      );
      if (promises.length > 0) {
        expect(record).toBe('promised');
        expect(kinds).not.toContain('unpause-copy');
      }
      if (kinds.includes('unpause-copy')) expect(record).toBe('active');
      const acks = told.filter((effect) => effect.kind === 'send-ack').map(({ epoch }) => epoch);
      expect(acks).toEqual(acks.map((_, index) => index));
    });
    fc.assert(property, runs);
  });

  it('comes to an end when every step succeeds from now on', () => {
    const property = fc.property(lists, (strokes) => {
      const play = new BackupPlay(true).play(strokes);
      for (let round = 0; round < 200 && play.state.phase !== 'ended'; round += 1) {
        play.nowMs += 1_000;
        play.result(true, false);
        play.feed({ kind: 'tick', stalledMs: 0, nowMs: play.nowMs });
      }
      expect(play.state.phase).toBe('ended');
    });
    fc.assert(property, { numRuns: 300 });
  });
});

describe('invariant', () => {
  it('throws what nobody may catch, and names the rule', () => {
    expect(() => invariant(1 > 2, 'P1 one > two')).toThrow(InvariantError);
    expect(() => invariant(1 > 2, 'P1 one > two')).toThrow('P1 one > two');
    expect(() => invariant(1 < 2, 'fine')).not.toThrow();
    expect(() => unreachable({ kind: 'x' } as never)).toThrow(/unreachable.*x/);
  });
});
