/**
 * One frame of `tsremus status --watch`: every session with the course of what is measured of it,
 * the worst first, in as many columns and rows as there are. Pure: figures in, lines out.
 */
import type { ChalkInstance } from 'chalk';
import type { Level } from '../../core/health/health.ts';
import { resyncingText } from '../../core/texts/resync.ts';
import { formatBytes, formatMs } from '../../core/units.ts';
import type { SessionReport } from '../../registry/report.ts';
import type { Findings } from '../commands/status.ts';
import { type Glyphs, sparkline } from './sparkline.ts';
import { painterOf, stateWord } from './status.ts';
import { printable } from './table.ts';
import { fitted, padded, widthOf, wrapped } from './width.ts';

/** What was measured of a session between two frames; null: nothing. */
export interface WatchSample {
  /** The longest of them. */
  readonly pauseMs: number | null;
  readonly lagMs: number | null;
  readonly bytesPerSecond: number | null;
  /** What waits: in the output buffer; without one, and on the backup, in memory. */
  readonly bufferedBytes: number | null;
}

interface Course {
  readonly samples: readonly WatchSample[];
  /** As of the last frame. */
  readonly last: SessionReport['status'];
}

/** Of each session, by its guest and role. */
export type WatchHistory = ReadonlyMap<string, Course>;

/** No terminal shows more. */
const samplesMax = 512;

const keyOf = ({ status }: SessionReport) => `${status.role} ${status.uuid || status.domain}`;

/** When a session wrote that, by the clock that does not step where it says so. */
function writtenMs({ updated, updated_uptime_ms: uptimeMs }: SessionReport['status']): number {
  return uptimeMs ?? Date.parse(updated);
}

function sampleOf(report: SessionReport, before: Course['last'] | null): WatchSample {
  const { status, ackAgeMs } = report;
  const isOver = status.outcome !== null;
  const newest = before?.epochs.at(-1)?.epoch ?? -1;
  const pauses = status.epochs
    .filter(({ epoch }) => before !== null && epoch > newest)
    .map(({ pause_ms }) => pause_ms);
  const ms = before === null ? 0 : writtenMs(status) - writtenMs(before);
  const bytes = status.bytes_sent - (before?.bytes_sent ?? 0);
  return {
    pauseMs: pauses.length === 0 ? null : Math.max(...pauses),
    lagMs: isOver ? null : ackAgeMs,
    bytesPerSecond: ms > 0 && bytes >= 0 ? (bytes * 1_000) / ms : null,
    bufferedBytes: isOver ? null : (status.output?.bytes ?? status.memory?.waiting_bytes ?? null),
  };
}

/** What is known after one more look; a session that is a new one begins anew. */
export function remembered(history: WatchHistory, reports: readonly SessionReport[]): WatchHistory {
  return new Map(
    reports.map((report) => {
      const known = history.get(keyOf(report));
      const isSame = known?.last.session === report.status.session;
      const before = isSame && known !== undefined ? known : null;
      const sample = sampleOf(report, before?.last ?? null);
      const samples = [...(before?.samples ?? []), sample].slice(-samplesMax);
      return [keyOf(report), { samples, last: report.status }];
    }),
  );
}

export interface WatchView {
  readonly columns: number;
  /** Null: as many as there are lines. */
  readonly rows: number | null;
  readonly glyphs: Glyphs;
  readonly paint: ChalkInstance;
  /** The first line: where and when. */
  readonly title: string;
}

interface Cell {
  readonly text: string;
  readonly paint?: (text: string) => string;
}

/** Cells beside each other, cut where the line ends. */
function lineOf(cells: readonly Cell[], columns: number): string {
  let left = columns;
  return cells
    .map(({ text, paint }) => {
      const shown = fitted(text, left);
      left -= widthOf(shown);
      return paint === undefined || shown === '' ? shown : paint(shown);
    })
    .join('')
    .trimEnd();
}

const measures = [
  ['pause', (one: WatchSample) => one.pauseMs, formatMs],
  ['lag', (one: WatchSample) => one.lagMs, formatMs],
  ['sent', (one: WatchSample) => one.bytesPerSecond, (value: number) => `${formatBytes(value)}/s`],
  ['buffer', (one: WatchSample) => one.bufferedBytes, formatBytes],
] as const;

const indent = 2;
const labelWidth = 6;
/** `12 min 30 s` */
const valueWidth = 11;
/** A figure needs a course of a few characters beside it, or it is none. */
const cellWidthMin = 36;

function courseText(
  [label, of, format]: (typeof measures)[number],
  samples: readonly WatchSample[],
  width: number,
  glyphs: Glyphs,
): string {
  const values = samples.map(of);
  const known = values.filter((value) => value !== null);
  const last = known.at(-1);
  const now = padded(last === undefined ? '-' : format(last), valueWidth, 'right');
  const space = width - labelWidth - valueWidth - 2;
  return `${padded(label, labelWidth)} ${sparkline(values, space, glyphs)} ${now}`;
}

/** Four, two or one beside each other, as they fit. */
function courseLines(samples: readonly WatchSample[], { columns, glyphs }: WatchView): string[] {
  const space = columns - indent;
  const gap = 2;
  const perLine = [4, 2].find((count) => (space + gap) / count - gap >= cellWidthMin) ?? 1;
  const width = Math.floor((space + gap) / perLine) - gap;
  const cells = measures.map((one) => courseText(one, samples, Math.max(20, width), glyphs));
  const lines: string[] = [];
  for (let at = 0; at < cells.length; at += perLine) {
    lines.push(' '.repeat(indent) + cells.slice(at, at + perLine).join(' '.repeat(gap)));
  }
  return lines.map((line) => fitted(line, columns).trimEnd());
}

function headLine(report: SessionReport, { columns, paint }: WatchView): string {
  const { status, level } = report;
  const arrow = status.role === 'primary' ? '->' : '<-';
  const peer = status.peer === '' ? [] : [{ text: `  ${arrow} ${printable(status.peer)}` }];
  const epoch = status.epoch === null ? [] : [{ text: `  epoch ${status.epoch}` }];
  const bold = (text: string) => paint.bold(text);
  return lineOf(
    [
      { text: printable(status.domain), paint: bold },
      { text: `  ${status.role}  ` },
      { text: stateWord(report), paint: painterOf(level, paint) },
      ...peer,
      ...epoch,
    ],
    columns,
  );
}

/** What happened, and what to type; as many lines as it takes. */
function adviceLines(reason: string | null, next: readonly string[], columns: number): string[] {
  const texts = [...(reason === null ? [] : [reason]), ...next.map((line) => `Try: ${line}`)];
  return texts.flatMap((text) =>
    wrapped(printable(text), Math.max(10, columns - indent)).map(
      (line) => ' '.repeat(indent) + line,
    ),
  );
}

function sessionLines(report: SessionReport, history: WatchHistory, view: WatchView): string[] {
  const samples = history.get(keyOf(report))?.samples ?? [];
  return [
    headLine(report, view),
    ...courseLines(samples, view),
    ...adviceLines(report.reason, report.next, view.columns),
  ];
}

function missingLines(findings: Findings, { columns, paint }: WatchView): string[][] {
  return findings.missing.map(({ domain, reason, next }) => [
    lineOf([{ text: `${printable(domain)}  ` }, { text: 'missing', paint: paint.red }], columns),
    ...adviceLines(reason, next, columns),
  ]);
}

/** What is of this host and not of one session. */
function hostLines({ broken, resyncs, problems }: Findings, columns: number): string[][] {
  const texts = [
    ...resyncs.map((one) => `${one.domain}: ${resyncingText(one)}`),
    ...broken.map(({ statusPath, reason }) => `unknown: ${statusPath}: ${reason}`),
    ...problems.map(({ text }) => `warning: ${text}`),
  ];
  return texts.map((text) => wrapped(printable(text), columns));
}

function titleLine(level: Level, { columns, title, paint }: WatchView): string {
  const word = level.toUpperCase();
  const text = padded(title, Math.max(0, columns - word.length - 2));
  return lineOf(
    [{ text }, { text: '  ' }, { text: word, paint: painterOf(level, paint) }],
    columns,
  );
}

/** What does not fit is left out from the end, where the least bad stands, and counted. */
function cut(lines: readonly string[], { rows, columns }: WatchView): readonly string[] {
  if (rows === null || lines.length <= rows) return lines;
  const shown = lines.slice(0, Math.max(1, rows - 1));
  return [...shown, fitted(`(${lines.length - shown.length} more lines)`, columns)].slice(0, rows);
}

/** The lines of a frame, none wider than the view and none more than its rows. */
export function watchFrame(
  findings: Findings,
  history: WatchHistory,
  view: WatchView,
): readonly string[] {
  const blocks = [
    ...missingLines(findings, view),
    ...[...findings.reports].reverse().map((report) => sessionLines(report, history, view)),
    ...hostLines(findings, view.columns),
  ];
  const all = blocks.length === 0 ? [wrapped(printable(findings.empty), view.columns)] : blocks;
  return cut([titleLine(findings.level, view), ...all.flatMap((block) => ['', ...block])], view);
}

/** The same where nothing could be found out. */
export function watchFailure(
  message: string,
  next: readonly string[],
  view: WatchView,
): readonly string[] {
  const lines = adviceLines(message, next, view.columns);
  return cut([titleLine('unknown', view), '', ...lines], view);
}
