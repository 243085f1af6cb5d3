/** Plain column tables: two blanks between columns, no lines, safe to cut and awk. */

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

/** One cell: what is measured and, where colour is wanted, what is printed instead. */
export interface Cell {
  readonly text: string;
  readonly paint?: (text: string) => string;
}

/** Control characters (a domain's name may come from the peer) made visible and harmless. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}

/** The table as text, header first, a newline at the end of each line. */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
): string {
  const header = columns.map((column) => ({ text: column.title }));
  const all: readonly (readonly Cell[])[] = [header, ...rows];
  const widths = columns.map((_, at) =>
    Math.max(...all.map((row) => (row[at]?.text ?? '').length)),
  );
  const line = (row: readonly Cell[]) =>
    columns
      .map((column, at) => {
        const cell = row[at] ?? { text: '' };
        const pad = ' '.repeat((widths[at] ?? 0) - cell.text.length);
        const text = cell.paint ? cell.paint(cell.text) : cell.text;
        return column.align === 'right' ? pad + text : text + pad;
      })
      .join('  ')
      .trimEnd();
  return all.map((row) => `${line(row)}\n`).join('');
}
