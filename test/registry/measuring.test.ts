/** The course of a session, drawn from what it publishes (src/registry/measuring.ts). */
import { describe, expect, it } from 'vitest';
import type { HistogramSummary } from '../../src/core/histogram.ts';
import {
  type Figures,
  type FiguresRecord,
  figuresLine,
  figuresLineBytesMax,
  parseFigures,
} from '../../src/registry/figures-record.ts';
import { type Course, measured, sessionRecord } from '../../src/registry/measuring.ts';
import type { Histograms, SessionStatus } from '../../src/registry/status.ts';
import { sampleStatus } from './sample-status.ts';

const by = { time: '2026-11-30T19:12:31.000Z', host: 'hosta', tsremus: '0.1.0' };

/** All epochs so far, of whose pauses and sizes the sum is known. */
function histograms(count: number, sum: number): Histograms {
  const one: HistogramSummary = { count, sum, min: 1, p50: 1, p90: 1, p99: 1, max: 1 };
  return {
    ...{ pause_ms: one, encode_ms: one, transfer_ms: one, acknowledge_ms: one, period_ms: one },
    ...{ raw_bytes: { ...one, sum: 1_000 * sum }, sent_bytes: { ...one, sum: 100 * sum } },
  };
}

const whole = { time: by.time, host: by.host, kind: 'session' };

/** A session that publishes at these moments; what was written of it. */
function course(...published: readonly (readonly [number, Partial<SessionStatus>])[]) {
  let at: Course | null = null;
  return published.flatMap(([nowMs, changes]): readonly FiguresRecord[] => {
    const step = measured(at, sampleStatus(changes), { ...by, nowMs });
    at = step.course;
    return step.records;
  });
}

const figuresIn = (records: readonly FiguresRecord[]): Figures[] =>
  records.filter((one) => one.kind === 'figures');

// Proves: means are of the epochs between two records and of no other; the worst is the worst of
// all looks, not that of the last one.
it('measures between two records', () => {
  const records = course(
    [1_000, { histograms: histograms(10, 100), bytes_sent: 500, stalled_ms: 5 }],
    [2_000, { recent: { pause_ms_max: 70, lag_ms_max: 90 }, ack_age_ms: 250 }],
    [3_000, { histograms: histograms(30, 160), bytes_sent: 800, stalled_ms: 12 }],
  );
  const [one, ...more] = figuresIn(records);
  expect(more).toEqual([]);
  expect(one).toMatchObject({
    ...{ host: 'hosta', domain: 'web1', role: 'primary', state: 'protected', ms: 2_000 },
    ...{ epochs: 20, pause_ms_mean: 3, pause_ms_max: 70, lag_ms_max: 250 },
    ...{ epoch_bytes_mean: 3_000, epoch_sent_bytes_mean: 300, bytes_sent: 300, stalled_ms: 7 },
    ...{ waiting_bytes_max: 0, output_bytes_max: null, dropped: 0 },
  });
});

// Proves: what was the worst of one time is not said of the next one.
it('begins anew with each record', () => {
  const calm = { recent: { pause_ms_max: null, lag_ms_max: null }, ack_age_ms: 10 };
  const [, two] = figuresIn(
    course(
      [0, { ...calm, recent: { pause_ms_max: 70, lag_ms_max: 90 } }],
      [2_000, calm],
      [4_000, calm],
    ),
  );
  expect(two).toMatchObject({ pause_ms_max: null, lag_ms_max: 10, pause_ms_mean: null });
});

// Proves: a month of it has a bound; a session of a minute has a picture.
it('writes every two seconds at first, then every ten', () => {
  const seconds = Array.from({ length: 301 }, (_, at) => [1_000 * at, {}] as const);
  const written = figuresIn(course(...seconds)).map(({ ms }) => ms);
  expect(new Set(written)).toEqual(new Set([2_000, 10_000]));
  expect(written.filter((ms) => ms === 2_000)).toHaveLength(59);
});

// Proves: of a session whose status is gone its settings and its end are still known; of a copy
// that took over, and whose process watches it for months, nothing more is written.
it('keeps all that a session says once it is whole, and at its end', () => {
  const standby = { role: 'backup', state: 'standby' } as const;
  const active = { role: 'backup', state: 'active', outcome: 'activated' } as const;
  const ended = { ...active, state: 'ended' } as const;
  const records = course(
    [0, { role: 'backup', state: 'seeding' }],
    [500, standby],
    [600, standby],
    [700, active],
    [9_000, active],
    [60_000, active],
    [70_000, ended],
  );
  const kept = records.filter((one) => one.kind === 'session');
  expect(kept.map(({ status }) => status.state)).toEqual(['standby', 'active', 'ended']);
  expect(kept[0]).toMatchObject({ ...whole, tsremus: '0.1.0' });
  expect(figuresIn(records).map(({ ms, state }) => [ms, state])).toEqual([[700, 'active']]);
});

// Proves: a backup has no histograms, and its epochs are counted all the same.
it('counts what a backup acknowledged', () => {
  const [one] = figuresIn(
    course(
      [0, { role: 'backup', histograms: null, epoch: 40 }],
      [2_000, { role: 'backup', histograms: null, epoch: 95 }],
    ),
  );
  expect(one).toMatchObject({ epochs: 55, pause_ms_mean: null, epoch_bytes_mean: null });
});

describe('a line', () => {
  const [figures] = figuresIn(course([0, {}], [2_000, {}]));

  it('is read as it was written', () => {
    for (const record of [figures, sessionRecord(sampleStatus(), by)]) {
      if (record === undefined) throw new Error('nothing was written');
      const line = figuresLine(record) ?? '';
      expect(line).not.toContain('\n');
      expect(parseFigures(line)).toEqual(record);
    }
  });

  // Proves: none can hide those that follow it from a reader, who reads no longer ones.
  it('is none where it would be too long', () => {
    const next = Array.from({ length: 10 }, () => 'x'.repeat(figuresLineBytesMax / 10));
    expect(figuresLine(sessionRecord(sampleStatus({ next }), by))).toBeNull();
  });

  it.each([
    ['torn', JSON.stringify(figures).slice(0, 60)],
    ['of something else', '[]'],
    ['empty', ''],
    ['without a figure', JSON.stringify({ ...figures, pause_ms_max: undefined })],
    ['with a word for a figure', JSON.stringify({ ...figures, ms: 'many' })],
    ['of a session that says nothing', JSON.stringify({ ...whole, schema: 1, tsremus: '1' })],
  ])('that is %s is none', (_, line) => {
    expect(parseFigures(line)).toBeNull();
  });
});
