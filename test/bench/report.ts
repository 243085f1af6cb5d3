/**
 * What a benchmark says: tables for people, and one JSON document with the raw figures and the
 * targets. A target that is missed is a result, never a failure: speed is measured, not asserted.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname } from 'node:path';
import type { Scale } from './options.ts';

/** One figure and what it should be. Ratios are of two figures of the same run. */
export interface Target {
  readonly name: string;
  readonly value: number;
  /** `x` is a ratio. */
  readonly unit: string;
  readonly target: number;
  readonly bound: 'at-least' | 'at-most';
  readonly met: boolean;
}

export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number | null)[])[];
}

/** What one part of a benchmark found. */
export interface Section {
  readonly name: string;
  readonly tables: readonly Table[];
  /** What limits the figures, in whole sentences. */
  readonly limits: readonly string[];
  readonly targets: readonly Target[];
  /** What could not be measured here, and why. */
  readonly skipped: readonly string[];
  /** Everything that was measured, as it was. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** The document of `--json`. New keys may appear, none vanish. */
export interface BenchReport {
  readonly schema: 1;
  readonly benchmark: string;
  readonly scale: Scale;
  readonly started: string;
  readonly seconds: number;
  readonly machine: { readonly cpu: string; readonly cpus: number; readonly node: string };
  readonly targets: readonly Target[];
  readonly limits: readonly string[];
  readonly skipped: readonly string[];
  readonly sections: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** Significant digits, because figures span six orders of magnitude. */
export function rounded(value: number): number {
  return Number(value.toPrecision(3));
}

export function atLeast(name: string, value: number, unit: string, target: number): Target {
  return { name, value: rounded(value), unit, target, bound: 'at-least', met: value >= target };
}

export function atMost(name: string, value: number, unit: string, target: number): Target {
  return { name, value: rounded(value), unit, target, bound: 'at-most', met: value <= target };
}

function cellText(cell: string | number | null): string {
  if (cell === null) return '-';
  return typeof cell === 'number' ? String(cell) : cell;
}

/** A table as lines; the first column to the left, figures to the right. */
export function tableText({ title, columns, rows }: Table): string {
  const cells = [columns, ...rows].map((row) => row.map(cellText));
  const widths = columns.map((_, at) => Math.max(...cells.map((row) => (row[at] ?? '').length)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join('  ')
      .trimEnd();
  return [title, ...cells.map((row) => `  ${line(row)}`)].join('\n');
}

export function targetTable(targets: readonly Target[]): Table {
  return {
    title: 'Targets',
    columns: ['', 'measured', 'target', 'met'],
    rows: targets.map(({ name, value, unit, target, bound, met }) => {
      const sign = bound === 'at-least' ? '>=' : '<=';
      return [name, `${value} ${unit}`, `${sign} ${target} ${unit}`, met ? 'yes' : 'NO'];
    }),
  };
}

export function sectionText({ tables, limits, skipped }: Section): string {
  const words = [...limits, ...skipped.map((what) => `Not measured: ${what}`)];
  return [...tables.map(tableText), ...words.map((text) => `  ${text}`)].join('\n\n');
}

export function reportOf(
  benchmark: string,
  sections: readonly Section[],
  run: { readonly scale: Scale; readonly startedAt: Date },
): BenchReport {
  return {
    schema: 1,
    benchmark,
    scale: run.scale,
    started: run.startedAt.toISOString(),
    seconds: Math.round((Date.now() - run.startedAt.getTime()) / 1000),
    machine: {
      cpu: cpus()[0]?.model ?? 'unknown',
      cpus: cpus().length,
      node: process.version,
    },
    targets: sections.flatMap(({ targets }) => targets),
    limits: sections.flatMap(({ limits }) => limits),
    skipped: sections.flatMap(({ skipped }) => skipped),
    sections: Object.fromEntries(sections.map(({ name, raw }) => [name, raw])),
  };
}

export function writeReport(path: string, report: BenchReport): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(report, null, 2)}\n`);
}
