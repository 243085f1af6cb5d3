/** Reads the documents as far as the tests of them need: tables, code spans, headings. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const repository = join(import.meta.dirname, '../..');

/** The text of a file, by its path from the repository's root. */
export function read(path: string): string {
  return readFileSync(join(repository, path), 'utf8');
}

export interface Table {
  /** Of the section that it stands in. */
  readonly heading: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** `| a | b |` -> `a`, `b`. No cell of ours holds a bar. */
function cells(line: string): string[] {
  return line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
}

/** Every table of a document, in order. */
export function tablesIn(text: string): readonly Table[] {
  const found: Table[] = [];
  let heading = '';
  let lines: string[] = [];
  for (const line of [...text.split('\n'), '']) {
    if (line.startsWith('#')) heading = line.replace(/^#+ /, '');
    if (line.startsWith('|')) {
      lines.push(line);
      continue;
    }
    const [head, , ...rows] = lines;
    if (head !== undefined) found.push({ heading, columns: cells(head), rows: rows.map(cells) });
    lines = [];
  }
  return found;
}

/** The one table below this heading whose columns begin with these. */
export function tableOf(text: string, heading: string, ...columns: string[]): Table {
  const found = tablesIn(text).filter(
    (table) => table.heading === heading && columns.every((name, at) => table.columns[at] === name),
  );
  const [table] = found;
  if (table === undefined || found.length > 1) {
    throw new Error(`${found.length} tables below "${heading}" have ${columns.join(', ')}`);
  }
  return table;
}

/** What stands in `code` type outside of figures, which are indented. */
export function codeSpansIn(text: string): readonly string[] {
  const prose = text.split('\n').filter((line) => !line.startsWith('    '));
  return [...prose.join('\n').matchAll(/`([^`]+)`/g)].map(([, span = '']) => span);
}

const unitFactors: Readonly<Record<string, number>> = {
  '': 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
  ms: 1,
  s: 1000,
};

/** `1,024` -> 1024; `64 TiB` in bytes; `40 s` in ms. */
export function numberOf(text: string): number {
  const [, digits = '', unit = ''] = /^([\d,]+)(?: (\w+))?$/.exec(text) ?? [];
  const factor = unitFactors[unit];
  if (digits === '' || factor === undefined) throw new Error(`"${text}" is no number`);
  return Number(digits.replaceAll(',', '')) * factor;
}
