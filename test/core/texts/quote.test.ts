import { expect, it } from 'vitest';
import { hostWord, quoteWord, quoteWords } from '../../../src/core/texts/quote.ts';

it('quotes for a shell', () => {
  expect(quoteWords(['tsremus', 'web1', '', "it's", 'a b', '$x'])).toBe(
    `tsremus web1 '' 'it'\\''s' 'a b' '$x'`,
  );
  expect(quoteWord('grün')).toBe("'grün'");
  expect(quoteWord('a\nb')).toBe("'a\nb'");
  expect(quoteWord('key=/a:b@c%d+e,f-g_h.9')).toBe('key=/a:b@c%d+e,f-g_h.9');
});

it.each([
  ['hostb', 'hostb'],
  ['root@hostb.example', 'root@hostb.example'],
  ['', 'the other host'],
  ['ssh -p 22 hostb', 'the other host'],
  ['a;b', 'the other host'],
  // Else the rest of a comment would be a command.
  ['hostb\nreboot', 'the other host'],
])('calls %j %j in a sentence', (peer, word) => {
  expect(hostWord(peer)).toBe(word);
});
