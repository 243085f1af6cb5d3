/** The findings of `tsremus status` as a table with advice, and as a JSON document. Pure. */
import type { ChalkInstance } from 'chalk';
import type { Level } from '../../core/health/health.ts';
import { adviceLine } from '../../core/texts/advice.ts';
import { resyncingText, resyncWord } from '../../core/texts/resync.ts';
import { formatBytes, formatMs } from '../../core/units.ts';
import type { MissingGuest } from '../../registry/missing.ts';
import type { SessionReport } from '../../registry/report.ts';
import type { ResyncStatus } from '../../registry/resync-status.ts';
import type { EpochFigures } from '../../registry/status.ts';
import type { Findings } from '../commands/status.ts';
import { figuresText } from './figures.ts';
import { type Cell, type Column, formatTable, printable } from './table.ts';

const columns: readonly Column[] = [
  { title: 'DOMAIN' },
  { title: 'ROLE' },
  { title: 'STATE' },
  { title: 'EPOCH', align: 'right' },
  { title: 'ACKED', align: 'right' },
  { title: 'PAUSE', align: 'right' },
  { title: 'SIZE', align: 'right' },
  { title: 'PEER' },
];

/** With `-s ''` the peer is a whole command; its beginning is enough to know it by. */
const peerColumnsMax = 30;

/** The middle one of the last epochs: one odd epoch should not be what is shown. */
function median(epochs: readonly EpochFigures[], of: (epoch: EpochFigures) => number | null) {
  const known = epochs.map(of).filter((value) => value !== null);
  const values = known.sort((one, other) => one - other);
  return values[Math.floor((values.length - 1) / 2)];
}

export function stateWord({ state, status }: SessionReport): string {
  if (state !== 'seeding' || status.seed_percent === null) return state;
  if (status.disks_percent !== undefined) return `copying disks ${status.disks_percent} %`;
  return `seeding ${Math.floor(status.seed_percent)} %`;
}

export function painterOf(level: Level, paint: ChalkInstance): (text: string) => string {
  if (level === 'ok') return paint.green;
  return level === 'critical' ? paint.red : paint.yellow;
}

function peerText(peer: string): string {
  if (peer.length <= peerColumnsMax) return peer || '-';
  return `${peer.slice(0, peerColumnsMax - 3)}...`;
}

function row(report: SessionReport, paint: ChalkInstance): Cell[] {
  const { status, level } = report;
  // Once a session is over its last acknowledgement only grows older.
  const over = report.state === 'active' || report.state === 'ended';
  const ackAgeMs = over ? null : report.ackAgeMs;
  const pause = median(status.epochs, (epoch) => epoch.pause_ms);
  const size = median(status.epochs, (epoch) => epoch.sent_bytes);
  const [state, peer] = [stateWord(report), peerText(status.peer)];
  const texts = [
    status.domain,
    status.role,
    state,
    status.epoch === null ? '-' : String(status.epoch),
    ackAgeMs === null ? '-' : formatMs(ackAgeMs),
    pause === undefined ? '-' : formatMs(pause),
    size === undefined ? '-' : formatBytes(size),
    peer,
  ];
  return texts.map((text, at) => {
    const cell = { text: printable(text) };
    return at === 2 ? { ...cell, paint: painterOf(level, paint) } : cell;
  });
}

/** A declared guest that no session speaks of. */
function missingRow({ domain, peer }: MissingGuest, paint: ChalkInstance): Cell[] {
  const state = { text: 'missing', paint: paint.red };
  const known = [domain, '-'].map((text) => ({ text: printable(text) }));
  const unknown = ['-', '-', '-', '-'].map((text) => ({ text }));
  return [...known, state, ...unknown, { text: printable(peerText(peer ?? '')) }];
}

/** Disks that are copied, or compared, beside or without a session. */
function resyncRow(resync: ResyncStatus, paint: ChalkInstance): Cell[] {
  const { domain, role, peer } = resync;
  const state = { text: resyncWord(resync), paint: paint.yellow };
  const nothing = ['-', '-', '-', '-'].map((text) => ({ text }));
  const known = [domain, role].map((text) => ({ text: printable(text) }));
  return [...known, state, ...nothing, { text: printable(peerText(peer)) }];
}

interface Advised {
  readonly domain: string;
  readonly reason: string | null;
  readonly next: readonly string[];
}

/** What happened and what to type, for one guest. */
function advice({ domain, reason, next }: Advised): string {
  if (reason === null && next.length === 0) return '';
  const what = reason === null ? '' : `\n${printable(`${domain}: ${reason}`)}\n`;
  return what + tryLines(next);
}

/** What is of this host and of no session. */
function noted(word: string, text: string, next: string): string {
  return `\n${word}: ${printable(text)}\n${tryLines([next])}`;
}

function tryLines(next: readonly string[]): string {
  return next.map((line) => `  Try: ${printable(line)}\n`).join('');
}

/** What `tsremus status` prints; with the figures of each session where they were asked for. */
export function statusText(findings: Findings, paint: ChalkInstance): string {
  const { reports, missing, broken, resyncs, empty, problems } = findings;
  const rows = [
    ...resyncs.map((resync) => resyncRow(resync, paint)),
    ...reports.map((report) => row(report, paint)),
    ...missing.map((guest) => missingRow(guest, paint)),
  ];
  const table = rows.length === 0 ? `${printable(empty)}\n` : formatTable(columns, rows);
  const unreadable = broken.map(({ statusPath: path, reason }) =>
    noted('unknown', `${path}: ${reason}`, adviceLine({ kind: 'see-file', path })),
  );
  const more = problems.map(({ text, next }) => noted('warning', text, next));
  const figures = findings.detailed ? reports.map(({ status }) => figuresText(status)) : [];
  const advised = [
    ...reports.map(({ status, reason, next }) => ({ domain: status.domain, reason, next })),
    ...missing,
    ...resyncs.map((one) => ({ domain: one.domain, reason: resyncingText(one), next: [] })),
  ].map(advice);
  return [table, ...figures, ...advised, ...unreadable, ...more].join('');
}

/** What `tsremus status --json` prints: the session's own keys, and the judgement beside them. */
export function statusDocument(findings: Findings, exitCode: number): object {
  return {
    level: findings.level,
    exit: exitCode,
    sessions: findings.reports.map((report) => ({
      ...report.status,
      state: report.state,
      recorded_state: report.status.state,
      level: report.level,
      process: report.liveness,
      ack_age_ms: report.ackAgeMs,
      reason: report.reason,
      next: report.next,
    })),
    resyncs: findings.resyncs,
    declared: findings.declared,
    missing: findings.missing,
    problems: findings.problems.map(({ text }) => text),
    unreadable: findings.broken.map(({ statusPath, reason }) => ({ file: statusPath, reason })),
  };
}
