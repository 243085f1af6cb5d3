import { describe, expect, it } from 'vitest';
import { type ColorChoice, wantsColor } from '../../../src/cli/output/color.ts';
import { figuresText } from '../../../src/cli/output/figures.ts';
import { ProgressLine } from '../../../src/cli/output/progress.ts';
import { formatTable } from '../../../src/cli/output/table.ts';
import { formatBytes, formatMs, formatSeconds } from '../../../src/core/units.ts';
import { judgeSession } from '../../../src/registry/report.ts';
import { sampleStatus } from '../../registry/sample-status.ts';
import { FakeStream } from '../fake-io.ts';

describe('colour', () => {
  const cases: [ColorChoice, Record<string, string>, boolean, boolean][] = [
    ['auto', {}, true, true],
    ['auto', {}, false, false],
    ['auto', { TERM: 'dumb' }, true, false],
    ['auto', { NO_COLOR: '1' }, true, false],
    ['auto', { NO_COLOR: '' }, true, true],
    ['auto', { NO_COLOR: '1', FORCE_COLOR: '1' }, true, false],
    ['auto', { FORCE_COLOR: '1' }, false, true],
    ['auto', { FORCE_COLOR: '0' }, true, false],
    ['auto', { CLICOLOR_FORCE: '1', TERM: 'dumb' }, false, true],
    ['always', { NO_COLOR: '1', TERM: 'dumb' }, false, true],
    ['never', { FORCE_COLOR: '1' }, true, false],
  ];
  it.each(cases)('%s, %j, terminal %s: %s', (choice, env, isTty, wanted) => {
    expect(wantsColor(choice, env, isTty)).toBe(wanted);
  });
});

describe('progress', () => {
  const figures = { bytes: 5e7, bytesPerSecond: 1e7, secondsLeft: null };

  it('is a line per tenth in a log', () => {
    const stream = new FakeStream();
    const progress = new ProgressLine(stream, 'web1', () => 0);
    for (let percent = 0; percent <= 100; percent += 0.5) {
      progress.update({ ...figures, percent });
    }
    progress.clear();
    const lines = stream.text.trimEnd().split('\n');
    expect(lines).toHaveLength(11);
    expect(lines[0]).toBe('web1: seed  0 %, 50.0 MB, 10.0 MB/s');
    expect(lines[10]).toBe('web1: seed 100 %, 50.0 MB, 10.0 MB/s');
  });

  it('is one line on a terminal, four times a second at most', () => {
    const stream = new FakeStream();
    stream.isTty = true;
    let nowMs = 0;
    const progress = new ProgressLine(stream, 'web1', () => nowMs);
    for (; nowMs < 1_000; nowMs += 10) progress.update({ ...figures, percent: nowMs / 10 });
    expect(stream.text.split('\r')).toHaveLength(5);
    expect(stream.text).not.toContain('\n');
    progress.clear();
    expect(stream.text).toMatch(/\r {30,}\r$/);
  });

  it('never wraps, and leaves nothing of a longer line', () => {
    const stream = new FakeStream();
    stream.isTty = true;
    stream.columns = 40;
    let nowMs = 0;
    const progress = new ProgressLine(stream, 'web1', () => nowMs);
    progress.update({ ...figures, percent: 1, secondsLeft: 5_000 });
    nowMs = 300;
    progress.update({ ...figures, percent: 2, bytesPerSecond: 1 });
    const lines = stream.text.split('\r').slice(1);
    expect(lines.map((line) => line.length)).toEqual([39, 39]);
    expect(lines[1]).toBe('web1: seed  2 %, 50.0 MB, 1 B/s        ');
  });
});

it('aligns tables and leaves no blanks at the end', () => {
  const columns = [{ title: 'A' }, { title: 'N', align: 'right' }, { title: 'B' }] as const;
  const rows = [
    [{ text: 'long' }, { text: '1' }, { text: '' }],
    [{ text: 'x', paint: (text: string) => `<${text}>` }, { text: '222' }, { text: 'y' }],
  ];
  expect(formatTable(columns, rows)).toBe(
    ['A       N  B', 'long    1', '<x>     222  y', ''].join('\n'),
  );
});

it('says figures as people do', () => {
  expect([0, 999, 1_000, 1_536, 99_949, 999_499, 999_500, 3.2e9].map(formatBytes)).toEqual([
    '0 B',
    '999 B',
    '1.0 KB',
    '1.5 KB',
    '99.9 KB',
    '999 KB',
    '1.0 MB',
    '3.2 GB',
  ]);
  expect([0, 830.4, 9_999, 12_345, 99_999, 7_200_000].map(formatMs)).toEqual([
    '0 ms',
    '830 ms',
    '9999 ms',
    '12.3 s',
    '1 min 40 s',
    '2 h 0 min',
  ]);
  expect([0, 99, 100, 5_999].map(formatSeconds)).toEqual([
    '0 s',
    '99 s',
    '1 min 40 s',
    '99 min 59 s',
  ]);
});

// Proves: what a checkpoint waits for has one word each, the man page's.
it('says that a checkpoint is deferred, and that others were stalled', () => {
  const well = figuresText(sampleStatus());
  expect(well).toContain('1 of 2 epochs in flight\n');
  expect(well).not.toMatch(/deferred|stalled/);
  expect(figuresText(sampleStatus({ in_flight: 2 }))).toContain(
    '2 of 2 epochs in flight, the next checkpoint is deferred\n',
  );
  expect(figuresText(sampleStatus({ stalls: 1, stalled_ms: 1_400 }))).toContain(
    ', 1 checkpoint stalled for 1400 ms\n',
  );
  expect(figuresText(sampleStatus({ stalls: 3, stalled_ms: 1_400 }))).toContain(
    ', 3 checkpoints stalled for 1400 ms\n',
  );
});

// Proves: both hosts say in one line who goes on, and what it means for the death of either.
it.each([
  [
    'primary',
    'primary',
    'if hostb dies, web1 goes on on this host by itself, unprotected; if this h',
  ],
  [
    'backup',
    'primary',
    'if this host dies, web1 goes on on hostb by itself, unprotected; if hostb d',
  ],
  [
    'primary',
    'backup',
    'if this host dies, web1 goes on on hostb by itself; if hostb dies, it is he',
  ],
  [
    'backup',
    'manual',
    'if hostb dies, the copy of web1 waits on this host until you run it; if thi',
  ],
] as const)('says on the %s what was agreed: %s', (role, agreed, words) => {
  const figures = figuresText(sampleStatus({ role, without_witness: agreed }));
  expect(figures).toContain(`  without a witness (${agreed}): ${words}`);
  const over = sampleStatus({ role, without_witness: agreed, outcome: 'stopped' });
  expect(figuresText(over)).not.toContain('without a witness');
});

// Proves: which disks the copy has not is said as long as there is a copy, or it runs.
it.each([
  ['primary', null, 'hold on hostb: xvda (/dev/vg0/web1), xvdb'],
  ['backup', null, 'hold on this host: xvda (/dev/vg0/web1), xvdb'],
  ['backup', 'activated', 'hold on this host: xvda (/dev/vg0/web1), xvdb'],
  ['primary', 'stopped', null],
] as const)('says on the %s, ended: %j, which disks are left alone', (role, outcome, words) => {
  const left = ['xvda (/dev/vg0/web1)', 'xvdb'];
  const figures = figuresText(sampleStatus({ role, outcome, disks_left: left }));
  if (words === null) expect(figures).not.toContain('disks are left alone');
  else expect(figures).toContain(`its copy finds what they ${words}\n`);
  expect(figuresText(sampleStatus({ role, outcome }))).not.toContain('disks are');
});

// Proves: what the host refused is a note among the details, and makes no session worse.
it('notes what the host refused to the process of a session', () => {
  const text = 'may be killed when memory is short: EACCES: permission denied';
  const status = sampleStatus({ host_refusals: [text], pid: 42 });
  expect(figuresText(status)).toContain(`  process 42 ${text}\n`);
  expect(figuresText({ ...status, outcome: 'stopped' })).not.toContain(text);
  const report = judgeSession(sampleStatus({ host_refusals: [text] }), 'alive', {
    wallMs: Date.now(),
    sinceBootMs: 0,
  });
  expect(report).toMatchObject({ level: 'ok', reason: null });
});
