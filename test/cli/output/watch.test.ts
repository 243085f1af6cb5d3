/** A frame of `tsremus status --watch`, at widths of terminals that there are. */
import { Chalk } from 'chalk';
import { describe, expect, it } from 'vitest';
import type { Findings } from '../../../src/cli/commands/status.ts';
import { sparkline } from '../../../src/cli/output/sparkline.ts';
import {
  remembered,
  type WatchHistory,
  type WatchView,
  watchFailure,
  watchFrame,
} from '../../../src/cli/output/watch.ts';
import { fitted, padded, widthOf, wrapped } from '../../../src/cli/output/width.ts';
import { missingGuest } from '../../../src/registry/missing.ts';
import { judgeAll } from '../../../src/registry/report.ts';
import type { SessionStatus } from '../../../src/registry/status.ts';
import { sampleResync, sampleStatus } from '../../registry/sample-status.ts';

const beganMs = Date.parse('2026-11-30T19:12:31.000Z');

/** What a guest's work looks like: quiet, with a burst every so often. */
const burst = (second: number) => (second % 20 < 5 ? 8 - (second % 20) : 0);

function sentBy(second: number): number {
  return second === 0 ? 0 : sentBy(second - 1) + 1_400_000 * (1 + burst(second));
}

function outputOf(bytes: number): SessionStatus['output'] {
  const all = { packets: 3, bytes, dropped: 0 };
  return {
    ...all,
    interfaces: [{ ...all, name: 'vif7.0', state: 'protected', near_limit: false }],
  };
}

function web1(second: number): SessionStatus {
  const epochs = [0, 1].map((at) => ({
    ...{ epoch: 2 * second + at, bytes: 7_000_000, sent_bytes: 1_400_000, pages: 340 },
    pause_ms: 4 + burst(second) * 3,
  }));
  return sampleStatus({
    ...{ epoch: 2 * second + 1, epochs, ack_age_ms: 90 + burst(second) * 40 },
    bytes_sent: sentBy(second),
    output: outputOf(1_500 * (1 + burst(second))),
    updated: new Date(beganMs + second * 1_000).toISOString(),
  });
}

function dbMain(second: number): SessionStatus {
  return sampleStatus({
    ...{ domain: 'db-main', uuid: 'u2', role: 'backup', state: 'standby', peer: 'hostc' },
    ...{ epochs: [], bytes_sent: 40_000 * second, ack_age_ms: 60 },
    updated: new Date(beganMs + second * 1_000).toISOString(),
  });
}

function mail(second: number): SessionStatus {
  return sampleStatus({
    ...{ domain: 'mail', uuid: 'u3', state: 'held', reason: 'the link to hostb ended' },
    ...{ epochs: [], ack_age_ms: 1_000 * second, output: outputOf(90_000) },
    updated: new Date(beganMs + second * 1_000).toISOString(),
  });
}

function findings(sessions: readonly SessionStatus[], more: Partial<Findings> = {}): Findings {
  const nowMs = Math.max(beganMs, ...sessions.map(({ updated }) => Date.parse(updated)));
  const reports = judgeAll(
    sessions.map((status) => ({ status, liveness: 'alive' as const })),
    { wallMs: nowMs, sinceBootMs: 0 },
  );
  return {
    ...{ level: 'critical', reports, declared: [], missing: [], broken: [], problems: [] },
    resyncs: [],
    ...{ detailed: false, empty: 'no sessions' },
    ...more,
  };
}

/** After a look a second, for so long. */
function watched(seconds: number, ...of: readonly ((second: number) => SessionStatus)[]) {
  let history: WatchHistory = new Map();
  let found = findings([]);
  for (let second = 1; second <= seconds; second += 1) {
    found = findings(of.map((one) => one(second)));
    history = remembered(history, found.reports);
  }
  return { found, history };
}

const view = (columns: number, more: Partial<WatchView> = {}): WatchView => ({
  ...{ columns, rows: null, glyphs: 'blocks', paint: new Chalk({ level: 0 }) },
  title: 'hosta  2026-11-30 19:12:31Z  every 1 s',
  ...more,
});

const missing = missingGuest({
  domain: 'shop',
  file: '/etc/tsremus/guests.d/shop.toml',
  peer: 'hostb',
  wrong: null,
});

// Proves: what administrators see, looked at: as wide as it may be, and no wider.
describe.each([40, 80, 200])('at %i columns', (columns) => {
  it('shows everything', async () => {
    const { found, history } = watched(100, web1, dbMain, mail);
    const problems = [{ text: '/var/log/tsremus is full: logs have gaps', next: 'df -h /var/log' }];
    const all = { ...found, missing: [missing], problems };
    const lines = watchFrame(all, history, view(columns));
    for (const line of lines) expect(widthOf(line), line).toBeLessThanOrEqual(columns);
    const path = `../testdata/watch-${columns}.txt`;
    await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot(path);
  });
});

describe('a frame', () => {
  // Proves: nothing that a terminal can be is an error, and nothing is wider or higher than that.
  it('fits whatever there is', () => {
    const { found, history } = watched(30, web1, dbMain, mail);
    const all = { ...found, missing: [missing] };
    for (let columns = 1; columns <= 250; columns += 1) {
      for (const rows of [1, 2, 5, 24]) {
        const lines = watchFrame(all, history, view(columns, { rows }));
        expect(lines.length).toBeLessThanOrEqual(rows);
        for (const line of lines) {
          // Advice is not cut below ten columns: nobody reads that.
          expect(widthOf(line), `${columns}: ${line}`).toBeLessThanOrEqual(Math.max(12, columns));
        }
      }
    }
  });

  // Proves: the worst is seen first, and what is left out is counted.
  it('leaves out what is least bad', () => {
    const { found, history } = watched(3, web1, dbMain, mail);
    const lines = watchFrame(found, history, view(80, { rows: 8 }));
    expect(lines).toHaveLength(8);
    expect(lines.join('\n')).toMatch(/mail {2}primary {2}held/);
    expect(lines.at(-1)).toMatch(/^\(\d+ more lines\)$/);
  });

  it('says that there is nothing', () => {
    expect(watchFrame(findings([], { level: 'ok' }), new Map(), view(80)).slice(1)).toEqual([
      '',
      'no sessions',
    ]);
  });

  it('says how far a resync is', () => {
    const resyncs = [sampleResync()];
    const lines = watchFrame(findings([], { level: 'warning', resyncs }), new Map(), view(80));
    expect(lines.slice(1)).toEqual([
      '',
      'web1: its disks are copied to hostb: 1.1 GB of 2.1 GB, 42.0 MB/s, 25 s left',
    ]);
  });

  it('says why nothing could be found out', () => {
    const lines = watchFailure('cannot read /run/tsremus', ['sudo tsremus status'], view(60));
    expect(lines[0]).toMatch(/ UNKNOWN$/);
    expect(lines.slice(1)).toEqual([
      '',
      '  cannot read /run/tsremus',
      '  Try: sudo tsremus status',
    ]);
  });

  // Proves: colour repeats a word, and takes no columns.
  it('is coloured where that is wanted', () => {
    const { found, history } = watched(3, web1, mail);
    const paint = new Chalk({ level: 1 });
    const lines = watchFrame(found, history, view(80, { paint }));
    expect(lines.join('\n')).toContain('\u001b[31mheld\u001b[39m');
    // biome-ignore lint/complexity/useRegexLiterals: a literal may have no control character.
    const bare = lines.map((line) => line.replaceAll(new RegExp('\u001b\\[\\d+m', 'g'), ''));
    expect(bare).toEqual(watchFrame(found, history, view(80)));
  });

  it('lets no name write to the terminal', () => {
    const { found, history } = watched(2, (second) => ({ ...web1(second), domain: 'a\u001b[2J' }));
    expect(watchFrame(found, history, view(80)).join('\n')).not.toContain('\u001b');
  });
});

describe('what is remembered', () => {
  const samples = (history: WatchHistory) => [...history.values()][0]?.samples ?? [];

  // Proves: a pause counts once, a rate is by the session's own clock, and a session that is
  // another one begins anew.
  it('is what came since the last look', () => {
    const look = (history: WatchHistory, status: SessionStatus) =>
      remembered(history, findings([status]).reports);
    const first = web1(1);
    let history = look(new Map(), first);
    expect(samples(history)[0]).toMatchObject({ pauseMs: null, bytesPerSecond: null });
    history = look(history, first);
    expect(samples(history)[1]).toMatchObject({ pauseMs: null, bytesPerSecond: null });
    const epochs = [
      ...first.epochs,
      { epoch: 9, pause_ms: 30, bytes: 1, sent_bytes: 1, pages: 1 },
      { epoch: 10, pause_ms: 20, bytes: 1, sent_bytes: 1, pages: 1 },
    ];
    const updated = new Date(Date.parse(first.updated) + 2_000).toISOString();
    const bytes_sent = first.bytes_sent + 4_000;
    history = look(history, { ...first, epochs, updated, bytes_sent });
    expect(samples(history)[2]).toMatchObject({ pauseMs: 30, bytesPerSecond: 2_000 });
    history = look(history, { ...first, session: 'another' });
    expect(samples(history)).toHaveLength(1);
    expect(remembered(history, []).size).toBe(0);
  });
});

describe('a sparkline', () => {
  it.each([
    [[], 4, '    '],
    [[0, 0, 0], 4, ' ▁▁▁'],
    [[1, 2, 4, 8], 4, '▂▃▅█'],
    [[0, 1, 1_000], 3, '▁▂█'],
    [[9, null, 3, 6], 3, ' ▅█'],
  ] as const)('of %j in %i columns', (values, width, drawn) => {
    expect(sparkline(values, width, 'blocks')).toBe(drawn);
  });

  it('needs no font', () => {
    expect(sparkline([0, 1, 4, 8], 4, 'ascii')).toBe('_.+#');
  });
});

describe('text in columns', () => {
  it.each([
    ['abc', 3],
    ['日本', 4],
    ['e\u0301', 1],
  ])('%s takes %i', (text, width) => expect(widthOf(text)).toBe(width));

  it('is cut where it does not fit, and never in a character', () => {
    expect(fitted('日本語', 5)).toBe('日本');
    expect(padded('日本語', 5)).toBe('日本 ');
    expect(padded('ab', 4, 'right')).toBe('  ab');
    expect(wrapped('one two  three', 7)).toEqual(['one two', 'three']);
    expect(wrapped('abcdefgh ij', 3)).toEqual(['abc', 'def', 'gh', 'ij']);
  });
});
