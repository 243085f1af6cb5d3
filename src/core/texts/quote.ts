/** Names that came from outside, as they stand in a command line and in a sentence. Pure. */

/** A word as a POSIX shell would have to be given it. */
export function quoteWord(word: string): string {
  if (/^[A-Za-z0-9_./:@%+=,-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** A command line that can be pasted. */
export function quoteWords(words: readonly string[]): string {
  return words.map(quoteWord).join(' ');
}

/**
 * The other host in a sentence. With `-s ''` it was named by a whole command, which is no name;
 * of a buffer that was found without its session it may not be known.
 */
export function hostWord(peer: string): string {
  return peer === '' || /[\s=/;|&]/.test(peer) ? 'the other host' : peer;
}

/** True where ssh takes it for a host and nothing else: a peer may call itself anything. */
export function isHostName(peer: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9_.:@%-]*$/.test(peer);
}
