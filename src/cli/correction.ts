/** What was typed, as it should have been. Pure. */
import type { Correction } from '../config/usage-error.ts';

/** How an option can be spelled, and whether it has a value: commander's Option. */
export interface Spelling {
  readonly short?: string | undefined;
  readonly long?: string | null | undefined;
  readonly required: boolean;
}

/** `-i50`: the value stands in the same word. */
function isJoined(word: string, short: string | undefined): boolean {
  return short !== undefined && word.startsWith(short) && word.length > 2 && word[1] !== '-';
}

/**
 * `argv` with the correction made; null where what is wrong was not found in it, such as one of
 * several letters behind one dash.
 */
export function correctedArgv(
  argv: readonly string[],
  { name, joint, value }: Correction,
  options: readonly Spelling[],
): readonly string[] | null {
  const spelling = options.find(({ long }) => long === name);
  const corrected: string[] = [];
  let found = false;
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? '';
    const isWord = joint === ' ' && (word === name || word === spelling?.short);
    const isWithValue = word.startsWith(`${name}=`) || isJoined(word, spelling?.short);
    if (!isWord && !isWithValue) {
      corrected.push(word);
      continue;
    }
    found = true;
    if (isWord && spelling?.required) at += 1;
    if (value !== null) corrected.push(...(joint === '=' ? [`${name}=${value}`] : [name, value]));
  }
  return found ? corrected : null;
}
