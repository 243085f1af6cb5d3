/** Facts -> code and words; and that nothing is silent for longer than a lease. */
import { describe, expect, it } from 'vitest';
import { backupFacts, type HealthCode, healthOf, primaryFacts } from '../../src/core/health.ts';
import { BackupStory, PrimaryStory } from './story.ts';

function ofPrimary(story: PrimaryStory, isAlive = true) {
  return healthOf(primaryFacts(story.state, story.state.nowMs), isAlive);
}

function ofBackup(story: BackupStory, isAlive = true) {
  return healthOf(backupFacts(story.state, story.state.nowMs), isAlive);
}

const promised = { kind: 'promised' } as const;
const seeded = () => new PrimaryStory().seeded();
const closed = () => seeded().at(100, { kind: 'link-closed', reason: 'reset' });

const primaries: readonly (readonly [string, () => PrimaryStory, HealthCode, RegExp])[] = [
  ['before HELLO', () => new PrimaryStory(), 1, /connecting/],
  ['in the seed', () => new PrimaryStory().at(0, { kind: 'link-open' }).until(50), 1, /seed/],
  ['protected', seeded, 0, /protected: epoch 0/],
  ['silent link', () => seeded().silence().until(900), 1, /heard \d+ ms ago: output waits/],
  ['long silence', () => seeded().silence().until(5_000), 2, /being asked.*its output waits/],
  ['no acknowledgement', () => seeded().epoch(255, 1).until(2_700), 1, /which is late/],
  ['link gone', closed, 2, /held: the link ended: reset.*its output waits/],
  [
    'nobody knows the session',
    () => closed().at(150, { kind: 'answer', id: 1, answer: { kind: 'unknown' } }),
    2,
    /no record of this session, which is no promise/,
  ],
  [
    'unprotected',
    () => closed().at(150, { kind: 'answer', id: 1, answer: promised }),
    2,
    /runs on here, unprotected/,
  ],
  [
    'taken over',
    () => closed().at(150, { kind: 'answer', id: 1, answer: { kind: 'active', running: true } }),
    2,
    /the backup took over/,
  ],
  [
    '-n, paused',
    () => new PrimaryStory({ buffered: false }).seeded().silence().until(900),
    1,
    /the guest is paused/,
  ],
];

const holding = () => new BackupStory().holding();
const ended = (buffered: boolean) =>
  new BackupStory({ buffered }).holding().at(200, { kind: 'link-closed', reason: 'reset' });

const backups: readonly (readonly [string, () => BackupStory, HealthCode, RegExp])[] = [
  ['before the session', () => new BackupStory(), 1, /not begun/],
  ['in the seed', () => new BackupStory().at(0, { kind: 'link-open' }), 1, /seed/],
  ['protecting', holding, 0, /holds epoch 1/],
  ['silence', () => holding().until(900), 1, /silent for 7\d\d ms/],
  ['link gone', () => ended(true), 2, /activated unless the primary asks/],
  ['link gone, -n', () => ended(false), 2, /nobody activates by himself/],
  ['activating', () => holding().until(1_200), 2, /activating epoch 1/],
  [
    'disk full',
    () => holding().until(1_150).at(1_160, { kind: 'record-failed', reason: 'no space' }),
    2,
    /no space/,
  ],
  ['giving up', () => holding().at(150, { kind: 'copy-failed', reason: 'x' }), 2, /given up/],
];

describe('health of a primary', () => {
  it.each(primaries)('%s', (_, tell, code, words) => {
    const health = ofPrimary(tell());
    expect(health.code).toBe(code);
    expect(health.text).toMatch(words);
    expect(health.word).toBe(['OK', 'WARNING', 'CRITICAL', 'UNKNOWN'][code]);
  });

  it('says what to type when the guest is held, unless the copy goes on', () => {
    expect(ofPrimary(closed()).next).toBe('tsremus stop --force-unsafe DOMAIN');
    const active = { kind: 'active', running: false } as const;
    const story = closed().at(150, { kind: 'answer', id: 1, answer: active });
    expect(ofPrimary(story).next).toBeNull();
  });

  it('is never OK for longer than a lease after the last echo', () => {
    const story = seeded().silence();
    for (let atMs = 60; atMs <= 6_000; atMs += 10) {
      const { code } = healthOf(primaryFacts(story.until(atMs).state, atMs), true);
      if (atMs > 650) expect(code, `at ${atMs} ms`).not.toBe(0);
    }
  });

  it('knows what the death of its process means', () => {
    expect(ofPrimary(seeded(), false).text).toContain('its output is held');
    const unbuffered = new PrimaryStory({ buffered: false }).seeded();
    expect(ofPrimary(unbuffered, false).text).toContain('it runs unprotected');
    expect(ofPrimary(seeded(), false).code).toBe(2);
  });
});

describe('health of a backup', () => {
  it.each(backups)('%s', (_, tell, code, words) => {
    const health = ofBackup(tell());
    expect(health.code).toBe(code);
    expect(health.text).toMatch(words);
  });

  it('says what to type when the link is gone', () => {
    expect(ofBackup(ended(false)).next).toBe('tsremus failover DOMAIN');
  });

  it('knows what the death of its process means', () => {
    expect(ofBackup(holding(), false)).toMatchObject({ code: 2, word: 'CRITICAL' });
  });
});

it('knows nothing without facts', () => {
  expect(healthOf(null, true)).toMatchObject({ code: 3, word: 'UNKNOWN' });
});
