/** Words as a POSIX shell would have to be given them. */
export function quoteWord(word: string): string {
  if (/^[A-Za-z0-9_./:@%+=,-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** A command line that can be pasted. */
export function quoteWords(words: readonly string[]): string {
  return words.map(quoteWord).join(' ');
}
