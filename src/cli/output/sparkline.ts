/** A row of figures as a row of characters, the newest on the right. Pure. */

/** From nothing to the most; a terminal that has no others draws the second ones. */
export const sparkGlyphs = {
  blocks: '▁▂▃▄▅▆▇█',
  ascii: '_.-=+*%#',
} as const;

export type Glyphs = keyof typeof sparkGlyphs;

/**
 * The last `width` of `values`, from 0 to the largest of them; null: nothing was measured, a blank.
 * Fewer than that stand on the right.
 */
export function sparkline(
  values: readonly (number | null)[],
  width: number,
  glyphs: Glyphs,
): string {
  const shown = values.slice(-width);
  const most = Math.max(0, ...shown.map((value) => value ?? 0));
  const steps = sparkGlyphs[glyphs];
  const drawn = shown.map((value) => {
    if (value === null) return ' ';
    // What is something is seen as something.
    const level = most === 0 ? 0 : Math.ceil((value / most) * (steps.length - 1));
    return steps[level] ?? ' ';
  });
  return drawn.join('').padStart(width);
}

/** Blocks need UTF-8, and a font: those of the kernel's console and of a serial line have few. */
export function glyphsFor(env: Readonly<Record<string, string | undefined>>): Glyphs {
  const locale = env['LC_ALL'] || env['LC_CTYPE'] || env['LANG'] || '';
  const isPoor = /^(linux|vt\d|dumb|ansi|unknown|network)/.test(env['TERM'] ?? '');
  return /utf-?8/i.test(locale) && !isPoor ? 'blocks' : 'ascii';
}
