/** Text from elsewhere, made fit for a log line, a terminal and the wire. */

// Control characters of ASCII and Latin-1 and the two line separators of Unicode: whatever could
// start a new line or an escape sequence.
const controlPattern = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;
const controlPatternAll = new RegExp(controlPattern, 'g');

export function hasControl(text: string): boolean {
  return controlPattern.test(text);
}

/** One line, well-formed, of at most `bytesMax` bytes UTF-8; what is cut off shows as "...". */
export function cleanText(text: string, bytesMax: number): string {
  const bytes = Buffer.from(text.replaceAll(controlPatternAll, ' '));
  // The way through UTF-8 also replaces lone surrogates.
  if (bytes.length <= bytesMax) return bytes.toString('utf8');
  const cut = bytes.subarray(0, bytesMax - 3).toString('utf8');
  // A character that was cut in two has become U+FFFD, which is three bytes long again.
  return `${cut.replace(/\ufffd$/, '')}...`;
}
