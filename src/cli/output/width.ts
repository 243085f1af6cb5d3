/** How many columns of a terminal a text takes, and what of it fits. Pure. */

/** What East Asian terminals draw two columns wide, up to U+FFFF (Unicode, UAX #11: W and F). */
const wide = new RegExp(
  `[${[
    ...['\\u1100-\\u115f', '\\u2e80-\\u303e', '\\u3041-\\ua4cf', '\\ua960-\\ua97f'],
    ...['\\uac00-\\ud7a3', '\\uf900-\\ufaff', '\\ufe30-\\ufe6f', '\\uff00-\\uff60'],
    '\\uffe0-\\uffe6',
  ].join('')}]`,
);
/** What takes no column of its own: combining marks, joiners and marks of direction. */
const without = /[\p{M}\p{Cf}]/u;

function columnsOf(character: string): number {
  if (without.test(character)) return 0;
  return wide.test(character) ? 2 : 1;
}

export function widthOf(text: string): number {
  let columns = 0;
  for (const character of text) columns += columnsOf(character);
  return columns;
}

/** As much of the text as fits into so many columns. */
export function fitted(text: string, columns: number): string {
  let left = columns;
  let end = 0;
  for (const character of text) {
    left -= columnsOf(character);
    if (left < 0) break;
    end += character.length;
  }
  return text.slice(0, end);
}

/** The same, filled with blanks, on the right or on the left. */
export function padded(text: string, columns: number, align: 'left' | 'right' = 'left'): string {
  const cut = fitted(text, columns);
  const blanks = ' '.repeat(columns - widthOf(cut));
  return align === 'left' ? cut + blanks : blanks + cut;
}

/** The text in lines of so many columns, broken between words where that can be. */
export function wrapped(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (let word of text.split(' ')) {
    const joined = line === '' ? word : `${line} ${word}`;
    if (widthOf(joined) <= columns) {
      line = joined;
      continue;
    }
    if (line !== '') lines.push(line);
    while (widthOf(word) > columns && columns > 1) {
      const head = fitted(word, columns);
      lines.push(head);
      word = word.slice(head.length);
    }
    line = word;
  }
  return line === '' ? lines : [...lines, line];
}
