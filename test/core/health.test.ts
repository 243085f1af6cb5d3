/** The machines' states -> word, level and words; and that nothing is silent past a lease. */
import { describe, expect, it } from 'vitest';
import {
  backupMachineFacts,
  type MachineFacts,
  primaryMachineFacts,
  type SessionState,
} from '../../src/core/health/facts.ts';
import { judge, type Level } from '../../src/core/health/health.ts';
import { BackupStory, PrimaryStory } from './story.ts';

function verdictOf(facts: MachineFacts, isAlive: boolean, guestPaused: boolean) {
  const session = { domain: 'g1', peer: 'other', pid: 7, outcome: null, next: [], degraded: null };
  const all = { ...session, ...facts, guest_paused: guestPaused };
  return judge(all, isAlive ? 'alive' : 'dead', 0);
}

function ofPrimary({ state }: PrimaryStory, isAlive = true, nowMs = state.nowMs) {
  return verdictOf(primaryMachineFacts(state, nowMs, state.paused), isAlive, state.paused);
}

function ofBackup({ state }: BackupStory, isAlive = true) {
  return verdictOf(backupMachineFacts(state, state.nowMs), isAlive, false);
}

const promised = { kind: 'promised' } as const;
const unknown = { kind: 'unknown' } as const;
const seeded = () => new PrimaryStory().seeded();
const takenOver = () => closed().at(150, { kind: 'answer', id: 1, answer: { kind: 'running' } });
const closed = () => seeded().at(100, { kind: 'link-closed', reason: 'reset' });
const stop = { kind: 'stop', force: false, by: 'command' } as const;

type Row<S> = readonly [string, () => S, SessionState, Level, RegExp | null];

const primaries: readonly Row<PrimaryStory>[] = [
  ['before HELLO', () => new PrimaryStory(), 'connecting', 'warning', null],
  [
    'in the seed',
    () => new PrimaryStory().at(0, { kind: 'link-open' }).until(50),
    'seeding',
    'warning',
    null,
  ],
  ['protected', seeded, 'protected', 'ok', null],
  ['silent link', () => seeded().silence().until(900), 'late', 'warning', /heard for \d+ ms$/],
  ['long silence', () => seeded().silence().until(5_000), 'held', 'critical', /not heard for 4\d/],
  [
    'a silence that was asked about in vain',
    () =>
      seeded().silence().until(4_500).at(4_600, { kind: 'ask-failed', id: 1, reason: 'no route' }),
    'held',
    'critical',
    /could not be asked: no route/,
  ],
  [
    'frames that got out unheld',
    () => seeded().at(260, { kind: 'output-lost', reason: 'vif1.0: a plug was removed' }),
    ...(['late', 'warning', /vif1.0: a plug was removed.*until epoch 2 is ack.*no copy/] as const),
  ],
  ['no acknowledgement', () => seeded().epoch(255, 1).until(2_700), 'late', 'warning', /not ackn/],
  ['link gone', closed, 'held', 'critical', /^nothing leaves the guest: the link ended: reset$/],
  [
    'nobody knows the session',
    () => closed().at(150, { kind: 'answer', id: 1, answer: unknown }),
    'held',
    'critical',
    /no record of this session, which is no promise/,
  ],
  ['ordered to end', () => seeded().at(100, stop), 'ending', 'warning', null],
  [
    'ordered to end, no promise',
    () => seeded().at(100, stop).at(110, { kind: 'answer', id: 1, answer: unknown }),
    'held',
    'critical',
    /no promise/,
  ],
  [
    'unprotected',
    () => closed().at(150, { kind: 'answer', id: 1, answer: promised }),
    'unprotected',
    'critical',
    /without a copy: the link ended: reset/,
  ],
  [
    'taken over',
    () => takenOver().at(160, { kind: 'save-ended' }),
    'ending',
    'warning',
    /the copy took over there/,
  ],
  [
    'taken over, and the hypervisor is still at work on it',
    takenOver,
    'held',
    'critical',
    /the copy took over there/,
  ],
  [
    'taken over, and nobody is there',
    () => closed().at(150, { kind: 'answer', id: 1, answer: { kind: 'absent' } }),
    'held',
    'critical',
    /no guest is there now.*disk there is the newer one/,
  ],
  [
    '-n, paused',
    () => new PrimaryStory({ buffered: false }).seeded().silence().until(900),
    'late',
    'warning',
    /the guest is paused/,
  ],
];

const holding = () => new BackupStory().holding();
const ended = (buffered: boolean) =>
  new BackupStory({ buffered }).holding().at(200, { kind: 'link-closed', reason: 'reset' });
const noSpace = { kind: 'record-failed', reason: 'no space' } as const;

const backups: readonly Row<BackupStory>[] = [
  ['before the session', () => new BackupStory(), 'connecting', 'warning', null],
  ['in the seed', () => new BackupStory().at(0, { kind: 'link-open' }), 'seeding', 'warning', null],
  ['protecting', holding, 'standby', 'ok', null],
  ['silence', () => holding().until(900), 'late', 'warning', /not heard for 7\d\d ms/],
  ['link gone', () => ended(true), 'held', 'critical', /nobody has decided.*: reset/],
  ['link gone, -n', () => ended(false), 'held', 'critical', /nobody has decided.*: reset/],
  ['activating', () => holding().until(1_200), 'activating', 'warning', null],
  [
    'a full disk at the decision',
    () => holding().until(1_150).at(1_160, noSpace),
    'held',
    'critical',
    /nobody has decided.*cannot be recorded: no space/,
  ],
  [
    'a full disk, and the primary is back',
    () =>
      holding().until(1_150).at(1_160, noSpace).at(1_170, { kind: 'heartbeat', seq: 2, heldMs: 0 }),
    'late',
    'warning',
    /cannot be recorded: no space/,
  ],
  [
    'giving up',
    () => holding().at(150, { kind: 'copy-failed', reason: 'x' }),
    'ending',
    'warning',
    /x/,
  ],
];

function check(verdict: ReturnType<typeof judge>, row: Row<unknown>): void {
  const [, , state, level, reason] = row;
  expect(verdict).toMatchObject({ state, level });
  if (reason === null) expect(verdict.reason).toBeNull();
  else expect(verdict.reason).toMatch(reason);
}

describe('a primary', () => {
  it.each(primaries)('%s', (...row) => check(ofPrimary(row[1]()), row));

  it('says what to type when the guest is held', () => {
    expect(ofPrimary(closed()).next).toEqual(['tsremus stop g1  # asks other once more']);
  });

  it('is never OK for longer than a lease after the last echo', () => {
    const story = seeded().silence();
    for (let atMs = 60; atMs <= 6_000; atMs += 10) {
      const { level } = ofPrimary(story.until(atMs), true, atMs);
      if (atMs > 650) expect(level, `at ${atMs} ms`).not.toBe('ok');
    }
  });

  it('is well again when a silence ends, and forgets what the asks brought', () => {
    const failed = { kind: 'ask-failed', id: 1, reason: 'no route' } as const;
    const story = seeded().silence().until(4_500).at(4_600, failed).answers();
    story.epoch(4_900, 1).at(5_000, { kind: 'ack', epoch: 1 });
    expect(ofPrimary(story)).toMatchObject({ state: 'protected', level: 'ok', reason: null });
    // So that an order to end it later does not look refused.
    expect(ofPrimary(story.at(5_010, stop)).state).toBe('ending');
  });

  it('knows what the death of its process means', () => {
    expect(ofPrimary(seeded(), false)).toMatchObject({ state: 'held', level: 'critical' });
    const unbuffered = new PrimaryStory({ buffered: false }).seeded();
    const verdict = ofPrimary(unbuffered, false);
    expect(verdict).toMatchObject({ state: 'unprotected', level: 'critical' });
  });
});

describe('a backup', () => {
  it.each(backups)('%s', (...row) => check(ofBackup(row[1]()), row));

  it('says what to type when the link is gone', () => {
    expect(ofBackup(ended(false)).next).toEqual([
      'ssh other tsremus stop g1  # if the guest runs there',
      'tsremus failover g1  # here, if other is dead',
    ]);
  });

  it('knows what the death of its process means', () => {
    const verdict = ofBackup(holding(), false);
    expect(verdict).toMatchObject({ state: 'ended', level: 'critical' });
    expect(verdict.reason).toMatch(/no copy is held here any more, for it was not built/);
  });

  // Proves: a whole copy is never said to be gone, and never offered to be cleared unasked.
  it('is held by the copy that its dead process had built', () => {
    const building = holding().until(1_200).at(1_210, { kind: 'record', permission: 'activating' });
    const maybe = ofBackup(building, false);
    expect(maybe).toMatchObject({ state: 'held', level: 'critical' });
    expect(maybe.reason).toMatch(/may be whole or not/);
    const built = building.at(1_220, { kind: 'built' });
    const whole = ofBackup(built, false);
    expect(whole).toMatchObject({ state: 'held', level: 'critical' });
    expect(whole.reason).toMatch(
      /the copy of epoch \d+ stands here, whole, and nobody lets it run/,
    );
    expect(whole.next).toEqual([
      'tsremus failover g1  # here, if other is dead',
      'tsremus stop --destroy g1  # here: give it up, if other goes on',
    ]);
    const active = built.at(1_230, { kind: 'record', permission: 'active' });
    expect(ofBackup(active, false)).toEqual(whole);
  });
});
